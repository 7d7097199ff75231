"""Trackers hear of a finished run, offline; one that is missing is told before a run begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.exports import tracking
from raydistill.pipelines.views.page import write_page
from raydistill.pipelines.views.run_folder import RunFolder
from tests.pipelines.views.written import write_run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run with a page; trackers keep what they hear in the test's folder."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow-skinny has no other store without a server
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    monkeypatch.chdir(tmp_path)
    found = RunFolder.open(str(write_run(tmp_path / "run", 12)))
    write_page(found)
    return found


@pytest.mark.parametrize("name", tracking.TRACKERS)
def test_a_tracker_takes_a_run(run: RunFolder, tmp_path: Path, name: str) -> None:
    pytest.importorskip(name, reason=f"the extra raydistill[{name}] is not installed")
    said: list[str] = []
    tracking.track(run.root, [name], said.append)
    assert len(said) == 1 and "has not taken" not in said[0], said
    assert any(path.is_file() for path in tmp_path.rglob("*") if name in str(path).lower())


def test_the_numbers_of_a_run_are_named_by_their_places(run: RunFolder) -> None:
    told = tracking.metrics(run)
    assert told["verification.passed"] == 8 and told["verification.reasons.exception:NameError"] == 2
    assert tracking._without_odd_signs(told)["verification.reasons.exception_NameError"] == 2
    assert json.dumps(told)


def test_trouble_of_a_tracker_is_one_line_and_a_missing_one_is_told_early(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: RunFolder) -> str:
        raise ConnectionError("no\nroute")

    monkeypatch.setitem(tracking.TRACKERS, "wandb", broken)
    said: list[str] = []
    tracking.track(run.root, ["wandb"], said.append)
    assert said == ["tracking: wandb has not taken the run: ConnectionError: no route"]
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'raydistill\[wandb\]'"):
        tracking.check_trackers(["wandb"])
