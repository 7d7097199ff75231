"""Whole runs of on-policy distillation, and of soft targets, on tiny models; the same command again does nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.run import run
from raydistill.pipelines.run_config import Run
from tests.pipelines.recipes.opd.test_rounds import sections


@pytest.mark.slow
def test_rounds_one_after_another_and_the_same_command_again(
    cluster: None, tiny_model: str, other_weights: str, questions_file: Path, tmp_path: Path
) -> None:
    settings = sections(tmp_path, other_weights, tiny_model, questions_file, rounds=2, epochs=3)
    report = run(Run.model_validate(settings))
    first, second = report["rounds"]
    assert [first["round"], second["round"]] == [1, 2]
    for told in (first, second):
        assert told["samples"] == 24 and told["accuracy"] == 0 and told["dropped"]["unknown"] == 0
        assert told["trainer_minus_engine"]["largest"] < 1e-3 and Path(told["student"]).is_dir()
        assert told["staleness"]["first"] < 1e-3 <= told["staleness"]["mean"] and 0 <= told["clipped"] <= 1
    assert first["student"] != second["student"]  # a path of its own, which the engine compares
    for result in tmp_path.glob("training/*/result.json"):
        losses = [told[2] for told in json.loads(result.read_text())["history"]["policy_gradient"]]
        assert sum(losses[-len(losses) // 3 :]) < sum(losses[: len(losses) // 3])  # of the last epoch, of the first
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for title in (
        "What the student wrote",
        "What was learned of it",
        "Who scored",
        "How far engine and trainer are apart",
    ):
        assert title in page
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    again = run(Run.model_validate(settings))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == stored
    assert [told["student"] for told in again["rounds"]] == [first["student"], second["student"]]
    assert json.loads((tmp_path / "student" / "raydistill.json").read_text())["recipe"]["recipe"] == "opd"


def test_soft_targets_of_a_local_teacher_beside_any_recipes_examples(
    cluster: None, tiny_model: str, other_weights: str, questions_file: Path, tmp_path: Path
) -> None:
    settings = sections(tmp_path, other_weights, tiny_model, questions_file)
    settings["recipe"] = {"recipe": "pad", "target": "answer", "source": "gold"}
    # so heavy that the teacher decides, and not the gold answers
    settings["train"] |= {"soft_targets": {"weight": 50, "top_k": 4, "beta": 0.5}}
    settings["train"] |= {"epochs": 8, "validation_fraction": 0}
    report = run(Run.model_validate(settings))
    told = report["soft_targets"]
    assert told["examples"] == 12 and told["unknown"] == 0 and told["scored_tokens"] > 12
    [folder] = [
        path.parent
        for path in tmp_path.glob("examples/*/examples.parquet")
        if next(read_examples(str(path))).soft_targets
    ]
    for example in read_examples(str(folder)):
        assert example.soft_targets and example.soft_targets.beta == 0.5 and len(example.soft_targets.ids[0]) == 4
    [result] = tmp_path.glob("training/*/result.json")
    apart = [told[2] for told in json.loads(result.read_text())["history"]["soft_targets"]]
    epoch = len(apart) // settings["train"]["epochs"]
    assert sum(apart[-epoch:]) < sum(apart[:epoch])  # nearer to the teacher
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scores/**/*.parquet")}
    assert stored and run(Run.model_validate(settings))["soft_targets"] == told
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scores/**/*.parquet")} == stored


@pytest.mark.parametrize("privileged", [None, "solution"])
def test_a_context_without_room_for_a_score_is_one_line_before_anything_starts(
    privileged: str | None, tiny_model: str, questions_file: Path, tmp_path: Path
) -> None:
    settings = sections(tmp_path, tiny_model, tiny_model, questions_file, privileged=privileged)
    settings["teacher"] |= {"max_model_len": 128, "max_tokens": 100}
    with pytest.raises(
        UsageError, match=r"context of 128 tokens, and a prompt of \d+ with 100 written .* at least 1\d\d,"
    ):
        run(Run.model_validate(settings))
    assert not (tmp_path / "completions").exists()


def test_soft_targets_need_a_local_teacher(tiny_model: str) -> None:
    told = {"questions": {"task": "gsm8k"}, "teacher": {"engine": "recorded", "model": "a"}}
    with pytest.raises(ValueError, match="come of a local teacher, not of recorded answers"):
        Run.model_validate(told | {"train": {"student": tiny_model, "soft_targets": {}}})
