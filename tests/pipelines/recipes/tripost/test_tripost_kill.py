"""kill -9 in the middle of an iteration, and the same command again: a real driver, its own Ray, a recorded teacher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from raydistill.pipelines.recipes.tripost.editing import ACCEPTED, REJECTED
from tests import ROOT
from tests.pipelines.recipes.tripost.test_tripost import loaded, recording, sections
from tests.waiting import wait_until

__all__ = ["loaded", "recording"]  # fixtures

CONVERSATIONS = 12
PATIENCE_S = 600


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "raydistill", "run", str(config), "--quiet"]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": ""})


def rows(folder: Path, kind: str) -> dict[str, list[dict[str, Any]]]:
    """What is stored of a kind, by segment."""
    return {str(path): pq.read_table(path).to_pylist() for path in sorted((folder / kind).rglob("*.parquet"))}


def wait_until_some_conversations_are_finished(folder: Path, process: subprocess.Popen[bytes]) -> None:
    def some() -> bool:
        return any(rows(folder, "trajectories").values())

    wait_until(lambda: some() or process.poll() is not None, PATIENCE_S, "the first finished conversation")
    assert some() and process.poll() is None, "no conversation was finished while the run was going on"


@pytest.mark.slow
def test_no_finished_conversation_is_repeated_and_each_is_accounted_for(
    tmp_path: Path, recording: Path, tiny_model: str
) -> None:
    run = tmp_path / "run"
    settings = sections(run, recording, attempts="teacher", feedback="teacher", improvement="teacher", iterations=1)
    settings["train"] = {"student": tiny_model, "epochs": 1, "validation_fraction": 0, "early_stopping_patience": None}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")

    driver = start(config)
    wait_until_some_conversations_are_finished(run, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    finished, heard = rows(run, "trajectories"), rows(run, "completions")
    count = sum(map(len, finished.values()))
    assert 0 < count < CONVERSATIONS and not (run / "report.json").exists()

    assert start(config).wait() == 0
    after = rows(run, "trajectories")
    assert {path: after[path] for path in finished} == finished
    drafts = [row for told in after.values() for row in told]
    assert len({row["id"] for row in drafts}) == len(drafts) == CONVERSATIONS
    every = rows(run, "completions")
    asked = [(Path(path).parent.name, row["sample_id"]) for path, told in every.items() for row in told]
    assert {path: every[path] for path in heard} == heard and len(asked) == len(set(asked))

    (account,) = json.loads((run / "report.json").read_text())["iterations"]
    outcomes = Counter(row["outcome"] for row in drafts)
    assert account["accepted"] | account["rejected"] == {name: outcomes[name] for name in {*ACCEPTED, *outcomes}}
    assert set(account["rejected"]) <= set(REJECTED) and account["rejected"]
    assert (account["conversations"], account["unknown"]) == (CONVERSATIONS, 0) and Path(account["student"]).is_dir()
