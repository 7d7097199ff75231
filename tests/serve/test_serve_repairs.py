"""Repairs that a request asks for: as many as it says, each one run, only by students that have learned to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from raydistill.actors.engine.requests import Request
from raydistill.actors.executor import Executor
from raydistill.pipelines.recipes.pad.config import PaD, Refine
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.serve.schema import SolveAnswer, request_model
from raydistill.serve.solver import Solver
from raydistill.serve.student import Student
from tests.serve.saying import LocalExecutor, Saying

VERSIONS = ("return a + b", "a = 3\n    return a + b", "a, b = 3, 4\n    return a + b")  # each lacks a name less


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    made = Executor()
    yield made
    made.close()


def solve(executor: Executor, recipe: Any, **request: Any) -> SolveAnswer:
    def say(asked: Request) -> list[str]:
        """One name more than in the program that it is asked to repair."""
        shown = [body for body in VERSIONS if f"():\n    {body}" in asked.prompt[-1]["content"]]
        body = VERSIONS[VERSIONS.index(shown[0]) + 1] if shown else VERSIONS[0]
        return [f"```python\ndef solution():\n    {body}\n```"] * len(asked.indices)

    student = Student("student", "", "", recipe=recipe)
    body = request_model(make_recipe(recipe).options)(question="What is 3 plus 4?", **request)
    return asyncio.run(Solver(student, Saying(say), LocalExecutor(executor)).solve(body))


def test_a_request_says_how_many_repairs_there_may_be(executor: Executor) -> None:
    told = [solve(executor, PaD(refine=Refine(repairs=1)), repairs=repairs) for repairs in (0, 1, 2, 8, None)]
    assert [answer.answer for answer in told] == [None, None, "7", "7", None]
    assert [answer.repairs for answer in told] == [0, 1, 2, 2, 1]
    assert [answer.completion_tokens for answer in told] == [7, 14, 21, 21, 14]
    assert told[0].reason == told[1].reason == "exception:NameError"


def test_repairs_are_for_students_that_have_learned_them(executor: Executor) -> None:
    for recipe in (PaD(), TriPosT()):
        with pytest.raises(ValidationError, match="repairs\n *Extra inputs"):
            solve(executor, recipe, repairs=1)
    with pytest.raises(ValidationError, match="less than or equal to 8"):
        solve(executor, PaD(refine=Refine()), repairs=9)
