"""The plan: every example, or a pair per question, once per epoch; the same for any number of workers."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from raydistill.pipelines.training.batches import (
    alone,
    collate,
    micro_batches,
    plan,
    rows_of,
    shard_for_rank,
    split_by_question,
)
from raydistill.pipelines.training.losses.consistency import pair_up
from raydistill.pipelines.training.losses.cross_entropy import CrossEntropy
from raydistill.pipelines.training.tokens import Lists

LENGTHS = np.random.default_rng(0).integers(20, 200, size=500)
GROUPS = np.where(np.arange(500) < 300, np.arange(500) % 90, -1)  # of 400 rows: 90 groups of 3 or 4, 100 rows alone


def make_plan(groups=None, **changes):
    settings = {"epochs": 2, "batch_tokens": 2000, "seed": 1} | changes
    return plan(LENGTHS, range(400), each_alone if groups is None else in_pairs(groups), **settings)


def each_alone(rows, _):
    return alone(rows)


def in_pairs(groups):
    return lambda rows, generator: pair_up(rows, groups, generator)


def test_each_epoch_has_every_row_once():
    steps = make_plan()
    rows = rows_of(np.concatenate(steps))
    assert len(rows) == 800
    assert sorted(rows[:400]) == sorted(rows[400:]) == list(range(400))


def test_the_plan_without_pairs_is_pinned():
    """Another order would train other students with the same seed."""
    steps = plan(np.array([30, 20, 50, 10, 40, 60]), range(6), each_alone, epochs=2, batch_tokens=80, seed=3)
    assert [step[:, 0].tolist() for step in steps] == [[5], [4, 2], [3, 1, 0], [3, 1, 0], [4, 2], [5]]


def test_an_epoch_has_one_pair_of_each_group_and_every_other_row():
    steps = make_plan(GROUPS)
    half = len(pair_up(range(400), GROUPS, np.random.default_rng(0)))
    units = np.concatenate(steps)
    assert len(units) == 2 * half == 2 * (90 + 100)
    for epoch in (units[:half], units[half:]):
        pairs = epoch[epoch[:, 1] >= 0]
        assert (GROUPS[pairs[:, 0]] == GROUPS[pairs[:, 1]]).all() and (pairs[:, 0] != pairs[:, 1]).all()
        assert sorted(GROUPS[pairs[:, 0]]) == [*range(90)]
        assert sorted(epoch[epoch[:, 1] < 0][:, 0]) == [*range(300, 400)]


def test_pairs_are_drawn_afresh_in_every_epoch_and_by_the_seed():
    def pairs(**changes) -> list[set[tuple[int, ...]]]:
        units = np.concatenate(make_plan(GROUPS, **changes))
        found = [tuple(sorted(unit)) for unit in units.tolist() if unit[1] >= 0]
        return [set(found[:90]), set(found[90:])]

    first, second = pairs()
    assert [first, second] == pairs()
    assert len(first & second) < 60 and len(first & pairs(seed=2)[0]) < 60


def test_all_pairs_of_a_group_are_equally_likely():
    groups = np.zeros(4, dtype=np.int64)
    draws = [pair_up(range(4), groups, np.random.default_rng(seed))[0] for seed in range(1200)]
    counts = Counter(tuple(sorted(draw)) for draw in np.array(draws).tolist())
    assert len(counts) == 6
    assert all(140 < count < 260 for count in counts.values())


def test_without_drawing_all_rows_are_in_one_unit_each():
    units = pair_up([0, 1, 2, 3, 4, 5, 6], np.array([7, -1, 7, 8, 7, 9, 9]))
    assert units.tolist() == [[1, -1], [0, 2], [4, -1], [3, -1], [5, 6]]
    assert pair_up([], GROUPS).shape == (0, 1)


def test_partners_stay_together_and_count_twice():
    units = pair_up(range(400), GROUPS)
    pieces = micro_batches(units, LENGTHS, 1000)
    assert sorted(map(tuple, np.concatenate(pieces).tolist())) == sorted(map(tuple, units.tolist()))
    assert all(len(rows_of(piece)) * LENGTHS[rows_of(piece)].max() <= 1000 for piece in pieces[:-1])
    tokens = [LENGTHS[rows_of(step)].sum() for step in make_plan(GROUPS)]
    assert max(tokens) <= 2000 + 400
    assert np.mean(tokens) == pytest.approx(2000, rel=0.15)


def test_steps_hold_about_the_budget():
    tokens = [LENGTHS[rows].sum() for rows in make_plan()]
    assert max(tokens) <= 2000 + 200
    assert np.mean(tokens) == pytest.approx(2000, rel=0.1)


def test_plan_is_seeded_and_epochs_differ():
    first, again, other = make_plan(), make_plan(), make_plan(seed=2)
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))
    assert not np.array_equal(np.concatenate(first)[:400], np.concatenate(first)[400:])


def test_rows_of_a_step_have_similar_lengths():
    spread = np.mean([np.ptp(LENGTHS[rows]) for rows in make_plan()])
    assert spread < np.ptp(LENGTHS) / 3


def test_rows_longer_than_the_budget_make_steps_of_their_own():
    steps = plan(np.array([50, 900, 60, 800]), range(4), each_alone, epochs=1, batch_tokens=200, seed=0)
    assert sorted(rows_of(np.concatenate(steps))) == [0, 1, 2, 3]
    assert all(len(rows) for rows in steps)


def test_micro_batches_respect_the_padded_budget():
    pieces = micro_batches(alone(range(100)), LENGTHS, 1000)
    assert sorted(rows_of(np.concatenate(pieces))) == [*range(100)]
    assert all(len(piece) * LENGTHS[piece].max() <= 1000 for piece in pieces[:-1])
    assert len(pieces[-1]) * LENGTHS[pieces[-1]].max() <= 1125
    assert [piece.tolist() for piece in micro_batches(alone([0]), np.array([5000]), 1000)] == [[[0]]]


@pytest.mark.parametrize(
    ("lengths", "sizes"), [([100] * 11, [11]), ([100] * 12, [10, 2]), ([125] * 9, [9]), ([1000, 10], [1, 1])]
)
def test_what_is_left_over_goes_along_where_an_eighth_more_is_enough(lengths, sizes):
    pieces = micro_batches(alone(range(len(lengths))), np.array(lengths), 1000)
    assert [len(piece) for piece in pieces] == sizes


def test_a_step_of_the_budget_is_mostly_one_piece():
    steps = make_plan()
    assert sum(len(micro_batches(step, LENGTHS, 2000)) == 1 for step in steps) > 0.6 * len(steps)


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_workers_share_all_pieces_evenly(world):
    pieces = micro_batches(alone(range(100)), LENGTHS, 2000)
    shares = [shard_for_rank(pieces, rank, world) for rank in range(world)]
    assert len({len(part) for part in shares}) == 1
    assert sorted(row for part in shares for _, piece in part for row in rows_of(piece)) == list(range(100))
    numbers = sorted(number for part in shares for number, _ in part)
    assert numbers == list(range(len(numbers)))


class Rows:
    """Stands for a `TokenTable` of two rows."""

    ids = Lists(np.array([5, 6, 7, 8], np.int32), np.array([0, 3, 4]))

    def lists(self, name):
        assert name == "weights"
        return Lists(np.array([0, 1, 1, 8], np.float32), self.ids.offsets)


def collated(rows):
    batch = collate(Rows(), alone(rows), [CrossEntropy(Rows())])
    return batch.ids, batch.parts["cross_entropy"].weights


def test_collate_pads_on_the_right_with_weight_zero():
    ids, weights = collated([0, 1])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert weights.tolist() == [[0, 1, 1], [8, 0, 0]]


def test_collate_of_nothing_is_one_row_without_trained_tokens():
    ids, weights = collated([])
    assert ids.shape == weights.shape == (1, 2)
    assert not weights.any()


def test_split_keeps_questions_together():
    questions = [f"q{row // 3}" for row in range(300)]
    training, held_out = split_by_question(questions, 0.1, seed=0)
    assert sorted(training + held_out) == list(range(300))
    assert not {questions[row] for row in training} & {questions[row] for row in held_out}
    assert len(held_out) == 30
    assert split_by_question(questions, 0.1, seed=1)[1] != held_out


def test_split_of_few_questions_leaves_both_sides_something():
    assert [len(side) for side in split_by_question(["a", "b"], 0.01, seed=0)] == [1, 1]
    assert [len(side) for side in split_by_question(["a", "a"], 0.5, seed=0)] == [2, 0]
    assert [len(side) for side in split_by_question(["a", "b"], 0.0, seed=0)] == [2, 0]
