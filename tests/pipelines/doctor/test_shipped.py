"""The doctor has nothing against the shipped runs that this machine can make, and says what to do with the others."""

from __future__ import annotations

import os
from pathlib import Path
from shutil import copytree

import pytest

from raydistill.demo.rebase_data import write
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.registry import CHECKS, examine, found_by
from raydistill.pipelines.run_config import load_config
from tests import ROOT
from tests.pipelines.cli.test_app import GOOD, raydistill, write_run

SHIPPED = ["demo", "demo-mcc-kd", "demo-mixed", "demo-rebase", "demo-tripost"]
RECORDED = pytest.param(
    "recorded-programs", marks=pytest.mark.skipif("RAYDISTILL_DATA" not in os.environ, reason="needs RAYDISTILL_DATA")
)


def overrides(name: str, folder: Path) -> list[str]:
    """A folder of its own for a run; and for the one whose data a script makes, where they are."""
    if name != "demo-rebase":
        return [f"run_dir={folder}/run"]
    write(folder / "data", rows_per_task=8)
    return [f"run_dir={folder}/run", f"evaluation.questions.path={folder}/data/held_out.jsonl"]


@pytest.mark.parametrize("name", [*SHIPPED, RECORDED])
def test_shipped_runs_are_well(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    checkup = Checkup(load_config(f"configs/{name}.yaml", overrides(name, tmp_path)))
    found = [one for check in CHECKS if not check.dear for one in found_by(check.name, check.look(checkup))]
    checkup.close()
    assert [one for one in found if one.status in ("warn", "fail")] == []
    assert not (tmp_path / "run").exists()  # looking leaves nothing behind


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "demo-tripost"])
def test_shipped_runs_are_well_with_their_engines(
    name: str, cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    if name == "demo":  # as after a run: this one writes programs as its student would
        copytree("demo/models/teacher", tmp_path / "run" / "student")
    checkup = Checkup(load_config(f"configs/{name}.yaml", overrides(name, tmp_path)))
    try:
        found = list(examine(checkup))
    finally:
        checkup.close()
    assert [one for one in found if one.status in ("warn", "fail")] == []
    assert {"teacher's engine", "student's engine, log-probabilities"} <= {one.about for one in found}
    (ending,) = (one for one in found if one.about == "student's end of turn")
    assert ending.status == ("ok" if name == "demo" else "skipped")


def test_the_command_ends_with_what_to_do(tmp_path: Path) -> None:
    sick = raydistill("doctor", str(write_run(tmp_path, [GOOD])), "--quick", cwd=tmp_path)
    assert sick.returncode == 1 and "fail    models: teacher.model" in sick.stdout, sick.stdout + sick.stderr
    assert "-> " in sick.stdout and sick.stdout.splitlines()[-1].endswith("mend the failures first, then look again")
    well = raydistill("doctor", cwd=tmp_path)
    assert well.returncode == 0 and "sandbox: grade" in well.stdout and "Traceback" not in well.stderr
    assert well.stdout.splitlines()[-1].endswith("raydistill doctor CONFIG looks at a run, too")
    wrong = raydistill("doctor", "nowhere.yaml", cwd=tmp_path)
    assert wrong.returncode == 2 and "nowhere.yaml: no such configuration file" in wrong.stderr
