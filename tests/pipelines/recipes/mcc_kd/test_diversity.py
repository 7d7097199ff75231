"""Diversity: n-grams and Jaccard by hand, the choice of K against brute force, its controls, its speed."""

from __future__ import annotations

import itertools
import json
import os
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest

from raydistill.pipelines.recipes.mcc_kd import diversity
from raydistill.pipelines.recipes.mcc_kd.diversity import (
    choose,
    distinct,
    jaccard,
    most_diverse,
    most_similar,
    ngrams,
    pick,
    similarities,
)

WORDS = [*"tabcdefgh", "then", "she", "buys", "boxes", "3", "4", "12", "+", "-", "*", "="]


def texts(count: int, seed: int, words: int = 30) -> list[str]:
    rng = Random(seed)
    return [" ".join(rng.choices(WORDS, k=words)) for _ in range(count)]


def worst(similarity: np.ndarray, places) -> float:
    """Similarity of the two most similar texts of a set."""
    return max(similarity[i, j] for i, j in itertools.combinations(places, 2))


def test_ngrams_by_hand():
    assert ngrams("She has 1,080 + 2.5.", 1) == {("she",), ("has",), ("1,080",), ("+",), ("2.5",), (".",)}
    assert ngrams("a b a b", 2) == {("a", "b"), ("b", "a")}
    assert ngrams("Too short", 3) == {("too", "short")}
    assert ngrams("", 2) == {()}


def test_jaccard_by_hand():
    assert jaccard(ngrams("a b c", 2), ngrams("b c d", 2)) == pytest.approx(1 / 3)
    assert jaccard(frozenset(), frozenset()) == 1.0
    matrix = similarities(["a b c", "b c d", "A  B c"], 2)
    assert matrix.tolist() == [[1, 1 / 3, 1], [1 / 3, 1, 1 / 3], [1, 1 / 3, 1]]


@pytest.mark.parametrize(("count", "k"), [(2, 2), (3, 2), (5, 3), (7, 4), (8, 5), (9, 2)])
@pytest.mark.parametrize("seed", range(5))
def test_choice_is_the_best_of_all_sets(count: int, k: int, seed: int):
    similarity = similarities(texts(count, seed), 1 + seed % 3)
    candidates = [*itertools.combinations(range(count), k)]

    def loss(places: tuple[int, ...]) -> tuple[float, float]:
        pairs = [similarity[i, j] for i, j in itertools.combinations(places, 2)]
        return max(pairs), round(sum(pairs), 12)

    assert loss(tuple(most_diverse(similarity, k))) == min(map(loss, candidates))
    least = max(min(similarity[i, j] for i, j in itertools.combinations(s, 2)) for s in candidates)
    chosen = most_similar(similarity, k)
    assert min(similarity[i, j] for i, j in itertools.combinations(chosen, 2)) == least


def test_greedy_choice_keeps_half_the_best_distance(monkeypatch):
    for seed in range(20):
        similarity = similarities(texts(9, seed), 2)
        best = worst(similarity, most_diverse(similarity, 4))
        with monkeypatch.context() as patch:
            patch.setattr(diversity, "EXACT", 0)
            greedy = most_diverse(similarity, 4)
        assert len(set(greedy)) == 4
        assert 1 - worst(similarity, greedy) >= (1 - best) / 2


def test_many_candidates_are_chosen_greedily_at_once():
    similarity = similarities(texts(60, 0), 1)
    started = time.perf_counter()
    chosen = most_diverse(similarity, 10)
    assert time.perf_counter() - started < 1
    assert len(set(chosen)) == 10
    assert worst(similarity, chosen) < np.mean([worst(similarity, Random(s).sample(range(60), 10)) for s in range(20)])


def test_few_texts_are_all_taken_and_none_makes_none():
    similarity = similarities(texts(3, 0), 1)
    assert most_diverse(similarity, 3) == most_diverse(similarity, 8) == [0, 1, 2]
    assert most_diverse(similarities([], 1), 4) == []
    assert most_diverse(similarity, 1) == [int(similarity.sum(axis=1).argmin())]


def test_near_duplicates_are_dropped_from_the_threshold_on():
    similarity = np.array([[1, 0.8, 0.5, 0.79], [0.8, 1, 0.5, 0.9], [0.5, 0.5, 1, 0.5], [0.79, 0.9, 0.5, 1]])
    assert distinct(similarity, 0.8) == [0, 2, 3]  # the last resembles only the dropped one
    assert distinct(similarity, 1.01) == [0, 1, 2, 3]
    assert distinct(similarity, 0.5) == [0]


def test_controls_differ_from_diverse_and_are_reproducible():
    similarity = similarities(texts(8, 3), 1)
    diverse, similar = choose(similarity, 3, "diverse", "q"), choose(similarity, 3, "similar", "q")
    assert worst(similarity, diverse) < worst(similarity, similar)
    draws = [choose(similarity, 3, "random", f"q{i}") for i in range(30)]
    assert draws == [choose(similarity, 3, "random", f"q{i}") for i in range(30)]
    assert len({*map(tuple, draws)}) > 10
    assert all(len(set(draw)) == 3 for draw in draws)


def test_pick_drops_near_duplicates_before_it_chooses():
    wordings = ["first 3 + 4", "first 3 + 4", "add 4 to 3 now", "first 3 + 5", "count up from 3"]
    assert pick(wordings, 2, "diverse", n=1, threshold=0.6, seed="q") == ([2, 4], [1, 3])
    assert pick(wordings, 9, "diverse", n=1, threshold=1.01, seed="q") == ([0, 1, 2, 3, 4], [])
    assert pick([], 2, "diverse", n=1, threshold=0.6, seed="q") == ([], [])


def test_a_question_with_eight_rationales_takes_a_millisecond():
    """100,000 questions are then a matter of a minute or two; six times that is allowed for on a busy machine."""
    questions = [texts(8, seed, words=60) for seed in range(100)]
    started = time.process_time()
    for rationales in questions:
        most_diverse(similarities(rationales, 2), 4)
    assert (time.process_time() - started) / len(questions) < 6e-3


@pytest.mark.skipif("RAYDISTILL_DATA" not in os.environ, reason="RAYDISTILL_DATA is not set")
def test_real_rationales_are_chosen_less_alike_than_at_random():
    path = Path(os.environ["RAYDISTILL_DATA"], "gsm8k_model_solutions", "part.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:200]]
    gains = []
    for row in rows:
        similarity = similarities([value["solution"] for value in row.values() if isinstance(value, dict)], 2)
        gains.append(
            worst(similarity, choose(similarity, 3, "random", "0")) - worst(similarity, most_diverse(similarity, 3))
        )
    assert min(gains) >= 0
    assert np.mean(gains) > 0.02
