"""Repairs at inference (PaD, arXiv 2305.13888, section 2.3): the student gets programs back that failed to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.inference.answering import Answered, Judge, last_sample
from raydistill.pipelines.recipes.pad.repair import NOT_REPAIRABLE, REPAIR, feedback, repair_question
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.tasks import Task


class RepairOptions(Strict):
    """What a request to a student that has learned to repair may set."""

    repairs: int | None = Field(
        None,
        ge=0,
        le=8,
        description="at most so many repairs of each program that fails to run, every one executed; default: as many "
        "as the student was evaluated with",
    )


@dataclass(frozen=True, slots=True)
class RepairsFailures:
    """A program that fails to run goes back with what the interpreter said, up to `limit` times; each repair is run.

    One that gives a value is final: whether the value is right nobody knows at inference.
    """

    prompter: Prompter
    limit: int
    version: str = "repairs/1"

    @property
    def follow_ups(self) -> Prompter:
        return REPAIR

    def follow_up(self, question: Question, trail: Sequence[Sample]) -> Question | None:
        last = trail[-1]
        if last.status != "failed" or not last.output or last.reason in NOT_REPAIRABLE:
            return None
        return repair_question(question, last.output, feedback(last.reason, last.detail))

    def close(self, question: Question, trail: Sequence[Sample], judge: Judge) -> Answered:
        return replace(last_sample(trail), shown={"repairs": len(trail) - 1})

    def account(self, answers: Sequence[tuple[Question, Answered]], task: Task) -> Mapping[str, Any]:
        """`before_repairs`: accuracy and executable rate of the first programs, of those that are known."""
        firsts = [answer.trail[0] for _, answer in answers if answer.status != "unknown"]
        if not self.limit or not firsts:
            return {}
        passed, executable = (
            sum(sample.status == "passed" for sample in firsts),
            sum(bool(sample.value) for sample in firsts),
        )
        return {"before_repairs": {"accuracy": passed / len(firsts), "executable": executable / len(firsts)}}
