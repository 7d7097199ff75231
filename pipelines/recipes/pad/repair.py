"""PaD's second task: repair a program, given what the interpreter said of it (arXiv 2305.13888, section 2.3).

    question, broken program, feedback --student--> program

Broken programs come from faults injected into verified ones, and from the student's own failures, of which nine
tenths are wrong values in the paper's data. Feedback is what running the program showed and nothing else: the
interpreter's last line, or the value that came back. The right answer is never in it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from raydistill.actors.engine.requests import Completion, Request
from raydistill.pipelines.data.records import Example, Question, Sample, WeightedText, content_hash
from raydistill.pipelines.prompts import ask, fence
from raydistill.pipelines.recipes.pad.config import Refine
from raydistill.pipelines.recipes.pad.faults import FAULTS, inject
from raydistill.pipelines.sampling.program_dedup import canonical_program
from raydistill.pipelines.sampling.prompter import Prompt, Prompter, Selection
from raydistill.pipelines.tasks.extract import extract_program

WITHOUT_MESSAGE = {
    "cpu": "The program did not come to an end.",
    "timeout": "The program did not come to an end.",
    "no_result": "The program returned None.",
    "no_entry": "The program has no function solution().",
    "output_limit": "The program printed too much.",
    "memory": "MemoryError",
}
NOT_REPAIRABLE = frozenset(("wrong_answer", "no_answer", "no_program", "length", "policy", "protocol"))
"""Reasons that give a student no feedback at inference: no gold answer is known there, or there is no program."""


def repair_messages(question: str, program: str, feedback: str) -> list[dict[str, Any]]:
    """The chat that asks for a repair."""
    content = f"{ask('repair', question)}\n\n{fence(program)}\n\nFeedback: {feedback}"
    return [{"role": "user", "content": content}]


def feedback(reason: str, message: str, value: str = "") -> str:
    """What a failed run tells: ``feedback("exception:NameError", "NameError: name 'x' is not defined")``."""
    if reason in ("wrong_answer", "no_answer"):
        return f"The program returned {value or 'nothing'}, which is wrong."
    return WITHOUT_MESSAGE.get(reason) or message or f"The program failed: {reason}."


def repair_question(question: Question, program: str, said: str, **meta: Any) -> Question:
    """The task of repairing a program as a question of its own."""
    identity = content_hash(question.id, program, said)
    return replace(question, id=identity).noting(**{"program": program, "feedback": said, **meta})


def _ask_for_repair(question: Question) -> list[Prompt]:
    meta = question.meta
    said = repair_messages(question.text, meta.get("program", ""), meta.get("feedback", ""))
    return [Prompt("repair", said, "program")]


REPAIR = Prompter(_ask_for_repair, lambda text, form: extract_program(text), "repair/1", ("program",))
"""Asks for the repair of `meta["program"]` after `meta["feedback"]`."""


def fault_prompter(config: Refine) -> Prompter:
    """Has `meta["program"]`, a verified one, broken in some of the kinds of fault, drawn by the question's id."""

    def prompts(question: Question) -> list[Prompt]:
        kinds = sorted(set(config.faults))
        drawn = random.Random(f"{config.seed}/{question.id}").sample(kinds, config.faults_per_program)
        program = [{"role": "user", "content": question.meta.get("program", "")}]
        return [Prompt(f"fault-{kind}", program, "program") for kind in sorted(drawn)]

    return Prompter(prompts, lambda text, form: text or None, "faults/1", ("program",))


class InjectedFaults:
    """Learns what makes a broken program right again, of faults that raised what was intended."""

    version = "injected-faults/1"

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        return True

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """The other faults are counted by what came instead."""
        examples, dropped = [], Counter[str]()
        for sample in samples:
            kind = sample.context.removeprefix("fault-")
            if sample.output and sample.reason == FAULTS[kind].reason and sample.detail:
                examples.append(_example(question, sample, sample.detail, fault=kind))
            else:
                dropped[f"{kind}: {sample.reason if sample.output else 'no place'}"] += 1
        return Selection(examples, dict(dropped))


class FaultWriter:
    """Stands where an engine stands: completes ``<question>/fault-<kind>`` with the prompt's program, broken."""

    async def call(self, method: str, *arguments: Any) -> list[Completion]:
        (requests,) = arguments
        return [self._break(request, index) for request in requests for index in request.indices]

    def _break(self, request: Request, index: int) -> Completion:
        kind, seed = request.id.rpartition("fault-")[2], request.seed + index
        program = inject(kind, str(request.prompt[0]["content"]), seed)  # type: ignore[index]
        return Completion(request.id, index, program or "", "", "stop", 0, 0, seed, "faults")


class OwnFailures:
    """The student's failing programs are to become `meta["program"]`, a verified one."""

    version = "own-failures/1"

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        return True

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """At most `limit` distinct failing programs."""
        dropped: Counter[str] = Counter()
        kept: dict[str, Example] = {}
        for sample in samples:
            form = canonical_program(sample.output) or sample.output
            if sample.status != "failed" or not sample.output:
                dropped["right" if sample.status == "passed" else sample.reason] += 1
            elif form in kept or len(kept) == self.limit:
                dropped["duplicate" if form in kept else "over_limit"] += 1
            else:
                said = feedback(sample.reason, sample.detail, sample.value)
                kept[form] = _example(question, sample, said, fault="own")
        return Selection(list(kept.values()), dict(dropped))


def _example(question: Question, sample: Sample, said: str, fault: str) -> Example:
    right, question_id = question.meta["program"], question.meta.get("question_id", question.id)
    return Example(
        id=content_hash("pad-repair", question_id, sample.output, said, right),
        question_id=question_id,
        messages=tuple(repair_messages(question.text, sample.output, said)),
        completion=(WeightedText(fence(right)),),
        group=question_id,
        answer=question.answer,
        source=sample.id,
        meta={"task": "repair", "fault": fault},
    )
