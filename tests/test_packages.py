"""What others install: the sdist, the wheel that is built from it, and a run with nothing else of this repository."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests import ROOT
from tests.rows import write_rows

SOURCES = ("raydistill", "actors", "pipelines", "serve", "demo", "configs", "benchmarks", "tests")
FILES = ("pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE", "requirements-cpu.txt")
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
IMPORT_S = 0.2


def build_wheel(source: Path, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "wheel", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "-w", str(folder), str(source)], check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is committed, as far as packages are made of it, so that no build leaves anything here."""
    folder = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", ".work*", "*.egg-info")
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the sdist gives."""
    folder = tmp_path_factory.mktemp("packages")
    subprocess.run([sys.executable, "-c", SDIST, str(folder)], cwd=source, check=True, capture_output=True)
    [sdist] = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    [unpacked] = (folder / "unpacked").iterdir()
    return build_wheel(unpacked, folder)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {*archive.namelist()}


def test_a_wheel_holds_all_of_raydistill_and_no_other_name(source: Path, wheel: Path) -> None:
    names = names_in(wheel)
    assert {name.partition("/")[0] for name in names} == {"raydistill", f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    wanted = [path for room in ("actors", "pipelines", "serve", "demo") for path in (source / room).rglob("*.py")]
    wanted += [*(source / "configs").rglob("*.yaml"), *(source / "configs").rglob("*.args")]
    wanted += [path for path in (source / "demo" / "models").rglob("*") if path.is_file()]
    assert names >= {f"raydistill/{path.relative_to(source)}" for path in wanted}
    assert names >= {"raydistill/py.typed", "raydistill/requirements-cpu.txt", "raydistill/demo/gold_programs.yaml"}
    assert names >= {"raydistill/serve/page.html", "raydistill/demo/tutorial/answers.jsonl"}
    for folder in ("prompts/contexts", "drafting/templates", "views/templates"):
        data = {path.name for path in (ROOT / "pipelines" / folder).iterdir() if path.is_file()}
        assert data and names >= {f"raydistill/pipelines/{folder}/{name}" for name in data}
    assert wheel.stat().st_size < 60 * 2**20  # the package index takes 100 MB


def test_importing_it_takes_next_to_no_time(tmp_path: Path) -> None:
    def user_s(program: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare, imported = (min(user_s(program) for _ in range(5)) for program in ("pass", "import raydistill"))
    assert imported - bare < IMPORT_S


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of an environment with the wheel, which sees the packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-deps"]
    subprocess.run([*pip, "--force-reinstall", str(wheel)], check=True, capture_output=True)
    return folder / "bin" / "raydistill"


def outside(program: Path, *arguments: str, cwd: Path) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(program), *arguments], cwd=cwd, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_the_sdist_and_the_tree_give_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    assert names_in(build_wheel(source, tmp_path)) == names_in(wheel)


@pytest.mark.slow
def test_it_runs_where_there_is_no_repository(installed: Path, tmp_path: Path) -> None:
    python = installed.with_name("python")
    where = outside(python, "-c", "import raydistill; print(raydistill.__file__)", cwd=tmp_path)
    assert "site-packages/raydistill" in where
    assert "doctor" in outside(installed, "--help", cwd=tmp_path)
    names = [line.split()[0] for line in outside(installed, "configs", cwd=tmp_path).splitlines()]
    load = f"from raydistill.pipelines.run_config import load_config; [*map(load_config, {names})]"
    outside(python, "-c", load, cwd=tmp_path)
    (tmp_path / "mine.yaml").write_text(outside(installed, "configs", "demo", cwd=tmp_path))
    rows = [
        {"question": f"{i} + 1?", "answer": str(i + 1), "program": f"def solution():\n    return {i} + 1"}
        for i in range(40)
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    changed = [
        "questions={task: table, path: rows.jsonl}",
        "teacher={engine: recorded, model: rows.jsonl, completion_column: program}",
        "evaluation=null",
        "train.epochs=1",
    ]
    outside(installed, "run", "mine.yaml", *changed, "--run-dir", "run", cwd=tmp_path)
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["examples"] == 40 and report["training"]["steps"] > 0
    assert all((tmp_path / "run" / name).is_file() for name in ("student/model.safetensors", "report.html"))
