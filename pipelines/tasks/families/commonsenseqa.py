"""CommonsenseQA: a question, five options by letter, and the letter of the right one.

Rows are the published JSONL (question.stem, question.choices, answerKey) or the hub's (question, choices, answerKey).
The options are written into the question as lines ``(A) ...``.
"""

from __future__ import annotations

from collections.abc import Mapping

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.base import AnswerTask, LoadedQuestions, as_text, check_gold, without_duplicates
from raydistill.pipelines.tasks.choices import gold_option, read_choices
from raydistill.pipelines.tasks.families.table import with_options
from raydistill.pipelines.tasks.rows import read_rows

HUB_DATASET = "tau/commonsense_qa"


def load(config: Questions) -> LoadedQuestions:
    """The questions of a local file or hub dataset; without a path those of tau/commonsense_qa.

    `meta` carries the row (counted from 1) and the options by letter as `choices`. Raises UsageError for rows without
    an answer, which the published test split consists of.
    """
    rows = read_rows(config.path or HUB_DATASET, split=config.split, size=config.size, options=config.options)
    questions, duplicates = without_duplicates(_question(config.task, row) for row in rows)
    return LoadedQuestions(AnswerTask(config.task, "choice"), questions, duplicates)


def _question(task: str, row: Row) -> Question:
    asked = row.field("question")
    published = isinstance(asked, Mapping)
    text = as_text(row.field("question.stem") if published else asked)
    choices, labels = read_choices(row.field("question.choices" if published else "choices"), row.where)
    answer = gold_option(row.field("answerKey"), choices, labels, None, row.where)
    if not text:
        raise UsageError(f"{row.where}: no question in it")
    check_gold(answer, "choice", row.where, choices)
    return Question.make(task, with_options(text, choices), answer, row=row.number, choices=choices)
