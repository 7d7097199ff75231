"""Which of several teachers gives a sample: a pure function of the question, the sample and the teachers' settings.

Each teacher that takes the question draws a number from the hash of its name and of the question (or the sample), and
the best one by weight wins (weighted rendezvous hashing). So a teacher that is added, or whose weight is changed, takes
over or gives up its own part alone: what the others have answered stays theirs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.records import Question, content_hash

DIGITS = 13  # of a draw in hexadecimal, which a float holds exactly
NAMED = 3  # values in a message


@dataclass(frozen=True, slots=True)
class Candidate:
    """A teacher that may be drawn; `only` has the values of a question's columns that it takes, as text."""

    name: str
    weight: float = 1.0
    only: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def takes(self, columns: Mapping[str, Any]) -> bool:
        return all(str(columns.get(name)) in values for name, values in self.only)

    def draw(self, drawn_for: str) -> float:
        """Smaller is better; with weights w the chance of the smallest is w over the sum of all weights."""
        uniform = (int(content_hash(drawn_for, self.name, length=DIGITS), 16) + 0.5) / 16**DIGITS
        return -math.log(uniform) / self.weight


@dataclass(frozen=True, slots=True)
class Share:
    """The samples of the teacher `name` among `candidates`: of whole questions, or each sample by itself."""

    name: str
    candidates: tuple[Candidate, ...]
    samples_from: Literal["one", "several"] = "one"  # of a question

    def of(self, question: Question, context: str, indices: Iterable[int]) -> tuple[int, ...]:
        """Those of a question's samples in a context that are this teacher's."""
        able = self._able(question)
        if self.samples_from == "one":
            return tuple(indices) if self._wins(able, question.id) else ()
        return tuple(index for index in indices if self._wins(able, f"{question.id}/{context}/{index}"))

    def _able(self, question: Question) -> list[Candidate]:
        if not any(one.only for one in self.candidates):
            return list(self.candidates)
        columns = question.meta
        return [one for one in self.candidates if one.takes(columns)]

    def _wins(self, able: list[Candidate], drawn_for: str) -> bool:
        return bool(able) and min(able, key=lambda one: one.draw(drawn_for)).name == self.name

    def check(self, questions: Iterable[Question]) -> None:
        """Raise UsageError where no teacher takes a question."""
        names = sorted({name for one in self.candidates for name, _ in one.only})
        if not names:
            return
        left: Counter[tuple[str, ...]] = Counter()
        columns: dict[str, None] = {}
        for question in questions:
            if not self._able(question):
                meta = question.meta
                columns |= dict.fromkeys(meta)
                left[tuple(f"{name}={meta.get(name)}" for name in names)] += 1
        if left:
            first = "; ".join(f"{', '.join(values)} ({count:,})" for values, count in left.most_common(NAMED))
            raise UsageError(
                f"teachers: none takes {sum(left.values()):,} questions, with {first}; expected one without `only`, or "
                f"these values (columns there are: {', '.join(columns)}; of a table also those in questions.keep)"
            )
