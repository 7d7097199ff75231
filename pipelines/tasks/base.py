"""What every task family shares: the verdict on an answer, the task that gives it, its loaded questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import (
    Kind,
    Value,
    canonical,
    compare,
    infer_kind,
    parse_answer,
    to_letter,
    to_number,
)


@dataclass(frozen=True, slots=True)
class Grade:
    """One answer compared with the gold label; ``Grade("failed", "wrong_answer", "17")``."""

    status: Literal["passed", "failed"]
    reason: Literal["ok", "wrong_answer", "no_answer"]
    parsed: str  # the answer that was judged, in its canonical spelling; "" if there is none

    @classmethod
    def of(cls, right: bool, parsed: str) -> Grade:
        """The verdict on an answer that is there."""
        return cls("passed", "ok", parsed) if right else cls("failed", "wrong_answer", parsed)


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

    def grade(self, value: Value | None, question: Question) -> Grade:
        return grade_answer(value, question.answer, self.grader, question.meta.get("choices"))


def grade_answer(value: Value | None, gold: str, kind: Kind, choices: Mapping[str, str] | None = None) -> Grade:
    """Compare `value` with `gold`; a text passes as it stands or by the answer that it states."""
    stated: Value | None = value
    if isinstance(value, str) and not compare(value, gold, kind, choices):
        stated = parse_answer(value, kind)
    if stated is None or stated == "":
        return Grade("failed", "no_answer", "")
    return Grade.of(compare(stated, gold, kind, choices), canonical(stated, kind, choices))


def as_text(value: Any) -> str:
    """A value of a JSON or Parquet field as a gold answer: true for a boolean, 39 for 39.0, "" for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def choose_kind(grader: Kind | Literal["auto"], questions: Iterable[Question]) -> Kind:
    """The kind that the configuration asks for, or with ``auto`` the one of the gold answers and options.

    Raises UsageError where a gold answer is not of the kind asked for.
    """
    if grader == "auto":
        if all(_names_option(question) for question in questions):
            return "choice"
        return infer_kind(question.answer for question in questions)
    for question in questions:
        check_gold(question.answer, grader, f"row {question.meta['row']}", question.meta.get("choices"))
    return grader


def _names_option(question: Question) -> bool:
    choices = question.meta.get("choices")
    return bool(choices) and to_letter(question.answer, choices) is not None


def check_gold(gold: str, kind: Kind, where: str, choices: Mapping[str, str] | None = None) -> None:
    """Raise UsageError where `gold` is empty or not of this kind, so that nothing could ever equal it."""
    if not gold:
        raise UsageError(f"{where}: no gold answer")
    if kind == "numeric" and to_number(gold) is None:
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
