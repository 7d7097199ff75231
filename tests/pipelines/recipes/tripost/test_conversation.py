"""Conversations as text: what is read out of them, where an inference ends, when feedback agrees."""

from __future__ import annotations

from random import Random

import pytest

from raydistill.pipelines.recipes.tripost.conversation import (
    Turn,
    after_attempt,
    agree,
    asks_for_feedback,
    final_answer,
    first_attempt,
    go_on,
    numbered,
    read_turns,
    repeats_itself,
    settle,
)
from raydistill.pipelines.tasks.stepwise.base import Feedback
from raydistill.pipelines.tasks.stepwise.prompts import ALL_RIGHT, feedback_reply
from raydistill.pipelines.tasks.stepwise.table import TASKS

WRONG = "Step 1: 3 + 4 = 8, so 8 * 2\nStep 2: Therefore, the answer is 16."
BETTER = "Step 1: 3 + 4 = 7, so 7 * 2\nStep 2: Therefore, the answer is 15."
RIGHT = "Step 1: 3 + 4 = 7, so 7 * 2\nStep 2: Therefore, the answer is 14."
FIRST = 'Step 1 is wrong: "3 + 4 = 8". 3 + 4 = 7.'
SECOND = 'Step 2 is wrong: "15". The steps lead to 14.'


@pytest.mark.parametrize("name", TASKS)
def test_what_is_written_is_read_again(name: str) -> None:
    """For every task, with feedback that works the steps out, which looks like an attempt itself."""
    task = TASKS[name]
    for seed in range(20):
        rng = Random(f"{name}/{seed}")
        item = task.generate(rng.choice(task.seen + task.unseen), rng)
        attempt, step = task.plant(item.question, item.rationale, "answer", rng)
        found = task.feedback(item.question, attempt)
        said = feedback_reply(attempt, found, task.expected(item.question, attempt, step))
        closing = feedback_reply(item.rationale, Feedback(), task.expected(item.question, item.rationale, step))
        text = attempt + after_attempt(said, item.rationale) + after_attempt(closing)
        turns = read_turns(text)
        assert turns == [Turn(attempt, said), Turn(item.rationale, closing)]
        assert turns[0].verdict == found and turns[1].verdict == Feedback()
        assert first_attempt(text) == attempt and numbered(attempt) and final_answer(item.rationale) == item.answer
        assert settle(turns, 2) == (turns, "correct")


def test_a_turn_begins_where_the_student_goes_on() -> None:
    assert (WRONG + after_attempt(FIRST)).startswith(asks_for_feedback(WRONG))
    assert not asks_for_feedback(WRONG)[-1].isspace()


def test_text_out_of_turn_and_other_questions_are_left_out() -> None:
    assert read_turns(f"{WRONG}\nUpdated answer:\n{RIGHT}") == [Turn(WRONG)]
    assert read_turns(f"{WRONG}\nFeedback: {FIRST}\nFeedback: {SECOND}") == [Turn(WRONG, FIRST)]
    assert read_turns(f"{WRONG}\nQuestion: 1 + 1 =\n{RIGHT}") == [Turn(WRONG)]
    assert read_turns(f"{WRONG}\nFeedback: {FIRST}\nUpdated answer:\n") == [Turn(WRONG, FIRST)]
    assert read_turns("") == [Turn("")]


def test_the_token_limit_costs_the_last_piece_only() -> None:
    whole = WRONG + after_attempt(FIRST, RIGHT)
    assert read_turns(whole, cut_off=True) == [Turn(WRONG, FIRST)]
    assert read_turns(WRONG + after_attempt(FIRST), cut_off=True) == [Turn(WRONG)]
    assert read_turns(WRONG, cut_off=True) == [Turn(WRONG)]


@pytest.mark.parametrize(
    ("turns", "left", "reason"),
    [
        ([Turn(WRONG)], 1, "no_feedback"),
        ([Turn(WRONG, "Hm.")], 1, "unreadable_feedback"),
        ([Turn(WRONG, FIRST)], 1, "no_update"),
        ([Turn(WRONG, ALL_RIGHT), Turn(RIGHT)], 1, "correct"),
        ([Turn(WRONG, FIRST), Turn("Step 1: 3 + 4 = 7, so 7 * 2")], 1, "broken_update"),
        ([Turn(WRONG, FIRST), Turn(WRONG, ALL_RIGHT)], 1, "repetition"),
        ([Turn(WRONG, FIRST), Turn(RIGHT)], 2, None),
        ([Turn(WRONG, FIRST), Turn(BETTER, FIRST)], 2, "no_progress"),
        ([Turn(WRONG, SECOND), Turn(BETTER, FIRST)], 2, "no_progress"),
        ([Turn(WRONG, FIRST), Turn(BETTER, SECOND), Turn(RIGHT)], 3, "limit"),
        ([Turn(WRONG, FIRST), Turn(BETTER, SECOND), Turn(RIGHT, ALL_RIGHT)], 3, "correct"),
    ],
)
def test_every_ending(turns: list[Turn], left: int, reason: str | None) -> None:
    assert settle(turns, 2) == (turns[:left], reason)


def test_no_update_is_looked_at_beyond_the_limit() -> None:
    turns = [Turn(WRONG, FIRST), Turn(BETTER, SECOND), Turn(RIGHT, ALL_RIGHT)]
    assert settle(turns, 1) == (turns[:2], "limit")
    assert settle(turns, 0) == (turns[:1], "limit")


def test_a_student_goes_on_from_its_update() -> None:
    turns = [Turn(WRONG, FIRST), Turn(BETTER)]
    second = [Turn(WRONG, FIRST), Turn(BETTER, SECOND), Turn(RIGHT)]
    said = f" {SECOND}\nUpdated answer:\n{RIGHT}"
    assert go_on(turns, said, 3) == (second, None) and go_on(turns, said, 2) == (second, "limit")
    assert go_on(turns, said, 2, cut_off=True) == ([Turn(WRONG, FIRST), Turn(BETTER, SECOND)], "no_update")
    assert go_on(turns, f" {ALL_RIGHT}", 2) == ([Turn(WRONG, FIRST), Turn(BETTER, ALL_RIGHT)], "correct")
    assert go_on(turns, "", 2) == (turns, "no_feedback")


def test_feedback_agrees_in_step_and_overlapping_quotes() -> None:
    found = Feedback(2, "9 * 5 = 46", "9 * 5 = 45")
    assert agree(Feedback(2, "5 = 46", "anything"), found) and agree(Feedback(), Feedback())
    for other in (None, Feedback(), Feedback(1, "9 * 5 = 46"), Feedback(2, "9 * 6"), Feedback(2)):
        assert not agree(other, found)


def test_feedback_may_have_to_agree_in_its_reason() -> None:
    found = Feedback(2, "9 * 5 = 46", "9 * 5 = 45")
    assert agree(Feedback(2, "5 = 46", "9 * 5 = 45"), found, reasons=True)
    assert agree(Feedback(), Feedback(), reasons=True)
    assert not agree(Feedback(2, "9 * 5 = 46", "9 * 5 = 44"), found, reasons=True)


def test_running_in_circles() -> None:
    line = "carry the two over and add it to the next column again, "
    assert repeats_itself(line * 2) and repeats_itself("so so so so so")
    assert not repeats_itself(RIGHT) and not repeats_itself(line)
    assert not numbered("Step 1: a\nStep 3: b") and not numbered("")
