"""PaD's recipe: what it asks, and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from ray import cloudpickle

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.prompts import context_names, load_context
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run

QUESTION = Question("q", "How many legs have 3 cats?", "12")


def sample(index: int, output: str, status: str = "passed", reason: str = "ok") -> Sample:
    return Sample(
        *(f"q/program-instruct/{index}", "q", index, output, output, status, reason, "12", 10, 20, "stop", index),
        context="program-instruct",
    )


def test_a_question_is_asked_once_per_context() -> None:
    names = tuple(context_names("program"))
    assert len(names) >= 8
    prompts = ProgramAidedDistillation(PaD(contexts=names, shots=2)).teacher.prompts(QUESTION)
    assert [prompt.context.rpartition("-")[0] for prompt in prompts] == [f"program-{name}" for name in names]
    for prompt in prompts:
        assert [message["role"] for message in prompt.messages] == ["user", "assistant"] * 2 + ["user"]
        assert QUESTION.text in prompt.messages[-1]["content"]
    assert len({str(prompt.messages) for prompt in prompts}) == len(names)


def test_a_contexts_name_in_ids_changes_with_what_it_shows() -> None:
    def name(shots: int) -> str:
        return ProgramAidedDistillation(PaD(contexts=("helper",), shots=shots)).teacher.prompts(QUESTION)[0].context

    assert name(2) == name(2) != name(4)


def test_a_context_of_ones_own_travels_to_the_actors(tmp_path: Path) -> None:
    own = tmp_path / "mine.yaml"
    shipped = load_context("helper").model_dump(mode="json", exclude={"name"})
    own.write_text(str(shipped), encoding="utf-8")
    recipe = ProgramAidedDistillation(PaD(contexts=(str(own),)))
    asked = recipe.teacher.prompts(QUESTION)
    assert asked[0].context.startswith("program-mine-")
    own.unlink()
    load_context.cache_clear()
    assert cloudpickle.loads(cloudpickle.dumps(recipe.teacher)).prompts(QUESTION) == asked


@pytest.mark.parametrize(
    ("contexts", "message"),
    [
        (("helper", "helper"), "helper is there twice"),
        (("sentences",), "shows a rationale, but a program is asked for"),
        (("helpful",), "unknown context 'helpful'"),
    ],
)
def test_contexts_that_cannot_be_asked_are_named(contexts: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ProgramAidedDistillation(PaD(contexts=contexts)).teacher.prompts(QUESTION)


def test_distinct_verified_programs_up_to_m_become_examples() -> None:
    samples = [
        sample(0, "def solution():\n    return 4 * 3"),
        sample(1, "def solution():\n    legs = 4 * 3\n    return legs"),
        sample(2, "def solution():\n    n = 4 * 3\n    return n"),
        sample(3, "def solution():\n    return 13", "failed", "wrong_answer"),
        sample(4, "def solution():\n    return 12", "unknown", "infra"),
        sample(5, "def solution():\n    return 3 + 3 + 3 + 3"),
    ]
    recipe = ProgramAidedDistillation(PaD(max_programs=2))
    selection = recipe.selector.select(QUESTION, samples)
    assert [example.source for example in selection.examples] == ["q/program-instruct/0", "q/program-instruct/1"]
    assert selection.dropped == {"duplicate": 1, "wrong_answer": 1, "infra": 1, "over_limit": 1}
    assert not recipe.selector.enough(QUESTION, samples[:1])
    assert recipe.selector.enough(QUESTION, samples[:2])


def test_without_the_filter_wrong_programs_are_learned_and_unknown_ones_are_not() -> None:
    samples = [
        sample(0, "def solution():\n    return 13", "failed", "wrong_answer"),
        sample(1, "x", "unknown", "infra"),
    ]
    selection = ProgramAidedDistillation(PaD(filter=False)).selector.select(QUESTION, samples)
    assert [example.source for example in selection.examples] == ["q/program-instruct/0"]


@pytest.mark.parametrize(
    ("settings", "completion", "asked"),
    [
        ({"target": "answer"}, "12", "Give only the answer.\n\nQuestion: How many legs have 3 cats?"),
        (
            {"target": "rationale"},
            "A cat has 4 legs. 3 * 4 = 12 legs.\nTherefore, the answer is 12.",
            "Think step by step and end with: Therefore, the answer is X.\n\nQuestion: How many legs have 3 cats?",
        ),
    ],
)
def test_gold_solutions_are_learned_without_a_teacher(
    settings: dict[str, str], completion: str, asked: str, tmp_path: Path
) -> None:
    table = tmp_path / "gold.jsonl"
    row = {"question": QUESTION.text, "answer": "12", "worked": "A cat has 4 legs. 3 * 4 = <<3*4=12>>12 legs."}
    table.write_text(json.dumps(row), encoding="utf-8")
    config = Run.model_validate(
        {
            "run_dir": str(tmp_path / "run"),
            "questions": {"task": "table", "path": str(table), "rationale_column": "worked"},
            "teacher": {"model": "not/asked"},
            "recipe": {"source": "gold", **settings},
        }
    )
    runner = Runner(config)
    (example,) = read_examples(runner.start().synthesize().folder)
    assert example.text == completion and example.messages == ({"role": "user", "content": asked},)
    assert runner.report["examples"] == 1 and runner.report["teacher"]["generated_tokens"] == 0


def test_a_task_without_worked_solutions_is_named() -> None:
    recipe = ProgramAidedDistillation(PaD(target="rationale", source="gold"))
    with pytest.raises(UsageError, match="no worked solution with the question 'How many legs"):
        recipe.gold_example(QUESTION)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "answer"}, "set source to gold"),
        ({"source": "gold"}, "no gold programs"),
        ({"refine": {}, "filter": False}, "refine needs verified programs"),
        ({"refine": {"faults": ["syntax"], "faults_per_program": 2}}, "above the 1 kinds"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PaD.model_validate(settings)
