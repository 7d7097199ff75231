"""Diversity of texts: on texts where the value is known, and against its definition on random ones."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import numpy as np
import pytest

from benchmarks.replications.rebase.text_diversity import distinct, self_bleu, spread, words


def test_distinct_grams_over_all_grams() -> None:
    assert distinct(["a b a b"], 1) == 0.5 and distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct(["a b", "A b"], 1) == 0.5 and distinct(["a b", "c d"], 2) == 1.0
    assert distinct(["a", "b"], 2) == 0.0


def test_spread_is_the_mean_cosine_distance_of_pairs() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((9, 5))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - a @ b for i, a in enumerate(vectors) for b in vectors[:i]]
    assert spread(vectors) == pytest.approx(np.mean(pairs))
    assert spread(np.repeat(vectors[:1], 4, axis=0)) == pytest.approx(0) and spread(np.eye(3)) == 1.0


def plain_self_bleu(texts: list[str]) -> float:
    """By the definition, reference by reference."""
    scores = []
    for place, text in enumerate(texts):
        own, others = words(text), [words(other) for i, other in enumerate(texts) if i != place]
        logs = 0.0
        for n in range(1, 5):
            count, *references = (Counter(tuple(t[i : i + n]) for i in range(len(t) - n + 1)) for t in (own, *others))
            matches = sum(min(times, max(r[gram] for r in references)) for gram, times in count.items())
            logs += (
                math.log((matches + (n > 1)) / (sum(count.values()) + (n > 1))) / 4 if matches + (n > 1) else -math.inf
            )
        nearest = min(map(len, others), key=lambda length: (abs(length - len(own)), length))
        scores.append(math.exp(logs + min(0.0, 1 - nearest / len(own))))
    return sum(scores) / len(scores)


def test_self_bleu_is_that_of_its_definition() -> None:
    rng = Random(1)
    texts = [" ".join(rng.choices("abcde", k=rng.randint(3, 9))) for _ in range(12)]
    assert self_bleu(texts) == pytest.approx(plain_self_bleu(texts))
    assert self_bleu(["a b c d e"] * 3) == pytest.approx(1.0)
    assert self_bleu(["a b c d e", "f g h i j"]) == 0.0
    assert self_bleu(["a b c d e", "a b c d f"]) > self_bleu(["a b c d e", "a b x y z"])


def test_one_text_alone_has_no_diversity() -> None:
    with pytest.raises(ValueError, match="got 1"):
        self_bleu(["a"])
    with pytest.raises(ValueError, match="got 1"):
        spread(np.eye(1))
