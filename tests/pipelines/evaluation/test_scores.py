"""Scores: greedy accuracy with its error, and average, majority and pass@n of several samples."""

from __future__ import annotations

import math

import pytest

from raydistill.pipelines.evaluation.scores import score

SETTINGS = {"temperature": 0.7, "grader": "numeric"}


def test_accuracy_and_its_standard_error() -> None:
    greedy = [(["passed"], ["1"])] * 3 + [(["failed"], ["2"])]
    measured = score(greedy, samples=1, **SETTINGS)
    assert measured.accuracy == 0.75 and measured.n == 4
    assert measured.stderr == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    assert measured.average is measured.majority is measured.pass_at_n is None


def test_unknown_is_counted_and_never_scored() -> None:
    greedy = [(["passed"], ["1"]), (["unknown"], [""])]
    sampled = [(["passed", "unknown"], ["1", ""]), (["unknown", "unknown"], ["", ""])]
    measured = score(greedy, sampled, samples=2, **SETTINGS)
    assert (measured.accuracy, measured.n, measured.unknown) == (1.0, 1, 4)
    assert measured.average == measured.majority == measured.pass_at_n == 1.0


def test_majority_is_the_elected_value_and_ties_go_to_the_first() -> None:
    lost = (["passed", "failed", "failed"], ["1", "2", "2"])
    first = (["passed", "failed", "failed"], ["1", "2", ""])
    second = (["failed", "failed", "passed"], ["", "2", "1"])
    won = (["failed", "passed", "passed"], ["2", "1", "1"])
    silent = (["failed", "failed", "failed"], ["", "", ""])
    sampled = [lost, first, second, won, silent]
    measured = score([(["failed"], [""])] * 5, sampled, samples=3, **SETTINGS)
    assert measured.majority == pytest.approx((0 + 1 + 0 + 1 + 0) / 5)
    assert measured.pass_at_n == pytest.approx(4 / 5)
    assert measured.average == pytest.approx((1 / 3 + 1 / 3 + 1 / 3 + 2 / 3 + 0) / 5)


def test_nothing_to_score() -> None:
    measured = score([], samples=1, **SETTINGS)
    assert (measured.accuracy, measured.stderr, measured.n) == (0.0, 0.0, 0)
