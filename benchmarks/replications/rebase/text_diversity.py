"""How different texts of one task are: distinct-n, self-BLEU, and the spread of their sentence embeddings.

All depend on the number of texts; compare sets of one size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from raydistill.pipelines.recipes.mcc_kd.diversity import WORD

ORDERS = 4  # of BLEU: grams of one to four words


def words(text: str) -> list[str]:
    """The words, numbers and signs of a text, without case."""
    return WORD.findall(text.casefold())


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams of the texts together (Li et al. 2016, arXiv 1510.03055); 0 without any."""
    grams = [gram for text in texts for gram in _grams(words(text), n)]
    return len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(texts: Sequence[str]) -> float:
    """Mean BLEU-4 of each text against all others (Zhu et al. 2018, arXiv 1802.01886): 1 where all are the same.

    Sums of matches and totals are smoothed by one above single words (Lin and Och 2004), so that a missing four-gram is
    not a zero. Raises ValueError for fewer than two texts.
    """
    if len(texts) < 2:
        raise ValueError(f"self-BLEU compares texts with each other; got {len(texts)}")
    tokens = [words(text) for text in texts]
    counts = [[Counter(_grams(text, n)) for n in range(1, ORDERS + 1)] for text in tokens]
    highest = [_two_highest([count[n] for count in counts]) for n in range(ORDERS)]
    lengths = Counter(map(len, tokens))
    return float(
        np.mean([_bleu(place, counts[place], highest, len(tokens[place]), lengths) for place in range(len(texts))])
    )


def spread(vectors: np.ndarray) -> float:
    """Mean cosine distance (1 - cosine) of all pairs of rows of `vectors` [n, dimension], each of length 1."""
    n = len(vectors)
    if n < 2:
        raise ValueError(f"spread is of pairs; got {n} vectors")
    total = np.asarray(vectors, np.float64).sum(axis=0)
    return float(1 - (total @ total - n) / (n * (n - 1)))


def _grams(text: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(text[start : start + n]) for start in range(len(text) - n + 1)]


def _two_highest(counts: Sequence[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """Of each gram the highest count in a text, that text's place, and the highest count in any other text."""
    found: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for place, count in enumerate(counts):
        for gram, times in count.items():
            first, where, second = found.get(gram, (0, -1, 0))
            found[gram] = (times, place, first) if times > first else (first, where, max(second, times))
    return found


def _bleu(
    place: int,
    counts: Sequence[Counter[tuple[str, ...]]],
    highest: Sequence[dict[tuple[str, ...], tuple[int, int, int]]],
    length: int,
    lengths: Counter[int],
) -> float:
    """BLEU of the text at `place` with all other texts as references."""
    if not length:
        return 0.0
    logs = 0.0
    for n, count in enumerate(counts):
        matches = 0
        for gram, times in count.items():
            first, where, second = highest[n][gram]
            matches += min(times, second if where == place else first)
        smoothed = int(n > 0)
        total = sum(count.values())
        if not matches + smoothed:
            return 0.0
        logs += math.log((matches + smoothed) / (total + smoothed)) / ORDERS
    others = [other for other, texts in lengths.items() if texts - (other == length)]
    nearest = min(others, key=lambda other: (abs(other - length), other))
    return math.exp(logs + min(0.0, 1 - nearest / length))
