"""BIG-Bench Hard and tasks of its form: one question, one target, which is an option, a number or a text.

Rows are the published ones (input, target; also as the repository's JSON file with a list `examples`) or have question
and answer. Each question is judged by the form of its own target, so that subtasks can be mixed: ``(B)`` by its letter,
``24`` by value, everything else by its words in their order, brackets included (word_sorting, dyck_languages).
Suzgun et al. 2022, arXiv 2210.09261, judge by exact match of what follows "the answer is".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row
from raydistill.pipelines.config.files import expand
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import (
    Choices,
    Kind,
    Returned,
    Value,
    canonical,
    find_answer,
    parse_answer,
    stated_answer,
    to_letter,
    to_number,
)
from raydistill.pipelines.tasks.base import (
    NO_ANSWER,
    Grade,
    LoadedQuestions,
    as_text,
    choices_of,
    grade_answer,
    listed_choices,
    without_duplicates,
)
from raydistill.pipelines.tasks.rows import read_rows

OPTION = re.compile(r"\([A-Za-z]\)")
LABEL = re.compile(r"\(?([A-Z])\)?|\(([a-z])\)")


@dataclass(frozen=True, slots=True)
class BigBenchTask:
    """Judges by the form of each question's target; without a target an answer is read by its own form."""

    name: str
    grader: str = "bbh"
    version: str = "2"

    def read(self, value: Value | None, choices: Choices | None = None) -> str | None:
        """The letter of an option where there are some, else the number that is stated, else the words."""
        if choices and (letter := to_letter(as_text(find_answer(value, "choice", choices)), choices)):
            return letter
        answer = find_answer(value, "text")
        if answer is None:
            return None
        number = _stated_number(value, as_text(answer))
        if number is not None:
            return canonical(number, "numeric")
        label = LABEL.fullmatch(as_text(answer))
        return (label[1] or label[2]).upper() if label else " ".join(_words(as_text(answer))) or None

    def grade(self, value: Value | None, question: Question) -> Grade:
        parsed = self.read(value, choices_of(question)) or ""
        if not parsed:
            return NO_ANSWER
        kind = target_kind(question.answer)
        if kind != "text":
            right = grade_answer(value, question.answer, kind, choices_of(question)).status == "passed"
            return Grade.of(right, parsed)
        said = (as_text(value), as_text(find_answer(value, "text")))
        return Grade.of(any(_words(text) == _words(question.answer) for text in said), parsed)


def _stated_number(value: Value | None, answer: str) -> str | None:
    """The number that an answer is, or that an equation gives; of a text that states no answer the last line's."""
    result = answer.rpartition("=")[2]
    if to_number(result) is not None:
        return result
    unmarked = isinstance(value, str) and "\n" in value.strip() and stated_answer(value, "text") is None
    return parse_answer(answer, "numeric") if unmarked and not isinstance(value, Returned) else None


def target_kind(target: str) -> Kind:
    """How answers to a question with this target are judged."""
    if OPTION.fullmatch(target):
        return "choice"
    return "numeric" if to_number(target) is not None else "text"


def load(config: Questions) -> LoadedQuestions:
    """The questions of a local file, or of a hub dataset such as lukaemon/bbh with ``options: {name: word_sorting}``.

    `meta` carries the row (counted from 1) and the options by letter as `choices`, where the question lists some.
    """
    if not config.path:
        raise UsageError("questions.path is missing; task bbh needs a file of one subtask or a hub dataset id")
    questions, duplicates = without_duplicates(_question(config.task, row) for row in _rows(config))
    return LoadedQuestions(BigBenchTask(config.task), questions, duplicates)


def _rows(config: Questions) -> Iterable[Row]:
    path = expand(config.path or "")
    if path.endswith(".json") and Path(path).is_file():
        try:
            published = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError:  # JSON lines under the name .json
            published = None
        if isinstance(published, dict) and "examples" in published:
            numbered = enumerate(published["examples"][: config.size], start=1)
            return [Row(f"{path} example {number}", number, data) for number, data in numbered]
    return read_rows(path, split=config.split, size=config.size, options=config.options)


def _question(task: str, row: Row) -> Question:
    as_published = "input" in row.data
    text = as_text(row.field("input" if as_published else "question"))
    answer = as_text(row.field("target" if as_published else "answer"))
    if not text or not answer:
        raise UsageError(f"{row.where}: no {'answer' if text else 'question'} in it")
    choices = listed_choices(text)
    return Question.make(task, text, answer, row=row.number, **({"choices": choices} if choices else {}))


def _words(text: str) -> list[str]:
    return text.strip().removesuffix(".").casefold().split()
