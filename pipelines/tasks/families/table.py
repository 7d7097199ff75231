"""Any table with a question and an answer column: JSONL, Parquet, CSV, or a dataset on the hub.

The kind of answer is told from the gold answers (`grader: auto`) or asked for. Multiple choice needs no column
of its own where the question lists its options as lines ``(A) ...``, as BIG-Bench Hard does. Otherwise the
option `choices` names the column that holds them, and they are written into the question in that form.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.base import (
    AnswerTask,
    LoadedQuestions,
    as_text,
    choose_kind,
    listed_choices,
    without_duplicates,
)
from raydistill.pipelines.tasks.rows import read_rows


def load(config: Questions) -> LoadedQuestions:
    """The questions of a table; `options`: `choices` as above, all others for ``datasets.load_dataset``.

    `meta` carries the row (counted from 1), for multiple choice the options by letter as `choices`, and the worked
    solution as `rationale` where `rationale_column` names one.
    """
    if not config.path:
        raise UsageError("questions.path is missing; task table needs a file or a hub dataset id")
    options = dict(config.options)
    choices_column = options.pop("choices", None)
    rows = read_rows(config.path, split=config.split, size=config.size, options=options)
    questions, duplicates = without_duplicates(_question(config, row, choices_column) for row in rows)
    return LoadedQuestions(AnswerTask(config.task, choose_kind(config.grader, questions)), questions, duplicates)


def _question(config: Questions, row: Row, choices_column: str | None) -> Question:
    text, answer = as_text(row.field(config.question_column)), as_text(row.field(config.answer_column))
    if not text or not answer:
        raise UsageError(f"{row.where}: no {'answer' if text else 'question'} in it")
    choices = listed_choices(text)
    if choices_column:
        choices = read_choices(row.field(choices_column), row.where)
        text = with_options(text, choices)
    meta: dict[str, Any] = {"choices": choices} if choices else {}
    if config.rationale_column:
        meta["rationale"] = as_text(row.field(config.rationale_column))
    return Question.make(config.task, text, answer, row=row.number, **meta)


def with_options(text: str, choices: Mapping[str, str]) -> str:
    """The question followed by its options, one line ``(A) ...`` each."""
    listed = "\n".join(f"({label}) {option}" for label, option in choices.items())
    return f"{text}\nOptions:\n{listed}"


def read_choices(value: Any, where: str) -> dict[str, str]:
    """Options by letter, from ``[{label, text}]``, ``{label: [...], text: [...]}`` or a list of texts."""
    try:
        if isinstance(value, Mapping):
            labels, texts = value["label"], value["text"]
        elif value and isinstance(value[0], Mapping):
            labels, texts = [item["label"] for item in value], [item["text"] for item in value]
        else:
            labels, texts = ascii_uppercase[: len(value)], value
        return {as_text(label): as_text(text) for label, text in zip(labels, texts, strict=True)}
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{where}: the choices are no list of texts or of label and text: {value!r}") from None
