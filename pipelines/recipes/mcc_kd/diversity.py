"""Which rationales of a question differ most: n-gram sets, Jaccard similarity, choice of K (arXiv 2310.14747).

    texts --ngrams--> sets --similarities--> [m, m] --distinct--> without near-duplicates --choose--> K places

Pure functions over the few rationales of one question; `pick` is all of them in turn. `most_diverse` is exact up to
`EXACT` candidate sets, which covers what is usual (4 of 20 are 4,845), and greedy beyond.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

EXACT = 5000  # candidate sets that are compared one by one
WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d]+|[^\w\s]")


def pick(texts: Sequence[str], k: int, how: str, *, n: int, threshold: float, seed: str) -> tuple[list[int], list[int]]:
    """Places of the K texts to train on, and of those dropped before the choice as near-duplicates.

    Similarity is of `n`-grams; `threshold` is that of `distinct`; `how` and `seed` are those of `choose`.
    """
    import numpy as np

    similarity = similarities(texts, n)
    kept = distinct(similarity, threshold)
    chosen = choose(similarity[np.ix_(kept, kept)], k, how, seed)
    return [kept[place] for place in chosen], sorted({*range(len(texts))} - {*kept})


def ngrams(text: str, n: int) -> frozenset[tuple[str, ...]]:
    """The word n-grams of `text`, without case; numbers are words, and so is each sign: ``{("3", "+"), ("+", "4")}``.

    A text of fewer than `n` words is one gram of its own.
    """
    words = WORD.findall(text.casefold())
    return frozenset(zip(*(words[start:] for start in range(n)), strict=False)) or frozenset([tuple(words)])


def jaccard(left: frozenset[tuple[str, ...]], right: frozenset[tuple[str, ...]]) -> float:
    """Shared grams divided by all grams, 0 to 1; two empty sets are equal."""
    shared = len(left & right)
    union = len(left) + len(right) - shared
    return shared / union if union else 1.0


def similarities(texts: Sequence[str], n: int) -> np.ndarray:
    """Pairwise Jaccard similarity of the texts' n-gram sets, [m, m] with 1 on the diagonal."""
    import numpy as np

    grams = [ngrams(text, n) for text in texts]
    matrix = np.eye(len(texts))
    for left, right in itertools.combinations(range(len(texts)), 2):
        matrix[left, right] = matrix[right, left] = jaccard(grams[left], grams[right])
    return matrix


def distinct(similarity: np.ndarray, threshold: float) -> list[int]:
    """Places of the texts that are less than `threshold` similar to every kept one in front of them."""
    kept: list[int] = []
    for place, row in enumerate(similarity):
        if all(row[other] < threshold for other in kept):
            kept.append(place)
    return kept


def most_diverse(similarity: np.ndarray, k: int) -> list[int]:
    """The K places whose two most similar texts are least similar (max-min choice), in ascending order.

    Ties go to the set of lower mean similarity, then to the first. Beyond `EXACT` candidate sets the choice is
    greedy: the least similar pair, then one at a time the text least similar to its most similar chosen one. That
    leaves at least half the best possible distance, as Jaccard distance is a metric.
    """
    import numpy as np

    m = len(similarity)
    if k >= m:
        return list(range(m))
    if k < 2:
        return [int(similarity.sum(axis=1).argmin())][:k]
    if math.comb(m, k) > EXACT:
        return _greedy(similarity, k)
    sets, pairs = _candidates(m, k)
    values = similarity.ravel()[pairs]
    return sets[np.lexsort((values.sum(axis=1), values.max(axis=1)))[0]].tolist()


def most_similar(similarity: np.ndarray, k: int) -> list[int]:
    """The K places whose two least similar texts are most similar: the control that should do worst."""
    return most_diverse(-similarity, k)


def random_places(similarity: np.ndarray, k: int, seed: str) -> list[int]:
    """K places drawn at random: the control that diversity is measured against."""
    m = len(similarity)
    return sorted(Random(seed).sample(range(m), min(k, m)))


def choose(similarity: np.ndarray, k: int, how: str, seed: str) -> list[int]:
    """K places chosen as `how` says: diverse, random (by `seed`) or similar."""
    rules: dict[str, Callable[[], list[int]]] = {
        "diverse": lambda: most_diverse(similarity, k),
        "random": lambda: random_places(similarity, k, seed),
        "similar": lambda: most_similar(similarity, k),
    }
    return rules[how]()


@cache
def _candidates(m: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All K-sets of m places [C, K], and the flat matrix indices of their pairs [C, K (K - 1) / 2]."""
    import numpy as np

    sets = np.array([*itertools.combinations(range(m), k)])
    left, right = np.triu_indices(k, 1)
    return sets, sets[:, left] * m + sets[:, right]


def _greedy(similarity: np.ndarray, k: int) -> list[int]:
    import numpy as np

    blocked = similarity + np.where(np.eye(len(similarity)), np.inf, 0)
    chosen = [int(place) for place in np.unravel_index(blocked.argmin(), blocked.shape)]
    while len(chosen) < k:
        nearest = similarity[:, chosen].max(axis=1)
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
    return sorted(chosen)
