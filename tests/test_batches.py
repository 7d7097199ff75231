"""The plan: every example once per epoch, the same for any number of workers, within its token budgets."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.batches import collate, micro_batches, plan, share, split_by_question

LENGTHS = np.random.default_rng(0).integers(20, 200, size=500)


def make_plan(**changes):
    settings = {"epochs": 2, "batch_tokens": 2000, "seed": 1} | changes
    return plan(LENGTHS, range(400), **settings)


def test_each_epoch_has_every_row_once():
    steps = make_plan()
    rows = np.concatenate(steps)
    assert len(rows) == 800
    assert sorted(rows[:400]) == sorted(rows[400:]) == list(range(400))


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
    steps = plan(np.array([50, 900, 60, 800]), range(4), epochs=1, batch_tokens=200, seed=0)
    assert sorted(np.concatenate(steps)) == [0, 1, 2, 3]
    assert all(len(rows) for rows in steps)


def test_micro_batches_respect_the_padded_budget():
    rows = np.arange(100)
    pieces = micro_batches(rows, LENGTHS, 1000)
    assert sorted(np.concatenate(pieces)) == list(rows)
    assert all(len(piece) * LENGTHS[piece].max() <= 1000 for piece in pieces)
    assert [list(piece) for piece in micro_batches(np.array([0]), np.array([5000]), 1000)] == [[0]]


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_workers_share_all_pieces_evenly(world):
    pieces = micro_batches(np.arange(100), LENGTHS, 2000)
    shares = [share(pieces, rank, world) for rank in range(world)]
    assert len({len(part) for part in shares}) == 1
    assert sorted(row for part in shares for _, piece in part for row in piece) == list(range(100))
    numbers = sorted(number for part in shares for number, _ in part)
    assert numbers == list(range(len(numbers)))


class Rows:
    """Stands for a `TokenTable` of two rows."""

    def __getitem__(self, row):
        return [(np.array([5, 6, 7], np.int32), np.array([0, 1, 1], np.float32)), (np.array([8], np.int32),) * 2][row]


def test_collate_pads_on_the_right_with_weight_zero():
    batch = collate(Rows(), np.array([0, 1]))
    assert batch.ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch.weights.tolist() == [[0, 1, 1], [8, 0, 0]]


def test_collate_of_nothing_is_one_row_without_trained_tokens():
    batch = collate(Rows(), np.array([], dtype=np.int64))
    assert batch.ids.shape == (1, 2)
    assert not batch.weights.any()


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
