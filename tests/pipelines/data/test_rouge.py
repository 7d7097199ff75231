"""ROUGE-L against its definition, and what it says of questions."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from raydistill.pipelines.data.rouge import common_subsequence, most_alike, rouge_l, tokens, too_alike


def by_its_table(one: Sequence[str], other: Sequence[str]) -> int:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def test_the_longest_common_subsequence_is_that_of_its_definition() -> None:
    rng = Random(0)
    for _ in range(500):
        one, other = ([rng.choice("abcd") for _ in range(rng.randint(0, 90))] for _ in range(2))
        assert common_subsequence(one, other) == by_its_table(one, other)


def test_signs_are_words_and_other_marks_are_not() -> None:
    assert tokens("What is 3-2 + 4/2, Mia?") == ["what", "is", "3", "-", "2", "+", "4", "/", "2", "mia"]
    assert rouge_l(tokens("2 + 2?"), tokens("2 - 2!")) == pytest.approx(2 / 3)
    assert rouge_l([], []) == 1 and rouge_l(["a"], []) == 0


def test_the_most_alike_come_first_and_too_alike_is_above_the_threshold() -> None:
    texts = [tokens(text) for text in ("Who is Mia?", "How many eggs has Mia?", "How many red eggs has Mia?")]
    asked = tokens("How many eggs has Noah?")
    assert most_alike(asked, texts, 2) == [1, 2] and most_alike(asked, texts, 0) == []
    assert rouge_l(asked, texts[1]) == pytest.approx(0.8)
    assert too_alike(asked, texts, 0.79) and not too_alike(asked, texts, 0.8) and not too_alike(asked, [], 0.1)
