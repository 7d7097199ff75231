"""What depends on a job's samples is keyed by all that decides which samples these are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raydistill.pipelines.config.sections import Evaluation, Questions
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.evaluation import measure
from raydistill.pipelines.inference.answering import AnswersOnce
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.job import SamplingJob
from raydistill.pipelines.tasks import LoadedQuestions, task_for

MIXED = {"recipe": {"recipe": "mixed"}}


def job(root: Path, student: bool = False, **sections: Any) -> SamplingJob:
    """The job of a run's teacher, or of its student."""
    teacher = {"model": "some/model"} | sections.pop("teacher", {})
    told = {"run_dir": str(root), "questions": {"task": "gsm8k"}, "teacher": teacher, **sections}
    config = Run.model_validate(told)
    recipe: Any = make_recipe(config.recipe)
    loaded = LoadedQuestions(task_for("gsm8k"), [])
    asked = recipe.student if student else recipe.teacher
    return RunContext(config, None).job(config.teacher, loaded, config.teacher, prompter=asked)


@pytest.mark.parametrize("student", [False, True])
def test_formats_share_completions_and_nothing_that_is_made_of_them(tmp_path: Path, student: bool) -> None:
    both, one = (
        job(tmp_path, student, recipe={"recipe": "mixed", "formats": formats})
        for formats in (["program", "rationale"], ["program"])
    )
    assert both.completions == one.completions and both.key != one.key


def test_contexts_share_completions_and_nothing_that_is_made_of_them(tmp_path: Path) -> None:
    one, several = (
        job(tmp_path, recipe={"recipe": "pad", "contexts": names}) for names in (["helper"], ["helper", "straight"])
    )
    assert one.completions == several.completions and one.key != several.key


@pytest.mark.parametrize("changed", [{"n": 2}, {"rounds": 2}, {"rounds": 2, "contexts_per_round": 1}])
def test_more_samples_share_completions_and_nothing_that_is_made_of_them(
    tmp_path: Path, changed: dict[str, int]
) -> None:
    few, more = (job(tmp_path, teacher=teacher, **MIXED) for teacher in ({}, changed))
    assert few.completions == more.completions and few.verdicts == more.verdicts and few.key != more.key


@pytest.mark.parametrize(
    "changed", [{"reasoning_parser": "qwen3"}, {"max_model_len": 64}, {"options": {"quantization": "fp8"}}]
)
def test_settings_that_change_texts_share_nothing(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert job(tmp_path).completions != job(tmp_path, teacher=changed).completions


def behind_url(root: Path, model: str = "m", engine: dict[str, Any] | None = None, **endpoint: Any) -> SamplingJob:
    told = {"base_url": "http://one/v1"} | endpoint
    return job(root, teacher={"engine": "openai", "model": model, "endpoint": told, **(engine or {})})


def test_samples_of_a_model_are_known_wherever_its_server_is(tmp_path: Path) -> None:
    moved = {"base_url": "https://two:8000/v1", "api_key_env": None, "headers": {"X": "y"}, "most_choices": 1}
    assert behind_url(tmp_path).completions == behind_url(tmp_path, engine={"max_num_seqs": 4}, **moved).completions


@pytest.mark.parametrize(
    "changed",
    [
        {"model": "other"},
        {"name": "the other m"},
        {"top_k": 5},
        {"min_p": None},
        {"extra_body": {"reasoning_effort": "low"}},
        {"api": "completions", "tokenizer": "m"},
        {"engine": {"temperature": 0.5}},
    ],
)
def test_other_samples_of_a_model_behind_a_url_share_nothing(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert behind_url(tmp_path).completions != behind_url(tmp_path, **changed).completions


def test_how_a_student_goes_on_is_part_of_its_scores_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of an answerer and the reader of what follows, told apart by their versions."""
    asked: list[list[Any]] = []
    monkeypatch.setattr(measure, "_stored", lambda ctx, name, loaded, keys, compute: asked.append(keys))
    prompter = job(tmp_path).plan.prompter
    config = Run.model_validate({"run_dir": str(tmp_path), "questions": {"task": "gsm8k"}, "teacher": {"model": "a/b"}})
    ctx, evaluation = RunContext(config, None), Evaluation(questions=Questions(task="gsm8k"))
    for answerer in (
        AnswersOnce(prompter),
        AnswersOnce(prompter, version="other"),
        AnswersOnce(replace(prompter, reader="other")),
        AnswersOnce(prompter, limit=1),
    ):
        loaded = LoadedQuestions(task_for("gsm8k"), [])
        measure.evaluate_model(ctx, evaluation, "student", config.teacher, answerer, loaded)
    assert len({str(keys) for keys in asked}) == 4


def test_keys_are_the_same_from_run_to_run(tmp_path: Path) -> None:
    assert job(tmp_path, **MIXED).key == job(tmp_path, **MIXED).key != job(tmp_path).key
