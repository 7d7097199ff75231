"""What must not become a training example, and why; whoever asks counts the reasons.

    banned_source        the row comes from a dataset that the task was told not to use
    evaluation_copy      the text is an evaluation question, but for case, punctuation and blanks
    evaluation_overlap   it shares `ngram` words in a row with one (13 as in GPT-3's decontamination, arXiv 2005.14165)
    example_copy         it is one of the task's own examples, or shares so many words in a row with it
    duplicate            its input was accepted before

The data released with arXiv 2407.05463 have 621 copies of few-shot examples and 407 repeated inputs among 5,398 rows of
BIG-Bench Hard; its only guard is a substring of the task's name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

GRAM = 13  # words
WORD = re.compile(r"[^\W_]+")


@dataclass
class Guards:
    """Checks rows and rewritten inputs of one task.

    `evaluation` are the questions that the student will be measured on; `examples` the task's few-shot inputs. Words in
    a row that several examples have, or an example and the evaluation set, are the task's wording and no overlap.
    """

    evaluation: Iterable[str] = ()
    examples: Sequence[str] = ()
    banned: Sequence[str] = ()  # names of sources, in any case; `glue` also bans `glue/mnli`
    ngram: int = GRAM

    def __post_init__(self) -> None:
        texts, own = [words(text) for text in self.evaluation], [words(text) for text in self.examples]
        measured = {gram for text in texts for gram in self._grams_of(text)}
        shown = Counter(gram for text in own for gram in set(self._grams_of(text)))
        self._evaluation, self._examples = set(map(tuple, texts)), set(map(tuple, own))
        self._grams = measured - shown.keys()
        self._example_grams = {gram for gram, examples in shown.items() if examples == 1} - measured
        self._banned = tuple(name.lower() for name in self.banned)
        self._accepted: set[tuple[str, ...]] = set()

    def check_row(self, source: str, values: Mapping[str, str]) -> str | None:
        """Why a retrieved row must not be rewritten, None if it may be."""
        name = source.lower()
        if any(name == banned or name.startswith(f"{banned}/") for banned in self._banned):
            return "banned_source"
        return next(filter(None, (self._leak(words(value)) for value in values.values())), None)

    def check_input(self, text: str) -> str | None:
        """Why an input must not become an example, None if it may; an accepted one is a duplicate the next time."""
        found = words(text)
        if reason := self._leak(found):
            return reason
        if tuple(found) in self._examples or not self._example_grams.isdisjoint(self._grams_of(found)):
            return "example_copy"
        if tuple(found) in self._accepted:
            return "duplicate"
        self._accepted.add(tuple(found))
        return None

    def _leak(self, text: list[str]) -> str | None:
        if text and tuple(text) in self._evaluation:
            return "evaluation_copy"
        return None if self._grams.isdisjoint(self._grams_of(text)) else "evaluation_overlap"

    def _grams_of(self, text: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """All runs of `ngram` words; none in a shorter text."""
        return (tuple(text[start : start + self.ngram]) for start in range(len(text) - self.ngram + 1))


def words(text: str) -> list[str]:
    """The words and numbers of `text` in lower case, without punctuation; of pure punctuation the text itself."""
    return WORD.findall(text.lower()) or text.split()
