"""What must hold before a release, looked at by machine where a machine can; the rest is listed to be done by hand.

python deploy/release.py            # all of it; builds the packages (a minute), ends with 1 where something fails
python deploy/release.py --quick    # without what builds or installs
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
BY_HAND = (
    "make test, make test-slow and make test-cluster pass on a quiet machine; the GPU set is tried on a GPU",
    "move the entries of [Unreleased] in CHANGELOG.md under the version, with upgrade notes for what changed",
    "raydistill demo in an empty environment with only the wheel, as docs/install.md has it",
    "build both images (deploy/Containerfile) with their labels, and run the demo in the CPU one",
    "git tag -s vVERSION; upload wheel and sdist; push the images; publish the site (make docs)",
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def version() -> str:
    return str(tomllib.loads(read("pyproject.toml"))["project"]["version"])


def run(*command: str, cwd: Path = ROOT) -> str:
    """What a command says that ends well. Raises CalledProcessError."""
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout


def one_version() -> str:
    """The version is the same wherever it stands."""
    wanted = version()
    found = {
        "CITATION.cff": str(yaml.safe_load(read("CITATION.cff"))["version"]),
        "deploy/Containerfile": re.search(r"^ARG VERSION=(\S+)", read("deploy/Containerfile"), re.MULTILINE)[1],  # type: ignore[index]
        "docs/install.md": re.search(r"raydistill-(\d[\w.]*)-py3", read("docs/install.md"))[1],  # type: ignore[index]
    }
    other = {name: said for name, said in found.items() if said != wanted}
    assert not other, f"pyproject.toml has {wanted}, others {other}"
    return wanted


def changes_are_told() -> str:
    """The changelog has a section for this version, or for what is unreleased."""
    heads = re.findall(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert heads and heads[0] in ("Unreleased", version()), f"CHANGELOG.md begins with {heads[:1]}"
    return heads[0]


def reference_is_current() -> str:
    """docs/reference says what the code does."""
    run(sys.executable, "docs/make_reference.py", "--check")
    return "docs/reference"


def tree_is_clean() -> str:
    """Everything is committed."""
    left = run("git", "status", "--porcelain").splitlines()
    assert not left, f"{len(left)} files differ from the last commit, such as {left[0]}"
    return run("git", "rev-parse", "--short", "HEAD").strip()


def packages_build() -> str:
    """The sdist builds, and the wheel out of it, of a size that the index takes."""
    with tempfile.TemporaryDirectory() as folder:
        build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
        run(sys.executable, "-c", build, folder)
        [sdist] = Path(folder).glob("*.tar.gz")
        run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, str(sdist))
        [wheel] = Path(folder).glob("*.whl")
        sizes = {one.name: one.stat().st_size for one in (sdist, wheel)}
        assert max(sizes.values()) < 100 * 2**20, f"too large for the package index: {sizes}"
        return ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in sizes.items())


def checks_pass() -> str:
    """ruff and mypy have nothing to say."""
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        run(sys.executable, "-m", *command)
    return "ruff, mypy"


QUICK: tuple[Callable[[], str], ...] = (one_version, changes_are_told, reference_is_current)
ALL = (*QUICK, tree_is_clean, checks_pass, packages_build)


def looked_at(checks: tuple[Callable[[], str], ...]) -> Iterator[tuple[bool, str]]:
    """Whether each check holds, and a line on it."""
    for check in checks:
        try:
            yield True, f"ok    {check.__name__.replace('_', ' ')}: {check()}"
        except (AssertionError, TypeError) as error:
            yield False, f"fail  {check.__name__.replace('_', ' ')}: {error}"
        except subprocess.CalledProcessError as error:
            said = " ".join((error.stderr or error.stdout).split())[-300:]
            yield False, f"fail  {check.__name__.replace('_', ' ')}: {' '.join(error.cmd[:4])}: {said}"


def main() -> None:
    held = []
    for ok, line in looked_at(QUICK if "--quick" in sys.argv else ALL):
        held.append(ok)
        print(line, flush=True)
    print("\nby hand:", *(f"  [ ] {line}" for line in BY_HAND), sep="\n")
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
