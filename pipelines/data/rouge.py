"""How alike two texts are by ROUGE-L (aclanthology.org/W04-1013): the longest sequence of words that both have.

rouge_l(tokens("How many eggs?"), tokens("How many red eggs?"))   6/7: three words of three, and of four
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from raydistill.pipelines.data.gate import SIGNS

TOKEN = re.compile(rf"[^\W_]+|{SIGNS.pattern}")


def tokens(text: str) -> list[str]:
    """The words and numbers of `text` in lower case, and the signs that tell 2 + 2 from 2 - 2."""
    return TOKEN.findall(text.lower())


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """The F-measure of the longest common subsequence, from 0 to 1; of two empty texts 1."""
    if not one or not other:
        return float(len(one) == len(other))
    return 2 * common_subsequence(one, other) / (len(one) + len(other))


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, a row of its table at a time as bits of a whole number.

    After Hyyrö (2004): bit i of `row` is 0 where one more word of `one` than before fits into the subsequence.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    all_ones = row = (1 << len(one)) - 1
    for word in other:
        found = row & places.get(word, 0)
        row = ((row + found) | (row - found)) & all_ones
    return len(one) - row.bit_count()


def most_alike(text: Sequence[str], others: Sequence[Sequence[str]], count: int) -> list[int]:
    """The places of the `count` texts that are most like `text`, the nearest first; of equal ones the earlier."""
    return sorted(range(len(others)), key=lambda place: -rouge_l(text, others[place]))[:count]


def too_alike(text: Sequence[str], others: Sequence[Sequence[str]], most: float) -> bool:
    """Whether one of the texts has a ROUGE-L with `text` above `most`."""
    size = len(text)
    return any(
        2 * min(size, len(other)) > most * (size + len(other)) and rouge_l(text, other) > most
        for other in others  # a shorter text has no more in common than all of itself
    )
