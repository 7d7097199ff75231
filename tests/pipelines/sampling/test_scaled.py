"""Stages of several actors: each question comes back once, also where one of them dies, and nothing is made twice."""

from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path

import psutil
import pytest

from raydistill.actors.segments import read_segments
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling import job
from tests.processes import below
from tests.waiting import wait_until

QUESTIONS = 1500
PATIENCE_S = 120


def stage(name: str) -> list[psutil.Process]:
    """The actors of a stage that are there now."""
    return below(None, f"MapBatches({name})")


def configuration(folder: Path) -> Run:
    rows = [
        {
            "question": f"{n} apples and 7 pears: how many?",
            "answer": str(n + 7),
            "program": f"def solution():\n    return {n} + 7",
        }
        for n in range(QUESTIONS)
    ]
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    teacher = {"engine": "recorded", "model": str(path), "completion_column": "program", "max_num_seqs": 16}
    return Run.model_validate(
        {
            "run_dir": str(folder / "run"),
            "questions": {"task": "table", "path": str(path), "grader": "numeric"},
            "teacher": teacher | {"replicas": [2, 2]},
            "execution": {"replicas": [2, 2]},
        }
    )


def test_each_question_comes_back_once_though_an_actor_dies(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "ENGINES_PER_GENERATE", 1)
    monkeypatch.setattr(job, "EXECUTORS_PER_VERIFY", 1)
    runner, seen = Runner(configuration(tmp_path)), Counter[str]()

    def kill() -> None:
        for name in ("Generate", "Verify"):
            wait_until(lambda name=name: len(stage(name)) == 2, PATIENCE_S, f"two actors of {name}")
            seen[name] = len(stage(name))
        stage("Generate")[0].kill()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        runner.start().synthesize()
    finally:
        killing.join()
        runner.close()
    assert seen == {"Generate": 2, "Verify": 2}
    verification = runner.report["verification"]
    assert verification["passed"] == runner.report["examples"] == QUESTIONS
    for kind in ("completions", "verdicts"):
        [folder] = (tmp_path / "run" / kind).iterdir()
        ids = [row for table in read_segments(str(folder), ["sample_id"]) for row in table["sample_id"].to_pylist()]
        assert len(ids) == len(set(ids)) == QUESTIONS
