"""Conversations of a student with itself: attempts, feedback on them, updated answers (TriPosT, 2310.13522).

One assistant turn holds all of it, so that one model attempts, judges and corrects, and decides to do so:

    Step 1: 3 + 4 = 8, so 8 * 2
    Step 2: 8 * 2 = 16, so 16
    Step 3: Therefore, the answer is 16.
    Feedback: Step 1 is wrong: "3 + 4 = 8". 3 + 4 = 7.
    Updated answer:
    Step 1: 3 + 4 = 7, so 7 * 2
    ...

What feedback says is worded in `pipelines.tasks.stepwise.prompts`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from raydistill.pipelines.tasks.stepwise.base import Feedback
from raydistill.pipelines.tasks.stepwise.prompts import read_feedback
from raydistill.pipelines.tasks.stepwise.steps import split_lines, stated_answer, step_text

FEEDBACK, UPDATE = "Feedback:", "Updated answer:"
HEADERS = re.compile(rf"^({FEEDBACK}|{UPDATE})", re.MULTILINE)
NEXT_QUESTION = re.compile(r"^(?:Question|Q): ?", re.MULTILINE)
TAIL = 50  # characters of an attempt's end that must not stand in it before
SAME_WORDS = re.compile(r"\b(\w+)(?:\s+\1\b){4}")

Ending = Literal[
    "correct",  # the student finds its answer right
    "no_feedback",  # it stopped after an attempt
    "unreadable_feedback",  # it says neither what is wrong nor that all is right
    "no_update",  # it says what is wrong, and stopped
    "broken_update",  # the update states no answer: the one before counts
    "repetition",  # the update says again what was said before: the one before counts
    "no_progress",  # feedback finds the same fault again, or an earlier one
    "limit",  # so many updates are allowed
]


@dataclass(frozen=True, slots=True)
class Turn:
    """An attempt and what is said about it; ``Turn("Step 1: ...", "All steps are right.")``, or not judged yet."""

    attempt: str
    feedback: str = ""

    @property
    def verdict(self) -> Feedback | None:
        """The feedback as it is meant; None where there is none that can be read."""
        return read_feedback(self.feedback) if self.feedback else None


def read_turns(text: str, *, cut_off: bool = False) -> list[Turn]:
    """The turns in what a student wrote, up to the first header that is out of turn or another question.

    Of a text that was `cut_off` by the token limit, what stands behind the last header is left out, unless it is the
    first attempt.
    """
    pieces = HEADERS.split(NEXT_QUESTION.split(text)[0])
    if cut_off and len(pieces) > 1:
        pieces = pieces[:-2]
    turns = [Turn(pieces[0].strip())]
    for header, body in zip(pieces[1::2], pieces[2::2], strict=True):
        expected = UPDATE if turns[-1].feedback else FEEDBACK
        if header != expected or not body.strip():
            break
        if header == FEEDBACK:
            turns[-1] = Turn(turns[-1].attempt, body.strip())
        else:
            turns.append(Turn(body.strip()))
    return turns


def first_attempt(text: str) -> str:
    """What a student wrote before any feedback."""
    return read_turns(text)[0].attempt


def asks_for_feedback(attempt: str) -> str:
    """The beginning of an assistant turn that the student goes on from with feedback on `attempt`."""
    return f"{attempt}\n{FEEDBACK}"


def after_attempt(feedback: str, update: str | None = None) -> str:
    """What follows an attempt: the feedback, and the updated answer where there is one."""
    said = f"\n{FEEDBACK} {feedback}"
    return said if update is None else f"{said}\n{UPDATE}\n{update}"


def settle(turns: Sequence[Turn], limit: int) -> tuple[list[Turn], Ending | None]:
    """The turns up to where the conversation ends, and why it ends there; None while the last update awaits feedback.

    The answer is that of the last turn left. `limit` is the number of updates that are allowed.
    """
    for place, turn in enumerate(turns):
        before, kept = list(turns[:place]), list(turns[: place + 1])
        if place and final_answer(turn.attempt) is None:
            return before, "broken_update"
        if place and (turn.attempt in [earlier.attempt for earlier in before] or repeats_itself(turn.attempt)):
            return before, "repetition"
        if not turn.feedback:
            return kept, "no_feedback" if not place else "limit" if place >= limit else None
        said = turn.verdict
        if said is None:
            return kept, "unreadable_feedback"
        if said.correct:
            return kept, "correct"
        if place and not progressed(before[-1].verdict, said):
            return kept, "no_progress"
        if place >= limit:
            return kept, "limit"
    return list(turns), "no_update"


def go_on(turns: Sequence[Turn], text: str, limit: int, *, cut_off: bool = False) -> tuple[list[Turn], Ending | None]:
    """`settle` for the turns with what the student said when it was asked for feedback on the last of them."""
    more = read_turns(f"{asks_for_feedback(turns[-1].attempt)}{text}", cut_off=cut_off)
    settled, ending = settle([*turns[:-1], *more], limit)
    stopped = ending is None and len(settled) == len(turns)
    return settled, "no_feedback" if stopped else ending


def progressed(before: Feedback | None, now: Feedback) -> bool:
    """Whether feedback on an update finds another fault than feedback on what was updated, and no earlier one."""
    if before is None or before.step is None or now.step is None:
        return True
    return now.step > before.step or (now.step == before.step and now.quote != before.quote)


def agree(own: Feedback | None, other: Feedback, *, reasons: bool = False) -> bool:
    """Whether two pieces of feedback name the same step with quotes of which one holds the other, or both no fault.

    With `reasons` they must also say the same of what is wrong there.
    """
    if own is None or own.step != other.step or bool(own.quote) != bool(other.quote):
        return False
    if reasons and own.reason != other.reason:
        return False
    return own.quote in other.quote or other.quote in own.quote


def numbered(attempt: str) -> bool:
    """Whether an attempt is nothing but steps in their order."""
    lines = split_lines(attempt)
    return bool(lines) and all(step_text(line, number) is not None for number, line in enumerate(lines, 1))


def final_answer(attempt: str) -> str | None:
    """The answer that the last line of an attempt states; None if it states none."""
    lines = split_lines(attempt)
    return stated_answer(step_text(lines[-1], len(lines)) or "") if lines else None


def repeats_itself(attempt: str) -> bool:
    """Whether an attempt runs in circles: one word five times in a row, or its end stands in it before."""
    tail = attempt[-TAIL:]
    return bool(SAME_WORDS.search(attempt)) or (len(attempt) > TAIL and tail in attempt[:-1])
