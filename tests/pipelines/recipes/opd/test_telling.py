"""What the page of an on-policy run says of its rounds, from the accounts in its report."""

from __future__ import annotations

from typing import Any

from raydistill.pipelines.data.blocks import Table
from raydistill.pipelines.recipes.opd.telling import in_one_line, tell_rounds

FIRST: dict[str, Any] = {
    "round": 1, "sampled_by": 0, "samples": 8, "accuracy": 0.25, "sampled_tokens": 90, "scored_tokens": 90,
    "advantage": -0.5, "reverse_kl": 0.75, "dropped": {"unknown": 1, "nothing_to_learn": 0}, "unscored": 2,
    "examples": 5,
    "teachers": {"large": 6, "small": 2}, "trained_tokens": 70, "staleness": {"first": 0.0, "mean": 0.25},
    "clipped": 0.125, "score_minus_sampled": {"tokens": 9, "mean": 1e-6, "largest": 2e-6},
    "trainer_minus_engine": {"tokens": 9, "mean": 3e-6, "largest": 4e-6},
}  # fmt: skip
LAST = {**FIRST, "round": 2, "sampled_by": 1, "accuracy": None, "reverse_kl": None, "teachers": {}}
SCORES = {"cold start": {"accuracy": 0.5}, "student": {"accuracy": 0.625}}


def tables(accounts: list[dict[str, Any]], scores: dict[str, Any]) -> dict[str, list[tuple[object, ...]]]:
    blocks = tell_rounds(accounts, scores)
    assert all(
        isinstance(block, Table) and all(len(row) == len(block.columns) for row in block.rows) for block in blocks
    )
    return {block.title: list(block.rows) for block in blocks if isinstance(block, Table)}


def test_each_round_has_its_line_in_each_table() -> None:
    told = tables([FIRST, LAST], SCORES)
    assert told["What the student wrote, in nats a token"] == [
        (1, 0, 8, "25.0%", "-0.5000", "0.7500", 90, 90),
        (2, 1, 8, "-", "-0.5000", "-", 90, 90),
    ]
    assert told["What was learned of it"] == [
        (1, 5, 70, "0.0000", "0.2500", "12.5%", "-"),
        (2, 5, 70, "0.0000", "0.2500", "12.5%", "62.5%"),
    ]
    assert told["Before the rounds"] == [("cold start", "50.0%")]
    assert told["Who scored how many samples"] == [(1, "large", 6), (1, "small", 2)]
    assert told["Samples that were not learned"] == [("unscored", 4), ("unknown", 2)]
    assert [row[2:] for row in told["How far engine and trainer are apart, in nats"]][:2] == [
        ("1.0e-06", "2.0e-06"),
        ("3.0e-06", "4.0e-06"),
    ]


def test_a_round_that_was_not_trained_is_told_as_far_as_it_went() -> None:
    began = {key: value for key, value in FIRST.items() if key not in ("staleness", "clipped", "trained_tokens")}
    assert tables([began], {})["What was learned of it"] == [(1, 5, 0, "-", "-", "-", "-")]
    assert tell_rounds([], SCORES) == [] and "25.0% right, 1 unknown" in in_one_line(FIRST)
