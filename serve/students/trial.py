"""What a student has to do before it is served: be in its engine, give a token, and answer a question if one is asked.

learn [adapter] --> a token --> question --solved--> an answer, the right one where that is told
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from raydistill.actors.errors import EngineError, UsageError
from raydistill.pipelines.data.records import Question
from raydistill.serve.calls import LOST
from raydistill.serve.student import Student

if TYPE_CHECKING:
    from raydistill.serve.students.catalog import Served

REASON_CHARACTERS = 300


class Trial(NamedTuple):
    """A question that a student must answer before it is served, and the right answer; None: none is asked."""

    question: str | None = None
    answer: str | None = None


async def learn(student: Student, engine: Any) -> None:
    """Have an engine load its adapter. Raises UsageError with what is wrong with it."""
    from ray.exceptions import RayError, RayTaskError
    from ray.serve.exceptions import RayServeException

    try:
        if student.later:
            await engine.learn.remote(*student.later)
    except (RayError, RayServeException) as error:
        if not isinstance(error, RayTaskError) or not isinstance(error.cause, ValueError):
            raise EngineError(LOST) from error
        reason = " ".join(str(error.cause).split())[-REASON_CHARACTERS:]
        raise UsageError(f"{student.folder}: cannot be loaded: {reason}") from None


async def try_out(served: Served, trial: Trial) -> None:
    """Raise UsageError where it does not answer as it should, EngineError or SandboxError where that cannot be told."""
    await served.model.check()
    if trial.question is None:
        return
    student, told = served.student, await served.solver.solve(served.body(question=trial.question))
    asked = f"{student.folder}: asked {trial.question!r:.200}, it"
    if told.answer is None:
        raise UsageError(f"{asked} gives no answer ({told.reason}): the students are as before")
    wanted = Question("", trial.question, trial.answer or "")
    if trial.answer is not None and student.task.grade(told.answer, wanted).status == "failed":
        raise UsageError(f"{asked} answers {told.answer!r:.100}, not {trial.answer!r:.100}: the students are as before")
