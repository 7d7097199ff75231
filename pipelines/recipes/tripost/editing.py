"""Editing a student's attempts until they end right (TriPosT, 2310.13522, section 3.1).

    student's attempt --judge--> feedback --improve--> update --judge--> ... --> accepted, or rejected for one reason

As long as the student's own feedback agrees with the module's, its own words stay, and its own next attempt is judged.
Where they first disagree, the module's feedback takes the place of the student's and the module's improvement that of
what the student wrote next; from there on the conversation is the module's. They agree in step and quote, as in the
released code, and with `agree_in: reason` in what should stand there, too. An own update that does not do what the
feedback asks for (other steps changed, the wrong one kept) is replaced as well.

Pure: who judges and improves is told by `pipelines.recipes.tripost.critics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.tripost.conversation import (
    Turn,
    agree,
    final_answer,
    numbered,
    progressed,
    read_turns,
)
from raydistill.pipelines.tasks.stepwise.base import Feedback
from raydistill.pipelines.tasks.stepwise.steps import splice, split_lines

MAX_WORDS = 512  # of an attempt, as in the released code

Outcome = Literal[
    "self_correct",  # accepted: the first attempt was right
    "improved",  # accepted: wrong at first, right in the end
    "cut_off",  # rejected: the first attempt ran into the token limit
    "too_long",  # the first attempt has more than MAX_WORDS words
    "unreadable_attempt",  # the first attempt is not in numbered steps
    "unreadable_feedback",  # the module's feedback names no step, or quotes what is not there
    "unreadable_update",  # the module's improvement does not go on with numbered steps
    "error_kept",  # the module's improvement repeats the wrong step
    "no_progress",  # the same fault is found again, or an earlier one
    "too_many_updates",  # still wrong after as many updates as are allowed
    "wrong_end",  # the module finds right what is not the gold answer
    "wrong_attempt",  # the first attempt is not the gold answer, and right attempts alone are learned
]
ACCEPTED = ("self_correct", "improved")
REJECTED = tuple(outcome for outcome in get_args(Outcome) if outcome not in ACCEPTED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Feedback on an attempt, and how it is said to the student."""

    feedback: Feedback
    text: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A conversation that is being edited.

    `turns` are done but for the last one's attempt, which waits for a judgement or, once there is a `fault`, for an
    improvement. `own` is what the student said next: first about that attempt.
    """

    id: str  # of the sample that it began as
    question: Question
    turns: tuple[Turn, ...]
    own: tuple[Turn, ...] = ()
    fault: Feedback | None = None
    outcome: Outcome | None = None

    @property
    def attempt(self) -> str:
        """The attempt that waits."""
        return self.turns[-1].attempt


def open_draft(sample_id: str, question: Question, turns: Sequence[Turn], *, cut_off: bool = False) -> Draft:
    """The draft of what a student wrote; finished at once where its first attempt is unusable.

    `cut_off` says that the token limit came before any feedback.
    """
    attempt = turns[0].attempt
    draft = Draft(sample_id, question, (Turn(attempt),), tuple(turns))
    if cut_off and len(turns) == 1 and not turns[0].feedback:
        return replace(draft, outcome="cut_off")
    if len(attempt.split()) > MAX_WORDS:
        return replace(draft, outcome="too_long")
    return draft if numbered(attempt) else replace(draft, outcome="unreadable_attempt")


def unedited(draft: Draft, *, right: bool) -> Draft:
    """The draft where attempts are learned as they are (LMSI); `right` says whether its answer is the gold one."""
    return draft if draft.outcome else replace(draft, outcome="self_correct" if right else "wrong_attempt")


def judged(draft: Draft, judgement: Judgement | None, *, right: bool, max_updates: int, reasons: bool = False) -> Draft:
    """The draft after a judgement (None: it could not be read); `right` says whether its answer is the gold one.

    With `reasons` the student's own feedback stays only where its reason is the module's, too.
    """
    if judgement is None or not is_about(judgement.feedback, draft.attempt):
        return replace(draft, outcome="unreadable_feedback")
    found = judgement.feedback
    if len(draft.turns) > 1 and not progressed(draft.turns[-2].verdict, found):
        return replace(draft, outcome="no_progress")
    own = draft.own[0] if draft.own else Turn("")
    agreed = agree(own.verdict, found, reasons=reasons)
    turns = (*draft.turns[:-1], Turn(draft.attempt, own.feedback if agreed else judgement.text))
    if found.correct:
        ended: Outcome = "wrong_end" if not right else "improved" if len(turns) > 1 else "self_correct"
        return replace(draft, turns=turns, own=(), outcome=ended)
    if len(turns) > max_updates:
        return replace(draft, turns=turns, own=(), outcome="too_many_updates")
    following = draft.own[1:] if agreed else ()
    if following and obeys(draft.attempt, found, following[0].attempt):
        return replace(draft, turns=(*turns, Turn(following[0].attempt)), own=following)
    return replace(draft, turns=turns, own=(), fault=found)


def improved(draft: Draft, continuation: str | None) -> Draft:
    """The draft after the module has rewritten the steps from the wrong one on (None: it could not be read)."""
    assert draft.fault is not None and draft.fault.step is not None
    update = splice(draft.attempt, draft.fault.step, (continuation or "").strip()).strip()
    if not continuation or not numbered(update) or final_answer(update) is None:
        return replace(draft, outcome="unreadable_update")
    if not obeys(draft.attempt, draft.fault, update):
        return replace(draft, outcome="error_kept")
    return replace(draft, turns=(*draft.turns, Turn(update)), fault=None)


def read_continuation(reply: str) -> str:
    """The steps in a module's reply, without what it may say after them."""
    return read_turns(reply)[0].attempt


def is_about(feedback: Feedback, attempt: str) -> bool:
    """Whether feedback names a step of the attempt, or the one after its last, and quotes from it."""
    if feedback.step is None:
        return True
    lines = split_lines(attempt)
    if not 1 <= feedback.step <= len(lines):
        return feedback.step == len(lines) + 1 and not feedback.quote
    return feedback.quote in lines[feedback.step - 1]


def obeys(attempt: str, feedback: Feedback, update: str) -> bool:
    """Whether an update keeps the steps before the wrong one, and not the wrong one."""
    step = feedback.step or 1
    before, after = split_lines(attempt), split_lines(update)
    if not numbered(update) or final_answer(update) is None:
        return False
    return after[: step - 1] == before[: step - 1] and after[step - 1 : step] != before[step - 1 : step]
