"""Editing conversations, turn by turn, and what is learned from them: outcomes, examples, weights, balance."""

from __future__ import annotations

from typing import get_args

import pytest

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import Turn, read_turns, settle
from raydistill.pipelines.recipes.tripost.editing import (
    ACCEPTED,
    MAX_WORDS,
    REJECTED,
    Draft,
    Judgement,
    Outcome,
    improved,
    is_about,
    judged,
    obeys,
    open_draft,
    read_continuation,
    unedited,
)
from raydistill.pipelines.recipes.tripost.replay import (
    balance,
    count_kinds,
    gold_example,
    turn_examples,
    without_repeats,
)
from raydistill.pipelines.tasks.stepwise.base import Feedback
from raydistill.pipelines.tasks.stepwise.prompts import ALL_RIGHT, verdict
from raydistill.pipelines.tasks.stepwise.table import TASKS

TASK = TASKS["multistep_arithmetic"]
QUESTION = Question("q", "(3 + 4) * 2 =", "14").noting(stepwise=TASK.name)
WRONG = "Step 1: 3 + 4 = 8, so 8 * 2\nStep 2: 8 * 2 = 16, so 16\nStep 3: Therefore, the answer is 16."
LATER = "Step 1: 3 + 4 = 7, so 7 * 2\nStep 2: 7 * 2 = 15, so 15\nStep 3: Therefore, the answer is 15."
RIGHT = "Step 1: 3 + 4 = 7, so 7 * 2\nStep 2: 7 * 2 = 14, so 14\nStep 3: Therefore, the answer is 14."
FIRST, SECOND = (TASK.feedback(QUESTION.text, attempt) for attempt in (WRONG, LATER))


def script(draft: Draft) -> Judgement:
    found = TASK.feedback(QUESTION.text, draft.attempt)
    return Judgement(found, verdict(found))


def edit(*turns: Turn, max_updates: int = 5, reasons: bool = False) -> Draft:
    """The finished draft of what a student said, with scripted feedback and improvement."""
    draft = open_draft("q/attempt/0", QUESTION, turns)
    while draft.outcome is None:
        right = draft.attempt.endswith(f" {QUESTION.answer}.")
        draft = judged(draft, script(draft), right=right, max_updates=max_updates, reasons=reasons)
        if draft.outcome is None and draft.fault:
            assert draft.fault.step is not None
            draft = improved(draft, TASK.continuation(QUESTION.text, draft.attempt, draft.fault.step))
    return draft


OWN_REASON = 'Step 1 is wrong: "4 = 8". I see it now.'


@pytest.mark.parametrize(
    ("own", "turns", "outcome"),
    [
        ([Turn(RIGHT)], [Turn(RIGHT, ALL_RIGHT)], "self_correct"),
        ([Turn(RIGHT, verdict(FIRST)), Turn(WRONG)], [Turn(RIGHT, ALL_RIGHT)], "self_correct"),
        ([Turn(WRONG)], [Turn(WRONG, verdict(FIRST)), Turn(RIGHT, ALL_RIGHT)], "improved"),
        ([Turn(WRONG, ALL_RIGHT)], [Turn(WRONG, verdict(FIRST)), Turn(RIGHT, ALL_RIGHT)], "improved"),
        # the student's words stay as long as they agree, and its own update is judged
        ([Turn(WRONG, OWN_REASON), Turn(RIGHT)], [Turn(WRONG, OWN_REASON), Turn(RIGHT, ALL_RIGHT)], "improved"),
        (
            [Turn(WRONG, OWN_REASON), Turn(LATER, ALL_RIGHT)],
            [Turn(WRONG, OWN_REASON), Turn(LATER, verdict(SECOND)), Turn(RIGHT, ALL_RIGHT)],
            "improved",
        ),
        # an update that keeps the wrong step is replaced, and what followed it is gone
        (
            [Turn(WRONG, OWN_REASON), Turn(WRONG.replace("15", "17"), verdict(SECOND)), Turn(LATER)],
            [Turn(WRONG, OWN_REASON), Turn(RIGHT, ALL_RIGHT)],
            "improved",
        ),
    ],
)
def test_the_edit_starts_where_the_student_first_disagrees(own: list[Turn], turns: list[Turn], outcome: str) -> None:
    draft = edit(*own)
    assert (list(draft.turns), draft.outcome) == (turns, outcome)
    assert settle(turns, 5) == (turns, "correct")


def test_a_wrong_reason_can_count_as_disagreement() -> None:
    own = [Turn(WRONG, 'Step 1 is wrong: "3 + 4 = 8". 3 + 4 = 9.'), Turn(RIGHT)]
    assert edit(*own).turns == (*own[:1], Turn(RIGHT, ALL_RIGHT))
    assert edit(*own, reasons=True).turns == (Turn(WRONG, verdict(FIRST)), Turn(RIGHT, ALL_RIGHT))
    right = [Turn(WRONG, verdict(FIRST)), Turn(LATER, verdict(SECOND)), Turn(RIGHT)]
    assert edit(*right, reasons=True).turns == (*right[:2], Turn(RIGHT, ALL_RIGHT))


def test_updates_are_limited() -> None:
    own = [Turn(WRONG, verdict(FIRST)), Turn(LATER)]
    assert edit(*own, max_updates=1).outcome == "too_many_updates"
    assert edit(*own, max_updates=2).outcome == "improved"


def waiting(fault: Feedback | None = None) -> Draft:
    return Draft("q/attempt/0", QUESTION, (Turn(WRONG),), fault=fault)


def after_update(found: Feedback) -> Draft:
    turns = (Turn(WRONG, verdict(SECOND)), Turn(LATER))
    return judged(Draft("d", QUESTION, turns), Judgement(found, ""), right=False, max_updates=5)


def test_every_rejection_has_its_reason() -> None:
    rejected = [
        open_draft("d", QUESTION, [Turn(WRONG)], cut_off=True),
        open_draft("d", QUESTION, [Turn("Step 1: " + "so " * MAX_WORDS)]),
        open_draft("d", QUESTION, [Turn("It is 14.")]),
        judged(waiting(), None, right=False, max_updates=5),
        improved(waiting(FIRST), "Step 3: Therefore, the answer is 14."),
        improved(waiting(FIRST), WRONG),
        after_update(SECOND),
        edit(Turn(WRONG, verdict(FIRST)), Turn(LATER), max_updates=1),
        judged(waiting(), Judgement(Feedback(), ALL_RIGHT), right=False, max_updates=5),
        unedited(waiting(), right=False),
    ]
    assert tuple(draft.outcome for draft in rejected) == REJECTED
    assert set(get_args(Outcome)) == {*ACCEPTED, *REJECTED}
    assert (
        judged(waiting(), Judgement(Feedback(9, "x"), ""), right=False, max_updates=5).outcome == "unreadable_feedback"
    )
    assert improved(waiting(FIRST), None).outcome == improved(waiting(FIRST), "").outcome == "unreadable_update"
    assert after_update(Feedback(1, "3 + 4 = 7", "no")).outcome == "no_progress"
    assert after_update(Feedback(3, "15", "no")).outcome is None


def test_feedback_is_about_the_attempt_that_it_quotes() -> None:
    assert is_about(FIRST, WRONG) and is_about(Feedback(), WRONG) and is_about(Feedback(4), WRONG)
    assert not any(is_about(found, WRONG) for found in (Feedback(1, "9"), Feedback(4, "9"), Feedback(5), Feedback(0)))


def test_an_update_obeys_if_it_changes_the_wrong_step_and_none_before() -> None:
    assert obeys(LATER, SECOND, RIGHT) and obeys(WRONG, FIRST, RIGHT)
    assert not obeys(LATER, SECOND, RIGHT.replace("3 + 4 = 7", "4 + 3 = 7"))
    assert not obeys(LATER, SECOND, LATER.replace("answer is 15", "answer is 14"))
    assert not obeys(LATER, SECOND, RIGHT.splitlines()[0])
    assert read_continuation("Step 2: a\nFeedback: Fine.") == "Step 2: a"


def test_each_turn_is_an_example_and_counts_more_from_the_feedback_on() -> None:
    config = TriPosT(attempt_weight=0.5, question_weight=0.2)
    update, closing = turn_examples(edit(Turn(WRONG)), config)
    assert [example.meta["kind"] for example in (update, closing)] == ["improvement", "self_correct"]
    assert read_turns(update.text) == [Turn(WRONG, verdict(FIRST)), Turn(RIGHT)]
    assert read_turns(closing.text) == [Turn(RIGHT, ALL_RIGHT)]
    (at_once,) = turn_examples(edit(Turn(RIGHT)), config)
    gold = gold_example(QUESTION, RIGHT, ALL_RIGHT, config)
    weights = [[segment.weight for segment in example.completion] for example in (update, closing, at_once, gold)]
    assert weights == [[0.5, 1.5], [1.0, 1.5], [1.0, 1.0], [1.0, 1.0]]
    assert {example.prompt_weight for example in (update, closing, at_once, gold)} == {0.2}
    assert all(QUESTION.text in example.messages[0]["content"] for example in (update, gold))
    assert without_repeats([closing, update, at_once]) == ([closing, update], 1)


def test_the_step_that_an_update_corrects_can_count_more() -> None:
    config = TriPosT(correction_weight=10)
    update, closing = turn_examples(edit(Turn(WRONG)), config)
    said = [(segment.text, segment.weight) for segment in update.completion[1:]]
    corrected, rest = RIGHT.split("\n", 1)
    assert said == [
        (f"\nFeedback: {verdict(FIRST)}\nUpdated answer:", 1.5),
        (f"\n{corrected}", 10.0),
        (f"\n{rest}", 1.5),
    ]
    (whole, _) = turn_examples(edit(Turn(WRONG)), TriPosT())
    assert (update.id, update.text) == (whole.id, whole.text)
    assert [segment.weight for segment in closing.completion] == [1.0, 1.5]
    later = turn_examples(edit(Turn(LATER)), config)[0].completion
    assert [segment.text for segment in later if segment.weight == 10] == ["\nStep 2: 7 * 2 = 14, so 14"]


def test_right_attempts_can_be_learned_as_they_are() -> None:
    config = TriPosT(learn="right_attempts", attempt_weight=0.5)
    draft = unedited(Draft("d", QUESTION, (Turn(RIGHT),), (Turn(RIGHT, ALL_RIGHT),)), right=True)
    (example,) = turn_examples(draft, config)
    assert draft.outcome == "self_correct" and [(s.text, s.weight) for s in example.completion] == [(RIGHT, 1.0)]
    assert balance([example], [gold_example(QUESTION, RIGHT, ALL_RIGHT, config)], config, 0) == [example]
    cut = open_draft("d", QUESTION, [Turn(RIGHT)], cut_off=True)
    assert unedited(cut, right=True).outcome == "cut_off"


def pools(improvements: int, right: int, gold: int, config: TriPosT) -> dict[str, int]:
    """How many examples of each kind `balance` takes of so many."""

    def question(number: int) -> Question:
        return Question(f"q{number}", QUESTION.text, QUESTION.answer)

    turns = [turn_examples(Draft("d", question(i), edit(Turn(WRONG)).turns), config)[0] for i in range(improvements)]
    turns += [turn_examples(Draft("d", question(i), edit(Turn(RIGHT)).turns), config)[0] for i in range(right)]
    golds = [gold_example(question(i), RIGHT, ALL_RIGHT, config) for i in range(gold)]
    drawn = balance(turns, golds, config, seed=1)
    assert drawn == balance(turns[::-1], golds[::-1], config, seed=1)
    return count_kinds(drawn)


@pytest.mark.parametrize(
    ("settings", "there", "taken"),
    [
        ({}, (30, 50, 50), (30, 20, 20)),
        ({}, (31, 50, 50), (31, 21, 21)),  # rounded up
        ({}, (30, 5, 50), (30, 5, 20)),
        ({}, (0, 50, 50), (0, 0, 0)),
        ({"max_examples": 35}, (30, 50, 50), (15, 10, 10)),
        ({"max_examples": 36}, (30, 50, 50), (15, 10, 10)),
        ({"balance": None}, (30, 50, 50), (30, 50, 0)),
        ({"balance": None, "max_examples": 40}, (30, 50, 50), (15, 25, 0)),
        ({"balance": [1, 0, 0]}, (30, 50, 50), (30, 0, 0)),
        ({"balance": [0, 1, 1]}, (30, 40, 50), (0, 40, 40)),
        ({"balance": [0, 0, 1], "max_examples": 25}, (30, 40, 50), (0, 0, 25)),
    ],
)
def test_balance(settings: dict, there: tuple[int, int, int], taken: tuple[int, int, int]) -> None:
    assert tuple(pools(*there, TriPosT(**settings)).values()) == taken
