"""Evaluation and service read, count and elect answers alike: a run's stages and the solver on the same samples."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from raydistill.actors.executor import Program, Verdict
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.evaluation.scores import Score, score
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.sampling import stored_rows
from raydistill.pipelines.sampling.schemas import generated_schema
from raydistill.pipelines.sampling.stages import Budget, Select, Verify
from raydistill.pipelines.tasks import ReadableTask, task_for
from raydistill.pipelines.tasks.judging import elect
from raydistill.serve.schema import SolveAnswer, SolveRequest
from raydistill.serve.solver import Solver
from raydistill.serve.student import Student
from tests.serve.saying import Saying

PROGRAM, RATIONALE = PaD(), PaD(target="rationale")
MONEY = ["$1,080", 1080, "1080 dollars", 1090, 1090]
LETTERS = ["B", "(B)", "b)", "C", "C"]
OPTIONS = {"A": "vitamin B", "B": "the desert", "C": "none"}
ASKED = "Where is it?\nOptions:\n(A) vitamin B\n(B) the desert\n(C) none"
FAILING = "raise ValueError"


class Sandbox:
    """Runs programs of one line, ``return <literal>``."""

    async def call(self, method: str, programs: Sequence[Program]) -> list[Verdict]:
        return [self._run(program) for program in programs]

    def _run(self, program: Program) -> Verdict:
        body = program.source.partition("\n    ")[2]
        if body == FAILING:
            return Verdict(program.id, "failed", "exception:ValueError")
        return Verdict(program.id, "passed", "ok", eval(body.removeprefix("return ")))


def program(value: Any) -> str:
    return f"def solution():\n    {value if value == FAILING else f'return {value!r}'}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_rows, "started_again", lambda: False)
        yield tmp_path_factory.mktemp("verdicts")


def evaluated(
    folder: Path, task: ReadableTask, recipe: PaD, question: Question, texts: Sequence[str], sandbox: Any = None
) -> tuple[Score, Sequence[str]]:
    """What an evaluation makes of these samples: their score, and the values that votes count."""
    asked = {"context": "x", "format": recipe.target, "prompt_tokens": 1, "completion_tokens": 1, "error": ""}
    completions = [
        {"sample_id": f"{question.id}/x/{i}", "question_id": question.id, "text": text, "finish_reason": "stop"}
        | {"index": i, "seed": i}
        | asked
        for i, text in enumerate(texts)
    ]
    row = {"question_id": question.id, "text": question.text, "answer": question.answer, "meta": question.notes}
    row |= {"stored_completions": [], "stored_verdicts": [], "completions": completions, "generated": len(texts)}
    prompter = make_recipe(recipe).student
    verify = Verify(prompter, task, sandbox or Sandbox(), str(folder / "run" / "verdicts"))  # type: ignore[arg-type]
    verified = asyncio.run(verify(pa.Table.from_pylist([row], schema=generated_schema())))
    [outcome] = Select(None, None, Budget())(verified).to_pylist()
    statuses, values = outcome["statuses"], outcome["values"]
    sampled = [(statuses, values)]
    return score(sampled, sampled, samples=len(texts), temperature=0.7, grader=""), values


def served(
    task: ReadableTask, recipe: PaD, question: str, texts: Sequence[str], choices: Any = None
) -> tuple[SolveAnswer, str]:
    """What the service answers with these samples, and what it has asked."""
    model = Saying(lambda request: texts)

    student = Student("s", "m", "m", recipe=recipe, task=task)
    solver = Solver(student, model, Sandbox())
    request = SolveRequest(question=question, n=len(texts), choices=choices)
    answer = asyncio.run(solver.solve(request))
    return answer, model.asked[0].prompt[-1]["content"]  # type: ignore[index, return-value]


def as_texts(recipe: PaD, values: Sequence[Any]) -> list[str]:
    if recipe.target == "program":
        return [program(value) for value in values]
    return [f"I think so.\nTherefore, the answer is {value}." for value in values]


@pytest.mark.parametrize("recipe", [PROGRAM, RATIONALE], ids=["programs", "texts"])
@pytest.mark.parametrize(
    ("task", "question", "values", "answer"),
    [
        (task_for("table", "numeric"), "What is earned?", MONEY, "1080"),
        (task_for("gsm8k"), "What is earned?", MONEY, "1080"),
        (task_for("bbh"), "What is earned?", MONEY, "1080"),
        (task_for("table", "choice"), "Which one?", LETTERS, "B"),
        (task_for("table", "choice"), ASKED, ["The desert", *LETTERS[1:]], "B"),
        (task_for("bbh"), ASKED, LETTERS, "B"),
        (task_for("nli"), "Which?", ["Neutral", "neutral", "it is entailed", "maybe", "maybe"], "neutral"),
        (task_for("extractive_qa"), "Which?", ["The Sea", "sea", "sea!", "Land", "Land"], "sea"),
        (task_for("stepwise:multistep_arithmetic"), "1 + 4 =", ["5", 5, "6", 7, 7], "5"),
    ],
)
def test_the_same_answer_is_elected(
    folder: Path, recipe: PaD, task: ReadableTask, question: str, values: list[Any], answer: str
) -> None:
    texts = as_texts(recipe, values)
    measured, counted = evaluated(folder, task, recipe, Question.make("t", question, answer), texts)
    found, _ = served(task, recipe, question, texts)
    assert measured.majority == 1.0
    assert counted[elect(counted) or 0] == found.answer == answer


@pytest.mark.parametrize("recipe", [PROGRAM, RATIONALE], ids=["programs", "texts"])
@pytest.mark.parametrize(("values", "right"), [(["7", "8", "8", "7"], "7"), (["9", "8", "7", "7", "8"], "8")])
def test_of_a_tie_the_first_is_elected(folder: Path, recipe: PaD, values: list[str], right: str) -> None:
    texts, task = as_texts(recipe, values), task_for("gsm8k")
    measured, _ = evaluated(folder, task, recipe, Question.make("t", "How many?", right), texts)
    assert (measured.majority, served(task, recipe, "How many?", texts)[0].answer) == (1.0, right)


TASKS = [task_for("table", kind) for kind in ("numeric", "choice", "text")]
TASKS += [
    task_for(name) for name in ("bbh", "nli", "extractive_qa", "stepwise:word_sorting", "stepwise:date_understanding")
]
VALUES = [5, 5.0, "5", "$5.00", "5 apples", "B", "(B)", "b) the desert", "The Desert.", "vitamin B", "A", True, "yes"]
VALUES += ["1 2\n3 4", "1 2 3 4", "neutral", "Entailment", "", " ", "?", -0.5, "-1/2", "a b" * 150, FAILING]
ENDINGS = ["The answer is {}.", "<answer>{}</answer>", "{}", "So {}", "A: {}", "#### {}", "It is hot.\n{}", "<think>{}"]


def test_any_samples_are_counted_alike(folder: Path) -> None:
    """Random samples, programs and texts, by every kind of task, with options in the question, beside it, or none."""
    rng = random.Random(7)
    for trial in range(400):
        task, recipe = rng.choice(TASKS), rng.choice([PROGRAM, RATIONALE])
        drawn = rng.choices(VALUES, k=rng.randint(1, 7))
        said = [program(v) if rng.random() < 0.9 else "None." for v in drawn]
        if recipe is RATIONALE:
            said = [rng.choice(ENDINGS).format(v) for v in drawn]
        plain, choices = rng.choice(
            [("Where is it?", None), ("Where is it?", OPTIONS), (ASKED, None), (ASKED, OPTIONS)]
        )
        loaded = Question.make("t", ASKED if choices else plain, str(rng.choice(VALUES)))
        _, counted = evaluated(folder, task, recipe, loaded.noting(trial=trial), said)
        found, asked = served(task, recipe, plain, said, choices)
        place, told = elect(counted), json.dumps([task.name, task.grader, plain, choices, said])
        assert cut(found.answer or "") == (counted[place] if place is not None else ""), told
        assert sorted(found.votes.values()) == sorted(Counter(filter(None, counted)).values()), told
        assert asked.count("Options:") == (loaded.text == ASKED), told


def cut(value: str) -> str:
    """A long answer as the driver of a run is told it."""
    from raydistill.pipelines.data.records import content_hash

    return value if len(value) <= 200 else f"{value[:183]} {content_hash(value)}"


def test_options_are_written_into_the_question_as_tables_write_them() -> None:
    task, texts = task_for("table", "choice"), ["The answer is the desert."]
    for choices in (OPTIONS, list(OPTIONS.values())):
        found, asked = served(task, RATIONALE, "Where is it?", texts, choices)
        assert ASKED in asked and (found.answer, found.question) == ("B", "Where is it?")
    _, asked = served(task, RATIONALE, ASKED, texts, OPTIONS)
    assert asked.count("(B) the desert") == 1
    found, asked = served(task, RATIONALE, "Where is it?", texts)
    assert "Options" not in asked and found.answer == "the desert"


@pytest.mark.parametrize("choices", [[], {}, {"a": "x"}, {"AB": "x"}, [""], ["x\ny"], ["x"] * 27])
def test_options_that_cannot_be_lettered_are_refused(choices: Any) -> None:
    with pytest.raises(ValidationError, match="choices"):
        SolveRequest(question="Which?", choices=choices)
