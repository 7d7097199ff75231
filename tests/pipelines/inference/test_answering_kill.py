"""kill -9 during repairs and during a self-update, and the same again: no finished turn is asked for or run twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from raydistill.actors.segments import read_segments
from tests import ROOT
from tests.waiting import wait_until

QUESTIONS, PATIENCE_S = 80, 600


def start(kind: str, root: Path, questions: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.pipelines.inference.answering_driver", kind, str(root), str(questions)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": ""})


def stored(root: Path, kind: str) -> list[str]:
    """Ids of the samples that are stored of a kind."""
    tables = [table for folder in root.glob(f"{kind}/*") for table in read_segments(str(folder), ["sample_id"])]
    return [row for table in tables for row in table["sample_id"].to_pylist()]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "second"), [("repairs", "/repair/"), ("updates", "/go-on/")])
def test_no_finished_turn_is_asked_for_again(tmp_path: Path, kind: str, second: str) -> None:
    root, questions = tmp_path / "run", tmp_path / "questions.jsonl"
    rows = [{"question": f"What is {i} plus 7 less {i}?", "answer": "7"} for i in range(QUESTIONS)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    driver = start(kind, root, questions)

    def again() -> list[str]:
        return [sample for sample in stored(root, "completions") if second in sample]

    wait_until(lambda: again() or driver.poll() is not None, PATIENCE_S, "the first second turn")
    family = [*psutil.Process(driver.pid).children(recursive=True), psutil.Process(driver.pid)]
    for process in family:  # at once, since actors go on for some seconds after their driver
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert psutil.wait_procs(family, PATIENCE_S)[1] == []
    asked, before = root / "asked.txt", stored(root, "completions")
    assert 0 < len(again()) < QUESTIONS and not (root / "answers.json").exists()
    asked.unlink()

    assert start(kind, root, questions).wait() == 0
    assert not set(asked.read_text(encoding="utf-8").split()) & set(before)
    for folder in ("completions", "verdicts"):
        ids = stored(root, folder)
        assert len(ids) == len(set(ids)) == 2 * QUESTIONS
    told = json.loads((root / "answers.json").read_text(encoding="utf-8"))
    assert len(told) == QUESTIONS and all(answers == [["7", 2]] for answers in told.values())
