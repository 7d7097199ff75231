"""Extractive question answering: the answer is a span of a given text, judged as SQuAD does.

Rows are SQuAD's (context, question, answers: {text: [...]}; Rajpurkar et al. 2016, arXiv 1606.05250) or have one
answer in a column `answer`. A row may have several right answers; none at all means that the text has none (SQuAD 2).
Exact match decides whether an answer passes; `f1` is the overlap in words, to be reported beside it.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import Choices, Value, find_answer
from raydistill.pipelines.tasks.base import NO_ANSWER, Grade, LoadedQuestions, as_text, without_duplicates
from raydistill.pipelines.tasks.rows import read_rows

HUB_DATASET = "rajpurkar/squad"
UNANSWERABLE = "unanswerable"
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class ExtractiveTask:
    """Passed where an answer equals one of the gold answers after SQuAD's normalisation."""

    name: str
    grader: str = "squad"
    version: str = "1"

    def read(self, value: Value | None, choices: Choices | None = None) -> str | None:
        """The answer in SQuAD's normal form; one of nothing but articles and punctuation as it stands."""
        answer = as_text(find_answer(value, "text"))
        return normalise(answer) or answer or None

    def grade(self, value: Value | None, question: Question) -> Grade:
        parsed = self.read(value)
        if parsed is None:
            return NO_ANSWER
        return Grade.of(exact_match(span(value, golds(question)), golds(question)), parsed)

    def f1(self, value: Value | None, question: Question) -> float:
        """SQuAD's F1 of the answer that `value` states; 0 if it states none."""
        return f1(span(value, golds(question)), golds(question))


def golds(question: Question) -> tuple[str, ...]:
    """All answers that are right for `question`."""
    return tuple(question.meta.get("answers") or (question.answer,))


def span(value: Value | None, answers: Sequence[str]) -> str:
    """What of `value` is compared with `answers`: all of it if it is one of them, else what it states, else ""."""
    text = as_text(value)
    return text if exact_match(text, answers) else as_text(find_answer(value, "text"))


def normalise(text: str) -> str:
    """SQuAD's normal form: lower case, no ASCII punctuation, no articles, single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, answers: Sequence[str]) -> bool:
    """Whether `answer` equals one of `answers` in normal form."""
    return normalise(answer) in map(normalise, answers)


def f1(answer: str, answers: Sequence[str]) -> float:
    """The best harmonic mean of precision and recall of words over `answers`, in [0, 1]."""
    return max((_f1(normalise(answer).split(), normalise(gold).split()) for gold in answers), default=0.0)


def _f1(words: list[str], gold: list[str]) -> float:
    if not words or not gold:  # official script of SQuAD 2: an empty answer is right only where the gold one is empty
        return float(words == gold)
    shared = sum((Counter(words) & Counter(gold)).values())
    return 2 * shared / (len(words) + len(gold))


def load(config: Questions) -> LoadedQuestions:
    """The questions of a local file or hub dataset; without a path those of rajpurkar/squad.

    `meta` carries the row (counted from 1), the `context` and all right `answers`.
    """
    rows = read_rows(config.path or HUB_DATASET, split=config.split, size=config.size, options=config.options)
    questions, duplicates = without_duplicates(_question(config.task, row) for row in rows)
    return LoadedQuestions(ExtractiveTask(config.task), questions, duplicates)


def _question(task: str, row: Row) -> Question:
    context, asked = as_text(row.field("context")), as_text(row.field("question"))
    if not context or not asked:
        raise UsageError(f"{row.where}: no {'question' if context else 'context'} in it")
    answers = _answers(row) or [UNANSWERABLE]
    return Question.make(
        task, f"{context}\n\nQuestion: {asked}", answers[0], row=row.number, context=context, answers=answers
    )


def _answers(row: Row) -> list[str]:
    stated = row.data.get("answers", row.data.get("answer"))
    if stated is None:
        raise UsageError(f"{row.where}: no field 'answers' or 'answer' in it")
    return right_answers(stated)


def right_answers(stated: Any) -> list[str]:
    """The answers in a text, a list of texts, or SQuAD's ``{"text": [...]}``, each once, in order."""
    texts = stated.get("text") if isinstance(stated, Mapping) else stated
    texts = texts if isinstance(texts, list | tuple) else [texts]
    return list(dict.fromkeys(text for text in map(as_text, texts) if text))
