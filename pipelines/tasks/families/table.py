"""Any table with a question and an answer column: JSONL, Parquet, CSV, or a dataset on the hub.

The kind of answer is told from the gold answers (`grader: auto`) or asked for. Multiple choice needs no column
of its own where the question lists its options as lines ``(A) ...``, as BIG-Bench Hard does. Otherwise the
option `choices` names the column that holds them, and they are written into the question in that form; `index_base`
says what gold labels count from, where the table does not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.base import (
    AnswerTask,
    LoadedQuestions,
    as_text,
    check_gold,
    choose_kind,
    listed_choices,
    without_duplicates,
)
from raydistill.pipelines.tasks.choices import IndexedGolds, gold_option, read_choices
from raydistill.pipelines.tasks.rows import read_rows
from raydistill.pipelines.tasks.separators import Separators, with_point


def load(config: Questions) -> LoadedQuestions:
    """The questions of a table; `options`: `choices` and `index_base` as above, others for ``datasets.load_dataset``.

    `meta` carries the row (counted from 1), for multiple choice the options by letter as `choices`, and the worked
    solution as `rationale` where `rationale_column` names one.
    """
    if not config.path:
        raise UsageError("questions.path is missing; task table needs a file or a hub dataset id")
    options = dict(config.options)
    table = _Table(config, options.pop("choices", None), IndexedGolds(options.pop("index_base", None)))
    rows = read_rows(config.path, split=config.split, size=config.size, options=options)
    questions, duplicates = without_duplicates(table.read(rows))
    questions = table.with_golds(questions)
    return LoadedQuestions(AnswerTask(config.task, choose_kind(config.grader, questions)), questions, duplicates)


class _Table:
    """Reads all rows, then decides what their gold labels are: one row alone does not tell."""

    def __init__(self, config: Questions, choices_column: str | None, indices: IndexedGolds) -> None:
        self._config, self._choices_column = config, choices_column
        self._indices, self._separators = indices, Separators()

    def read(self, rows: Iterator[Row]) -> Iterator[Question]:
        for row in rows:
            yield self._question(row)

    def _question(self, row: Row) -> Question:
        config, gold = self._config, row.field(self._config.answer_column, "questions.answer_column")
        text, answer = as_text(row.field(config.question_column, "questions.question_column")), as_text(gold)
        if not text or not answer:
            raise UsageError(f"{row.where}: no {'answer' if text else 'question'} in it")
        check_gold(answer, "text", row.where)
        choices, meta = listed_choices(text), dict[str, Any]()
        if self._choices_column:
            choices, labels = read_choices(row.field(self._choices_column), row.where)
            text = with_options(text, choices)
            self._indices.note(gold, choices, labels, row.where)
            meta["labels"] = labels
        else:
            self._separators.note(gold, row.where)
        if choices:
            meta["choices"] = choices
        if config.rationale_column:
            meta["rationale"] = as_text(row.field(config.rationale_column))
        kept = {name: row.field(name) for name in config.keep}
        return Question.make(config.task, text, answer, **kept, row=row.number, **meta)

    def with_golds(self, questions: QuestionTable) -> QuestionTable:
        """The questions with the gold labels that the whole table says they have; UsageError for what is open."""
        if not self._choices_column:
            return _answered(self._config.task, questions, with_point) if self._separators.comma() else questions
        base = self._indices.base()

        def read(question: Question) -> Question:
            meta = question.meta
            labels, where = meta.pop("labels"), f"row {meta['row']}"
            answer = gold_option(question.answer, meta["choices"], labels, base, where)
            return Question.make(self._config.task, question.text, answer, **meta)

        return QuestionTable(map(read, questions))


def _answered(task: str, questions: QuestionTable, change: Any) -> QuestionTable:
    return QuestionTable(Question.make(task, q.text, change(q.answer), **q.meta) for q in questions)


def with_options(text: str, choices: Mapping[str, str]) -> str:
    """The question followed by its options, one line ``(A) ...`` each."""
    listed = "\n".join(f"({label}) {option}" for label, option in choices.items())
    return f"{text}\nOptions:\n{listed}"
