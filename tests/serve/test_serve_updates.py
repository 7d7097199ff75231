"""A served student that judges and updates its own answers: the trajectory, its cost, votes, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from raydistill.actors.engine.requests import Request
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import after_attempt, asks_for_feedback
from raydistill.pipelines.tasks import task_for
from raydistill.pipelines.tasks.stepwise.prompts import ALL_RIGHT, attempt_prompt
from raydistill.serve.schema import SolveAnswer, request_model
from raydistill.serve.solver import Solver
from raydistill.serve.student import Student
from tests.serve.saying import Saying

WRONG = "Step 1: 3 + 4 = 8, so 8\nStep 2: Therefore, the answer is 8."
BETTER = "Step 1: 3 + 4 = 7, so 7\nStep 2: Therefore, the answer is 9."
RIGHT = "Step 1: 3 + 4 = 7, so 7\nStep 2: Therefore, the answer is 7."
FIRST = 'Step 1 is wrong: "3 + 4 = 8". 3 + 4 = 7.'
SECOND = 'Step 2 is wrong: "9". The steps lead to 7.'
GOES_ON = {
    asks_for_feedback(BETTER): f" {SECOND}\nUpdated answer:\n{RIGHT}",
    asks_for_feedback(RIGHT): f" {ALL_RIGHT}",
}


def solve(begins: Sequence[str], recipe: Any, **request: Any) -> SolveAnswer:
    """What the service answers when the student begins with one of `begins` per sample."""

    def say(asked: Request) -> Sequence[str]:
        [message] = asked.prompt
        assert message["content"] == attempt_prompt("3 + 4 =") or isinstance(recipe, PaD)
        return [GOES_ON[asked.prefix]] if asked.prefix else begins

    student = Student("student", "", "", recipe=recipe, task=task_for("stepwise:multistep_arithmetic"))
    body = request_model(make_recipe(recipe).options)(question="3 + 4 =", n=len(begins), **request)
    return asyncio.run(Solver(student, Saying(say), None).solve(body))


def test_the_trajectory_is_shown() -> None:
    begin = WRONG + after_attempt(FIRST, BETTER)
    answer = solve([begin], TriPosT())
    assert (answer.answer, answer.ending) == ("7", "limit")
    assert answer.trajectory is not None
    assert [turn.attempt for turn in answer.trajectory] == [WRONG, BETTER, RIGHT]
    assert [turn.feedback for turn in answer.trajectory] == [FIRST, SECOND, ""]
    assert answer.completion == begin + after_attempt(SECOND, RIGHT)
    assert (answer.prompt_tokens, answer.completion_tokens) == (10, 14)

    patient = solve([begin], TriPosT(updates=3), improve=True)
    assert (patient.answer, patient.ending, patient.completion_tokens) == ("7", "correct", 21)


def test_without_improve_the_first_attempt_counts() -> None:
    answer = solve([WRONG + after_attempt(FIRST, RIGHT)], TriPosT(), improve=False)
    assert (answer.answer, answer.trajectory, answer.ending, answer.completion_tokens) == ("8", None, None, 7)


def test_improved_samples_vote() -> None:
    begins = [WRONG + after_attempt(ALL_RIGHT), WRONG + after_attempt(FIRST, RIGHT), RIGHT + after_attempt(ALL_RIGHT)]
    answer = solve(begins, TriPosT(), improve=True)
    assert (answer.answer, answer.votes, answer.ending) == ("7", {"7": 2, "8": 1}, "correct")


def test_other_students_cannot_improve() -> None:
    with pytest.raises(ValidationError, match="improve\n *Extra inputs"):
        solve([WRONG], PaD(target="rationale"), improve=True)
