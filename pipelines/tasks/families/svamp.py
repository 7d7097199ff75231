"""SVAMP: arithmetic word problems told in a body and a question about it, with a number as the answer.

Rows are the published ones (Body, Question, Answer), as on the hub, or already joined (question, answer).
"""

from __future__ import annotations

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.base import AnswerTask, LoadedQuestions, as_text, choose_kind, without_duplicates
from raydistill.pipelines.tasks.rows import read_rows

HUB_DATASET = "ChilleD/SVAMP"


def load(config: Questions) -> LoadedQuestions:
    """The questions of a local file or hub dataset; without a path those of ChilleD/SVAMP. `meta` carries the row."""
    rows = read_rows(config.path or HUB_DATASET, split=config.split, size=config.size, options=config.options)
    questions, duplicates = without_duplicates(_question(config, row) for row in rows)
    kind = choose_kind("numeric" if config.grader == "auto" else config.grader, questions)
    return LoadedQuestions(AnswerTask(config.task, kind), questions, duplicates)


def _question(config: Questions, row: Row) -> Question:
    if "Body" in row.data:
        body, asked = as_text(row.field("Body")), as_text(row.field("Question"))
        text = f"{body}{'' if body.endswith(('.', '?', '!', ',')) else '.'} {asked}"
        answer = as_text(row.field("Answer"))
    else:
        text, answer = as_text(row.field(config.question_column)), as_text(row.field(config.answer_column))
    if not text or not answer:
        raise UsageError(f"{row.where}: no {'answer' if text else 'question'} in it")
    return Question.make(config.task, text, as_text(float(answer)) if _is_float(answer) else answer, row=row.number)


def _is_float(text: str) -> bool:
    """Whether `text` is a number with a decimal point, as 51.0 in a text column."""
    return "." in text and text.replace(".", "", 1).removeprefix("-").isdigit()
