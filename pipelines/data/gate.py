"""What of the training stands in the evaluation set: it is left out, and counted with its reason, in every recipe.

    questions --Gate.questions--> those to ask about        examples --Gate.examples--> those to learn

    evaluation_copy      the words and signs of an evaluation question, but for case, punctuation and blanks
    evaluation_overlap   GRAM words in a row of one (as in GPT-3's decontamination, arXiv 2005.14165)

Words in a row that at least `WORDING` training questions have, copies apart, are how such questions are worded, and no
overlap. Questions made of templates share most of their words, so that of those `whole` ones alone are compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from raydistill.pipelines.data.decontamination import GRAM, words
from raydistill.pipelines.data.examples import read_examples, write_examples
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Example, Question, content_hash

VERSION = "1"  # raised where other examples would be left out
WORDING = 3  # training questions
SIGNS = re.compile(r"[+*/^=<>×÷−]|-(?=\s*[\d(])")
"""What tells 2 + 2 from 2 - 2, which have the same words."""


class Gate:
    """Keeps the questions `evaluation` out of training; with `whole`, their copies alone.

    One gate sees the questions of one run, which say what is wording, before it sees examples. Where a recipe makes its
    own questions, the prompts of its examples are looked at in their place.
    """

    def __init__(self, evaluation: Sequence[Question], *, whole: bool = False) -> None:
        self._ids, self._whole = sorted(question.id for question in evaluation), whole
        self._copies = {spelling(question.text) for question in evaluation}
        self._grams = set() if whole else {gram for question in evaluation for gram in grams(question.text)}
        self._asked = Counter[int]()  # grams of the evaluation set, by the training questions that have them
        self._learned_from: str | None = None  # a digest of the training questions

    @property
    def key(self) -> str:
        """What is left out of the same examples depends on this."""
        return content_hash("gate", VERSION, self._whole, self._ids, self._learned_from)

    def reason(self, text: str) -> str | None:
        """Why a text must not be learned; None if it may be."""
        if spelling(text) in self._copies:
            return "evaluation_copy"
        return "evaluation_overlap" if any(self._asked[gram] < WORDING for gram in self._shared(text)) else None

    def questions(self, asked: Sequence[Question]) -> tuple[Sequence[Question], dict[str, int]]:
        """The questions that may be learned from, and how many were left out for which reason."""
        self._learn_wording(question.text for question in asked)
        self._learned_from = content_hash(*sorted(question.id for question in asked))
        left_out = Counter(reason for question in asked if (reason := self.reason(question.text)))
        if not left_out:
            return asked, {}
        return QuestionTable(question for question in asked if not self.reason(question.text)), dict(left_out)

    def examples(self, source: str, target: str) -> dict[str, Any]:
        """How many examples of the folder `source` may be learned, and how many are `left_out` for which reason.

        Where some are, the others are written into the folder `target`.
        """
        if self._learned_from is None and self._grams:
            prompts = {example.question_id: _prompt(example) for example in read_examples(source)}
            self._learn_wording(prompts.values())
        reasons = Counter(self._reason(example) for example in read_examples(source))
        count, left_out = reasons.pop(None, 0), {str(reason): count for reason, count in reasons.items()}
        if left_out:
            write_examples((example for example in read_examples(source) if not self._reason(example)), target)
        return {"examples": count, "left_out": left_out}

    def _reason(self, example: Example) -> str | None:
        """Of its completion; and of its prompt, where no question has been seen before."""
        texts = [example.text, *([_prompt(example)] if self._learned_from is None else [])]
        return next((reason for text in texts if (reason := self.reason(text))), None)

    def _learn_wording(self, texts: Iterable[str]) -> None:
        if self._grams:
            for text in texts:
                if spelling(text) not in self._copies:
                    self._asked.update(self._shared(text))

    def _shared(self, text: str) -> set[int]:
        return self._grams.intersection(grams(text)) if self._grams else set()


def _prompt(example: Example) -> str:
    return "\n".join(message["content"] for message in example.messages)


def spelling(text: str) -> int:
    """What two copies of a question share (a hash)."""
    return hash((*words(text), "", *SIGNS.findall(text)))


def grams(text: str) -> Iterator[int]:
    """All runs of `GRAM` words, as hashes of this process; none in a shorter text."""
    found = words(text)
    return (hash(tuple(found[start : start + GRAM])) for start in range(len(found) - GRAM + 1))
