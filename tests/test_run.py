"""Runs from questions to examples and a student, with recorded completions: real Ray, real sandbox, real training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from actors.errors import TrainingError, UsageError
from pipelines.config import Run
from pipelines.run import Runner

PROGRAMS = {  # what the recorded teacher answers to "What is i plus i?", and what verification says of it
    "right": ("```python\ndef solution():\n    return {i} + {i}\n```", "ok"),
    "same": ("```python\ndef solution():\n    # again\n    return {i} + {i}\n```", "ok"),
    "wrong": ("def solution():\n    return {i} - 1", "wrong_answer"),
    "broken": ("```python\ndef solution()\n    return 1\n```", "syntax"),
    "raises": ("```python\ndef solution():\n    return undefined\n```", "exception:NameError"),
    "none": ("I cannot say.", "no_program"),
}


@pytest.fixture
def make_config(tmp_path: Path, questions_file: Path) -> Callable[..., Run]:
    """A configuration over twelve questions and recorded answers; keywords replace whole sections."""
    recorded = tmp_path / "recorded.jsonl"
    rows = [
        {"question": f"What is {i} plus {i}?", "completion": text.format(i=i)}
        for i in range(12)
        for text, _ in PROGRAMS.values()
    ]
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    teacher = {"engine": "recorded", "model": str(recorded), "n": len(PROGRAMS)}

    def make(**sections: Any) -> Run:
        base = {
            "run_dir": str(tmp_path / "run"),
            "questions": {"task": "table", "path": str(questions_file)},
            "teacher": teacher | sections.pop("teacher", {}),
        }
        return Run.model_validate(base | sections)

    return make


def synthesise(config: Run) -> tuple[Runner, str]:
    runner = Runner(config)
    try:
        folder = runner.synthesise(runner.start())
    finally:
        runner.close()
    return runner, folder


def read(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_every_sample_has_one_verdict_with_its_reason_and_the_right_ones_become_examples(
    cluster: None, make_config: Callable[..., Run], tmp_path: Path
) -> None:
    runner, folder = synthesise(make_config())
    verdicts = read(tmp_path / "run" / "verdicts")
    assert len(verdicts) == len({verdict["sample_id"] for verdict in verdicts}) == 12 * len(PROGRAMS)
    reasons = [reason for _, reason in PROGRAMS.values()]
    for verdict in verdicts:
        assert verdict["reason"] == reasons[int(verdict["sample_id"].rpartition("/")[2])]
    examples = read(Path(folder))
    assert len(examples) == 12  # the second right program is the first one again
    assert all(example["completion"][0]["text"].startswith("```python\ndef solution") for example in examples)
    verification = runner.report["verification"]
    assert (verification["passed"], verification["failed"], verification["unknown"]) == (24, 48, 0)
    assert runner.report["selection"]["dropped"]["duplicate"] == 12


def test_the_same_command_pays_for_nothing_twice(
    cluster: None, make_config: Callable[..., Run], tmp_path: Path
) -> None:
    synthesise(make_config())
    again, _ = synthesise(make_config())
    assert again.report["resumed"]["new_samples"] == 0
    limits, _ = synthesise(make_config(execution={"cpu_s": 1}))
    assert limits.report["resumed"]["new_samples"] == 0
    assert limits.report["resumed"]["new_verdicts"] == 72
    fewer, _ = synthesise(make_config(recipe={"max_programs": 1}))
    assert fewer.report["resumed"] == {"new_samples": 0, "new_verdicts": 0, "samples": 72, "verdicts": 72}
    warmer, _ = synthesise(make_config(teacher={"temperature": 0.5}))
    assert warmer.report["resumed"]["new_samples"] == 72
    assert len(list((tmp_path / "run" / "completions").iterdir())) == 2


def test_more_samples_add_to_those_there_are(cluster: None, make_config: Callable[..., Run], tmp_path: Path) -> None:
    synthesise(make_config(teacher={"n": 2}))
    more, _ = synthesise(make_config(teacher={"n": 6}))
    assert more.report["resumed"]["new_samples"] == 48
    ids = [row["sample_id"] for row in read(tmp_path / "run" / "completions")]
    assert len(ids) == len(set(ids)) == 72


def test_what_a_recording_lacks_is_unknown_counted_and_not_stored(
    cluster: None, make_config: Callable[..., Run], tmp_path: Path
) -> None:
    runner, _ = synthesise(make_config(teacher={"n": 7}))
    assert runner.report["verification"]["unknown"] == 12
    assert runner.report["verification"]["reasons"]["engine_error"] == 12
    assert len(read(tmp_path / "run" / "completions")) == 72


def test_files_open_with_other_tools(cluster: None, make_config: Callable[..., Run], tmp_path: Path) -> None:
    import datasets

    synthesise(make_config())
    root = tmp_path / "run"
    for path in root.rglob("*.parquet"):
        rows = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train")
        assert len(rows) == pq.read_table(path).num_rows
    chats = [json.loads(line) for line in (root / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [message["role"] for message in chats[0]["messages"]] == ["user", "assistant"]
    assert json.loads((root / "dataset_info.json").read_text())


def test_a_student_is_trained_on_what_was_verified(
    cluster: None, make_config: Callable[..., Run], tiny_model: str, tmp_path: Path
) -> None:
    train = {"student": tiny_model, "learning_rate": 1e-3, "epochs": 2, "validation_fraction": 0, "max_length": 256}
    config = make_config(train=train)
    runner = Runner(config)
    try:
        result = runner.train(runner.synthesise(runner.start()))
    finally:
        runner.close()
    assert result.steps > 0 and runner.report["training"]["steps"] == result.steps
    student = tmp_path / "run" / "student"
    assert (student / "model.safetensors").is_file() and (student / "raydistill.json").is_file()


def test_no_verified_example_is_one_clear_error_before_training(
    cluster: None, make_config: Callable[..., Run], tiny_model: str, tmp_path: Path
) -> None:
    config = make_config(teacher={"question_column": "completion"}, train={"student": tiny_model})
    runner = Runner(config)
    try:
        folder = runner.synthesise(runner.start())
        with pytest.raises(TrainingError, match="no examples to train on"):
            runner.train(folder)
    finally:
        runner.close()
    assert not (tmp_path / "run" / "training").exists()


def test_a_student_that_is_no_model_stops_the_run_at_once(make_config: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train.student"):
        Runner(make_config(train={"student": str(tmp_path)}))
    assert not (tmp_path / "run").exists()
