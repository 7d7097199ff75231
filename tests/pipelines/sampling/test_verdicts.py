"""What the token limit cut off is judged as far as it was finished; recipes with rules of their own read it all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from raydistill.actors.executor import Executor
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.recipes.tripost.updating import GO_ON, STUDENT
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.sampling.verdicts import judge
from raydistill.pipelines.tasks.base import AnswerTask

PROGRAM = "def solution():\n    total = 3\n    total = total * 2\n    return total"
QUESTION = Question("q", "What is twice 3?", "6")


class Local:
    """An executor in this process, called as a pool is."""

    def __init__(self) -> None:
        self.executor = Executor()

    async def call(self, method: str, *arguments: Any) -> Any:
        return await asyncio.to_thread(getattr(self.executor, method), *arguments)


def verdict(text: str, form: str, finish_reason: str, prompter: Prompter, executors: Local | None) -> tuple[str, str]:
    row = {"sample_id": "q/x/0", "text": text, "format": form, "finish_reason": finish_reason, "error": ""}
    grade = AnswerTask("t", "numeric").grade
    (found,) = asyncio.run(judge([(QUESTION, row)], prompter, grade, executors))
    return found["status"], found["reason"]


@pytest.fixture(scope="module")
def executors():
    local = Local()
    yield local
    local.executor.close()


def test_no_prefix_of_a_program_passes_or_fails_for_its_answer(executors: Local) -> None:
    prompter = ProgramAidedDistillation(PaD()).student
    for end in range(0, len(PROGRAM), 7):
        for fence in ("", "```python\n"):
            assert verdict(fence + PROGRAM[:end], "program", "length", prompter, executors) == ("failed", "length")
    closed = f"```python\n{PROGRAM}\n```\nIt ret"
    assert verdict(closed, "program", "length", prompter, executors) == ("passed", "ok")
    assert verdict(f"{PROGRAM}\n\nQuestion: W", "program", "length", prompter, executors) == ("passed", "ok")
    assert verdict(PROGRAM, "program", "stop", prompter, executors) == ("passed", "ok")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Twice 3 is 6", ("failed", "length")),
        ("The answer is 6.", ("failed", "length")),
        ("The answer is 6.\n\nQuestion: What", ("passed", "ok")),
        ("The answer is 6.<|im_end|>", ("passed", "ok")),
        ("<think>The answer is 6.", ("failed", "length")),
    ],
)
def test_answers_in_words_that_were_cut_off(text: str, found: tuple[str, str]) -> None:
    prompter = ProgramAidedDistillation(PaD(target="rationale")).student
    assert verdict(text, "rationale", "length", prompter, None) == found
    if found[0] == "failed" and "think" not in text:
        assert verdict(text, "rationale", "stop", prompter, None) == ("passed", "ok")


def test_turns_are_read_by_their_own_rule() -> None:
    for prompter in (STUDENT, GO_ON):
        assert prompter.output("Step 1: 3 + 3 =", "text", "length") == "Step 1: 3 + 3 ="
