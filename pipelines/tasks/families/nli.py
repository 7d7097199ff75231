"""Natural language inference: does a premise entail a hypothesis, contradict it, or neither.

Rows have premise, hypothesis and label, which is a name or, as in MNLI and SNLI on the hub, 0, 1 or 2. A model's answer
is the label that it states ("..., so the answer is Neutral"); naming two is no answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import Choices, Value, parse_answer
from raydistill.pipelines.tasks.base import NO_ANSWER, Grade, LoadedQuestions, as_text, without_duplicates
from raydistill.pipelines.tasks.rows import read_rows

HUB_DATASET = "nyu-mll/multi_nli"
LABELS = ("entailment", "neutral", "contradiction")  # in the order of MNLI's and SNLI's ids
FORMS = {
    "entailment": re.compile(r"\bentail(?:ment|s|ed|ing)?\b", re.IGNORECASE),
    "neutral": re.compile(r"\bneutral\b", re.IGNORECASE),
    "contradiction": re.compile(r"\bcontradict(?:ion|s|ed|ory|ing)?\b", re.IGNORECASE),
}
# A label that is denied is not named: "not an entailment", "isn't entailed", "non-entailment", "never contradicts".
DENIED = re.compile(
    r"(?:\b(?:not|never|no|neither|nor|cannot|without|rather than|instead of|hardly)\b|n[’']t\b|\bnon)"
    r"(?:[\s-]+(?!but\b|because\b|it\b|so\b)[a-z]+){0,3}[\s-]+['\"*(]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class InferenceTask:
    """Passed where the stated label is the gold one."""

    name: str
    grader: str = "nli"
    version: str = "2"

    def read(self, value: Value | None, choices: Choices | None = None) -> str | None:
        return stated_label(str(value)) if value is not None else None

    def grade(self, value: Value | None, question: Question) -> Grade:
        label = self.read(value)
        return NO_ANSWER if label is None else Grade.of(label == question.answer, label)


def stated_label(text: str) -> str | None:
    """The one label that `text` is or concludes with; None if it names none, or several."""
    for part in (text, parse_answer(text, "text") or ""):
        named = [label for label, form in FORMS.items() if _names(part, form)]
        if len(named) == 1:
            return named[0]
    return None


def _names(text: str, form: re.Pattern[str]) -> bool:
    return any(not DENIED.search(text[max(0, found.start() - 60) : found.start()]) for found in form.finditer(text))


def load(config: Questions) -> LoadedQuestions:
    """The questions of a local file or hub dataset; without a path those of nyu-mll/multi_nli.

    Pairs on which annotators did not agree (label -1 or ``-``) are left out, as the published evaluations do. `meta`
    carries the row (counted from 1), the premise and the hypothesis.
    """
    rows = read_rows(config.path or HUB_DATASET, split=config.split, size=config.size, options=config.options)
    rows = (row for row in rows if as_text(row.field("label")) not in ("-", "-1"))
    questions, duplicates = without_duplicates(_question(config.task, row) for row in rows)
    return LoadedQuestions(InferenceTask(config.task), questions, duplicates)


def _question(task: str, row: Row) -> Question:
    premise, hypothesis = as_text(row.field("premise")), as_text(row.field("hypothesis"))
    if not premise or not hypothesis:
        raise UsageError(f"{row.where}: no {'hypothesis' if premise else 'premise'} in it")
    text = f"Premise: {premise}\nHypothesis: {hypothesis}\nIs this entailment, neutral or contradiction?"
    return Question.make(
        task, text, gold_label(row.field("label"), row.where), row=row.number, premise=premise, hypothesis=hypothesis
    )


def gold_label(value: Any, where: str) -> str:
    """The label that a name or MNLI's id stands for. Raises UsageError for anything else."""
    label = as_text(value).lower()
    if label in LABELS:
        return label
    if label in ("0", "1", "2"):
        return LABELS[int(label)]
    raise UsageError(f"{where}: label {label!r}; expected {', '.join(LABELS)}, or 0, 1, 2 in that order")
