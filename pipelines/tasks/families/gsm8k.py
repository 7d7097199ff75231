"""GSM8K and whatever has its form: a word problem, a worked solution, the answer on the last line.

The final line is ``#### 72`` (openai/grade-school-math) or ``A: 72`` (that repository's example solutions).
"""

from __future__ import annotations

import re

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.base import AnswerTask, LoadedQuestions, as_text, choose_kind, without_duplicates
from raydistill.pipelines.tasks.rows import read_rows

FINAL_LINE = re.compile(r"^(?:####|A:)[ \t]*(\S.*)\s*\Z", re.MULTILINE)
HUB_DATASET = "openai/gsm8k"


def load(config: Questions) -> LoadedQuestions:
    """The questions of a local JSONL file or hub dataset; without a path those of openai/gsm8k.

    `meta` carries the row (counted from 1) and the worked solution without its final line as `rationale`.
    """
    path = config.path or HUB_DATASET
    options = {"name": "main"} if path == HUB_DATASET else {}
    rows = read_rows(path, split=config.split, size=config.size, options=options | config.options)
    questions, duplicates = without_duplicates(_question(config, row) for row in rows)
    kind = choose_kind("numeric" if config.grader == "auto" else config.grader, questions)
    return LoadedQuestions(AnswerTask(config.task, kind), questions, duplicates)


def gold_label(solution: str) -> str | None:
    """The ``72`` of a worked solution that ends in ``#### 72`` or ``A: 72``; None if it ends otherwise."""
    found = FINAL_LINE.search(solution)
    return found[1].strip() if found else None


def _question(config: Questions, row: Row) -> Question:
    text = as_text(row.field(config.question_column))
    solution = as_text(row.field(config.answer_column))
    gold = gold_label(solution)
    if not text:
        raise UsageError(f"{row.where}: no question in it")
    if gold is None:
        raise UsageError(f"{row.where}: no answer in it; expected a last line such as #### 72 or A: 72")
    rationale = FINAL_LINE.sub("", solution).rstrip()
    return Question.make(config.task, text, gold, row=row.number, rationale=rationale)
