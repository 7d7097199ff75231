"""What a recipe tells of a run on its page, in forms that every page can show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence or two; ``Sentence("Of 40 conversations 12 improved.")``"""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of short values, ``Table("Contexts", ("context", "passed"), [("a", 3)])``; integers get commas."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Texts:
    """Longer texts that belong together, such as two rationales of a question; ``Texts("Pair", {"first": "..."})``"""

    title: str
    texts: Sequence[tuple[str, str]]  # what each is, and what it says


Block = Sentence | Table | Texts
