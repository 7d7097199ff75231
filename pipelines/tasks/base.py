"""What every task family shares: the verdict on an answer, the task that gives it, its loaded questions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import (
    Choices,
    Kind,
    Value,
    canonical,
    compare,
    equal_by_algebra,
    find_answer,
    infer_kind,
    to_letter,
)
from raydistill.pipelines.tasks.answers import as_text as as_text
from raydistill.pipelines.tasks.answers import kind_of as kind_of
from raydistill.pipelines.tasks.answers.values import read_value

NOT_A_VALUE = frozenset({"nan", "NaN"})  # what a table writes for a value that is missing
LISTED_OPTION = re.compile(r"^\(([A-Za-z])\) (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Grade:
    """One answer compared with the gold label; ``Grade("failed", "wrong_answer", "17")``."""

    status: Literal["passed", "failed"]
    reason: Literal["ok", "wrong_answer", "no_answer"]
    parsed: str  # the answer that was judged, as `read` spells it; "" if there is none

    @classmethod
    def of(cls, right: bool, parsed: str) -> Grade:
        """The verdict on an answer that is there."""
        return cls("passed", "ok", parsed) if right else cls("failed", "wrong_answer", parsed)


NO_ANSWER = Grade("failed", "no_answer", "")


class Task(Protocol):
    """A family of questions with the rule by which their answers are judged."""

    @property
    def name(self) -> str:
        """As in the configuration, e.g. ``reasoning_gym:gsm_symbolic``."""

    @property
    def grader(self) -> str:
        """numeric, choice or text; or the name of a family's own rule (bbh, nli, reasoning_gym, ...)."""

    def grade(self, value: Value | None, question: Question) -> Grade:
        """Judge `value`: a program's result, or a text that is or states an answer. None is no answer."""


class ReadableTask(Task, Protocol):
    """A task whose answers can be read where the right one is unknown, so that they can be counted."""

    @property
    def version(self) -> str:
        """Of the family's own rule, raised with every change of its verdicts; "" where there is none."""

    def read(self, value: Value | None, choices: Choices | None = None) -> str | None:
        """The answer that `value` is or states, spelt alike for all that are the same; None if it states none.

        `grade` gives the same as `parsed`, for the question's `choices_of`.
        """


@dataclass(frozen=True, slots=True)
class LoadedQuestions:
    """The questions of a task, each id once; rows that repeat an earlier one are in `duplicates`."""

    task: Task
    questions: Sequence[Question]
    duplicates: list[dict[str, Any]] = field(default_factory=list)  # {"row": 12, "duplicate_of": question id}


@dataclass(frozen=True, slots=True)
class AnswerTask:
    """A task whose gold answers are of one kind and are compared by its rules (`pipelines.tasks.answers`)."""

    name: str
    grader: Kind
    version: str = ""

    def read(self, value: Value | None, choices: Choices | None = None) -> str | None:
        return read_answer(value, self.grader, choices)

    def grade(self, value: Value | None, question: Question) -> Grade:
        return grade_answer(value, question.answer, self.grader, choices_of(question))


def read_answer(value: Value | None, kind: Kind, choices: Choices | None = None) -> str | None:
    """The answer that `value` is or states, in its canonical spelling; None if it states none."""
    answer = find_answer(value, kind, choices)
    return None if answer is None else canonical(answer, kind, choices) or None


def grade_answer(value: Value | None, gold: str, kind: Kind, choices: Choices | None = None) -> Grade:
    """Compare the answer that `value` is or states with `gold`; a text of words passes as it stands, too.

    A gold answer that is not of the table's kind, one 12:30 among numbers, is judged by its own.
    """
    own = kind_of(gold, kind, choices)
    answer = find_answer(value, own, choices)
    if own == kind:
        parsed = canonical(answer, kind, choices) if answer is not None else ""
    else:
        parsed = read_answer(value, kind, choices) or ""
    right = answer is not None and compare(answer, gold, own, choices)
    if own == "text" and value is not None:
        right = right or compare(value, gold, own)
    elif own == "symbolic" and value is not None:
        right = right or equal_by_algebra(value, answer, gold)
    if right:
        return Grade.of(True, parsed)
    return Grade.of(False, parsed) if parsed else NO_ANSWER


def listed_choices(text: str) -> dict[str, str]:
    """The options that a question lists as lines ``(A) ...``, by capital letter; {} if it lists none."""
    return {letter.upper(): option for letter, option in LISTED_OPTION.findall(text)}


def choices_of(question: Question) -> Choices:
    """The options of `question` by label: those that its task has noted, else those that its text lists."""
    return question.meta.get("choices") or listed_choices(question.text)


def choose_kind(grader: Kind | Literal["auto"], questions: Sequence[Question]) -> Kind:
    """The kind that the configuration asks for, or with ``auto`` the one of most gold answers and options.

    Raises UsageError where a gold answer is not of the kind asked for.
    """
    if grader == "auto":
        if sum(map(_names_option, questions)) > len(questions) / 2:
            return "choice"
        return infer_kind(question.answer for question in questions)
    for question in questions:
        check_gold(question.answer, grader, f"row {question.meta['row']}", question.meta.get("choices"))
    return grader


def _names_option(question: Question) -> bool:
    choices = question.meta.get("choices")
    return bool(choices) and to_letter(question.answer, choices) is not None


def check_gold(gold: str, kind: Kind, where: str, choices: Choices | None = None) -> None:
    """Raise UsageError where `gold` is empty or not of this kind, so that nothing could ever equal it."""
    if not gold or gold in NOT_A_VALUE:
        raise UsageError(f"{where}: no gold answer" + (f", but {gold!r}" if gold else ""))
    if kind == "numeric" and read_value(gold) is None:
        raise UsageError(f"{where}: the gold answer {gold!r} is no number; grade it as text")
    if kind == "choice" and to_letter(gold, choices) is None:
        raise UsageError(f"{where}: the gold answer {gold!r} names no option; grade it as text")


def without_duplicates(questions: Iterable[Question]) -> tuple[QuestionTable, list[dict[str, Any]]]:
    """The first question of each id, and the duplicates as `LoadedQuestions` has them."""
    seen, duplicates = set[str](), list[dict[str, Any]]()

    def unique() -> Iterator[Question]:
        for question in questions:
            if question.id in seen:
                duplicates.append({"row": question.meta["row"], "duplicate_of": question.id})
            else:
                seen.add(question.id)
                yield question

    return QuestionTable(unique()), duplicates
