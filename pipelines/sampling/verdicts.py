"""The verdict on completions: their programs are run, their stated answers read; for a run and for the service alike.

completion --output--> program --executors--> value --grade--> verdict
                '--> text ---------------------'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raydistill.actors.errors import SandboxError
from raydistill.actors.executor import Program
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.tasks.base import Grade
from raydistill.pipelines.tasks.judging import returned

Pending = Sequence[tuple[Question, Mapping[str, Any]]]  # questions with rows of `schemas.completion_schema`
Grader = Callable[[Any, Question], Grade]
"""Says of a program's value, or of an answering text, whether it is right; in service, what answer it is."""


async def judge(
    pending: Pending, prompter: Prompter, grade: Grader, executors: Completer | None
) -> list[dict[str, Any]]:
    """A row of `schemas.verdict_schema` for every completion.

    Raises SandboxError where there are programs and no `executors`.
    """
    outputs = [None if c["error"] else prompter.output(c["text"], c["format"], c["finish_reason"]) for _, c in pending]
    programs = [
        Program(completion["sample_id"], output)
        for (_, completion), output in zip(pending, outputs, strict=True)
        if output is not None and completion["format"] == "program"
    ]
    if programs and executors is None:
        raise SandboxError("there are programs to run and no executors to run them; expected answers in words")
    runs: dict[str, Any] = {}
    if programs and executors is not None:
        runs = {verdict.id: verdict for verdict in await executors.call("run", programs)}
    return [
        _verdict(question, completion, output, runs.get(completion["sample_id"]), grade)
        for (question, completion), output in zip(pending, outputs, strict=True)
    ]


def _verdict(
    question: Question, completion: Mapping[str, Any], output: str | None, run: Any, grade: Grader
) -> dict[str, Any]:
    """Engine error, else extraction, else the sandbox's verdict, else the grade."""
    row: dict[str, Any] = {
        "sample_id": completion["sample_id"],
        "question_id": question.id,
        "output": output or "",
        "value": "",
    }
    if completion["error"]:
        return row | {"status": "unknown", "reason": "engine_error", "message": completion["error"]}
    if output is None:
        none = "no_program" if completion["format"] == "program" else "no_answer"
        reason = "length" if completion["finish_reason"] == "length" else none
        return row | {"status": "failed", "reason": reason}
    if run is not None:
        names = ("status", "reason", "kind", "message", "stdout", "cpu_s", "wall_s", "grade", "lane")
        row |= {name: getattr(run, name) for name in names} | {"value": _text(run.value)}
        if run.status != "passed":
            return row
    found = grade(returned(run.value) if run is not None else output, question)
    value = row["value"] if found.reason == "no_answer" else found.parsed  # which spells equal answers alike
    return row | {"status": found.status, "reason": found.reason, "value": value}


def _text(value: Any) -> str:
    return "" if value is None else str(value)
