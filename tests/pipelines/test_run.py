"""Runs from questions to examples and a student, with recorded completions: real Ray, real sandbox, real training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from raydistill.actors.errors import TrainingError, UsageError
from raydistill.pipelines.run import Runner, run
from raydistill.pipelines.run_config import Run

PROGRAMS = {  # what the recorded teacher answers to "What is i plus i?", and what verification says of it
    "right": ("```python\ndef solution():\n    return {i} + {i}\n```", "ok"),
    "same": ("```python\ndef solution():\n    # again\n    return {i} + {i}\n```", "ok"),
    "wrong": ("def solution():\n    return {i} - 1", "wrong_answer"),
    "broken": ("```python\ndef solution()\n    return 1\n```", "syntax"),
    "raises": ("```python\ndef solution():\n    return undefined\n```", "exception:NameError"),
    "none": ("I cannot say.", "no_program"),
}


@pytest.fixture(scope="module")
def make_config(tmp_path_factory: pytest.TempPathFactory, questions_file: Path) -> Callable[..., Run]:
    """A configuration over twelve questions and recorded answers; keywords replace whole sections."""
    recorded = tmp_path_factory.mktemp("recorded") / "recorded.jsonl"
    rows = [
        {"question": f"What is {i} plus {i}?", "completion": text.format(i=i)}
        for i in range(12)
        for text, _ in PROGRAMS.values()
    ]
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    teacher = {"engine": "recorded", "model": str(recorded), "n": len(PROGRAMS)}

    def make(root: Path, **sections: Any) -> Run:
        base = {
            "run_dir": str(root),
            "questions": {"task": "table", "path": str(questions_file)},
            "teacher": teacher | sections.pop("teacher", {}),
        }
        return Run.model_validate(base | sections)

    return make


def synthesized(config: Run, console: Console | None = None) -> tuple[Runner, str]:
    runner = Runner(config, console)
    try:
        examples = runner.start().synthesize()
    finally:
        runner.close()
    return runner, examples.folder


def read(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.rglob("*.parquet")) for row in pq.read_table(path).to_pylist()]


class Synthesised(NamedTuple):
    """A first synthesis, and what it had left when it ended; later ones may add to its folder."""

    root: Path
    report: dict[str, Any]
    verdicts: list[dict[str, Any]]
    examples: list[dict[str, Any]]


@pytest.fixture(scope="module")
def first(cluster: None, make_config: Callable[..., Run], tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    root = tmp_path_factory.mktemp("first") / "run"
    runner, folder = synthesized(make_config(root))
    return Synthesised(root, runner.report, read(root / "verdicts"), read(Path(folder)))


def test_every_sample_has_one_verdict_with_its_reason_and_the_right_ones_become_examples(first: Synthesised) -> None:
    assert len(first.verdicts) == len({verdict["sample_id"] for verdict in first.verdicts}) == 12 * len(PROGRAMS)
    reasons = [reason for _, reason in PROGRAMS.values()]
    for verdict in first.verdicts:
        assert verdict["reason"] == reasons[int(verdict["sample_id"].rpartition("/")[2])]
    assert len(first.examples) == 12  # the second right program is the first one again
    assert all(example["completion"][0]["text"].startswith("```python\ndef solution") for example in first.examples)
    verification = first.report["verification"]
    assert (verification["passed"], verification["failed"], verification["unknown"]) == (24, 48, 0)
    assert first.report["selection"]["dropped"]["duplicate"] == 12


def test_files_open_with_other_tools(first: Synthesised, tmp_path: Path) -> None:
    import datasets

    for path in first.root.rglob("*.parquet"):
        rows = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train")
        assert len(rows) == pq.read_table(path).num_rows
    chats = [json.loads(line) for line in (first.root / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [message["role"] for message in chats[0]["messages"]] == ["user", "assistant"]
    assert json.loads((first.root / "dataset_info.json").read_text())


def test_the_same_command_pays_for_nothing_twice(first: Synthesised, make_config: Callable[..., Run]) -> None:
    again, _ = synthesized(make_config(first.root))
    assert again.report["resumed"]["new_samples"] == 0
    limits, _ = synthesized(make_config(first.root, execution={"cpu_s": 1}))
    assert limits.report["resumed"]["new_samples"] == 0
    assert limits.report["resumed"]["new_verdicts"] == 72
    fewer, _ = synthesized(make_config(first.root, recipe={"max_programs": 1}))
    assert fewer.report["resumed"] == {"new_samples": 0, "new_verdicts": 0, "samples": 72, "verdicts": 72}
    warmer, _ = synthesized(make_config(first.root, teacher={"temperature": 0.5}))
    assert warmer.report["resumed"]["new_samples"] == 72
    assert len(list((first.root / "completions").iterdir())) == 2


def test_a_mended_judge_judges_what_is_stored_again(
    cluster: None, make_config: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = Console(file=StringIO(), width=1000)
    config = make_config(tmp_path)
    before, _ = synthesized(config)
    for path in (tmp_path / "verdicts").rglob("*.parquet"):  # as an older judge had it: all is wrong
        table = pq.read_table(path)
        wrong = pa.array(["failed"] * table.num_rows)
        pq.write_table(table.set_column(table.schema.get_field_index("status"), "status", wrong), path)
    shutil.rmtree(tmp_path / "examples")
    misjudged, _ = synthesized(config)
    assert misjudged.report["verification"]["passed"] == misjudged.report["examples"] == 0
    monkeypatch.setattr("raydistill.pipelines.tasks.judging.JUDGE_VERSION", "another")
    after, _ = synthesized(config, console)
    assert after.report["resumed"] == {"new_samples": 0, "new_verdicts": 72, "samples": 72, "verdicts": 0}
    for name in ("passed", "failed", "unknown", "reasons"):
        assert after.report["verification"][name] == before.report["verification"][name]
    assert after.report["examples"] == before.report["examples"] == 12
    assert "synthesis: judging stored completions anew; no new tokens for these" in console.file.getvalue()


def test_a_folder_of_an_earlier_layout_is_one_line_and_stays(make_config: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "completions").mkdir()
    (tmp_path / "config.yaml").write_text("run_dir: x\n")
    runner = Runner(make_config(tmp_path))
    with pytest.raises(UsageError, match="is of an earlier version, whose stored samples have other names") as error:
        runner.start()
    runner.close()
    assert "\n" not in str(error.value) and (tmp_path / "completions").is_dir()


def test_more_samples_add_to_those_there_are_and_what_a_recording_lacks_is_unknown(
    cluster: None, make_config: Callable[..., Run], tmp_path: Path
) -> None:
    synthesized(make_config(tmp_path, teacher={"n": 2}))
    more, _ = synthesized(make_config(tmp_path, teacher={"n": 7}))
    assert more.report["resumed"]["new_samples"] == 60
    assert more.report["verification"]["unknown"] == 12
    assert more.report["verification"]["reasons"]["engine_error"] == 12
    ids = [row["sample_id"] for row in read(tmp_path / "completions")]
    assert len(ids) == len(set(ids)) == 72  # an unknown one is not stored


def test_a_student_is_trained_on_what_was_verified(
    first: Synthesised, make_config: Callable[..., Run], tiny_model: str
) -> None:
    train = {"student": tiny_model, "learning_rate": 1e-3, "epochs": 2, "validation_fraction": 0, "max_length": 256}
    runner = Runner(make_config(first.root, train=train))
    try:
        result = runner.train(runner.start().synthesize())
    finally:
        runner.close()
    assert runner.report["resumed"]["new_samples"] == 0
    assert result.steps > 0 and runner.report["training"]["steps"] == result.steps
    assert result.best_validation_loss is None and result.best == result.last
    student = first.root / "student"
    assert (student / "model.safetensors").is_file() and (student / "raydistill.json").is_file()


def test_no_verified_example_is_one_clear_error_before_training(
    cluster: None, make_config: Callable[..., Run], tiny_model: str, tmp_path: Path
) -> None:
    asked = {"task": "table", "path": str(tmp_path / "questions.jsonl")}
    (tmp_path / "questions.jsonl").write_text('{"question": "What is 1 plus 1?", "answer": "3"}\n')
    config = make_config(tmp_path, questions=asked, train={"student": tiny_model})
    with pytest.raises(TrainingError, match="no examples to train on"):
        run(config)
    assert not (tmp_path / "training").exists()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "It stopped with TrainingError: no examples to train on" in page and "wrong_answer" in page


def test_a_recording_that_lacks_too_much_is_told_before_anything_starts(
    make_config: Callable[..., Run], tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"lacks 72 of 72 samples, of 12 questions: 'What is 0 plus 0\?' \(6\), .*, \.\.\."
    ):
        synthesized(make_config(tmp_path, teacher={"question_column": "completion"}))
    with pytest.raises(UsageError, match=r"lacks 24 of 96 samples, of 12 questions: .* \(2\), .*max_error_share"):
        synthesized(make_config(tmp_path, teacher={"n": 8}))
    assert not (tmp_path / "completions").exists()


def test_no_question_left_is_an_error(make_config: Callable[..., Run], questions_file: Path, tmp_path: Path) -> None:
    same = {"questions": {"task": "table", "path": str(questions_file)}}
    runner = Runner(make_config(tmp_path, evaluation=same))
    with pytest.raises(UsageError, match="no question is left to learn from: all 12 are held out"):
        runner.start()
    runner.close()


def test_a_student_that_is_no_model_stops_the_run_at_once(make_config: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train.student"):
        Runner(make_config(tmp_path / "run", train={"student": str(tmp_path)}))
    assert not (tmp_path / "run").exists()


def test_a_folder_is_one_commands_alone_until_it_ends(make_config: Callable[..., Run], tmp_path: Path) -> None:
    one, other = (Runner(make_config(tmp_path / "run")) for _ in range(2))
    one.start()
    with pytest.raises(UsageError, match="run_dir .*/run is in use by another command; wait"):
        other.start()
    one.close()
    other.start()
    other.close()
