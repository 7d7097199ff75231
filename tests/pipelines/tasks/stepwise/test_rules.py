"""Each task's own rules: which steps are right, what is quoted, what the reason says."""

from __future__ import annotations

import re
from datetime import date
from itertools import permutations
from random import Random

import pytest

from raydistill.pipelines.tasks.stepwise import arithmetic
from raydistill.pipelines.tasks.stepwise.base import Feedback, UnreadableQuestion
from raydistill.pipelines.tasks.stepwise.dates import Hop, shift
from raydistill.pipelines.tasks.stepwise.puzzles import read_puzzle
from raydistill.pipelines.tasks.stepwise.steps import stated_answer
from raydistill.pipelines.tasks.stepwise.table import TASKS

SUM = "((1 + 2) * (3 - 4)) ="
WORDS = "Sort the following words alphabetically: List: plum fig kiwi"
DATES = (
    "Ana planted a tree on 12/30/1999. Today is 3 days after that. What is the date 1 month ago in MM/DD/YYYY?\n"
    "Options:\n(A) 12/02/1999\n(B) 12/02/2000\n(C) 02/02/2000\n(D) 11/27/1999"
)
PUZZLE = (
    "In a drawer, there are three spoons: a tin spoon, an iron spoon, and a wooden spoon. The tin spoon is older than "
    "the iron spoon. The wooden spoon is the oldest.\nOptions:\n(A) The tin spoon is the second-newest\n"
    "(B) The iron spoon is the second-newest\n(C) The wooden spoon is the second-newest"
)


def feedback(task: str, question: str, *texts: str) -> Feedback:
    return TASKS[task].feedback(question, "\n".join(f"Step {i}: {text}" for i, text in enumerate(texts, 1)))


@pytest.mark.parametrize(
    ("text", "quote", "reason"),
    [
        ("1 + 2 = 4, so (4 * (3 - 4))", "1 + 2 = 4", "1 + 2 = 3"),
        ("1 + 2 = 3, so (3 * (3 + 4))", "(3 * (3 + 4))", "It should be (3 * (3 - 4))"),
        ("2 * 3 = 6, so (1 + 6 - 4)", "2 * 3", "1 + 2 comes first"),
        ("1 + 2 = 3, so ((1 + 2) * (3 - 4))", "((1 + 2) * (3 - 4))", "Nothing was worked out"),
        ("1 + 2 = 3", "1 + 2 = 3", "The step should read: a + b = c, so what is left"),
        ("2 ** 3 = 8, so 8", "2 ** 3 = 8, so 8", "The step should read: a + b = c, so what is left"),
    ],
)
def test_a_wrong_calculation_is_quoted(text: str, quote: str, reason: str) -> None:
    assert feedback("multistep_arithmetic", SUM, text) == Feedback(1, quote, reason)


def test_other_ways_through_an_expression_are_right() -> None:
    answer = "Therefore, the answer is -3."
    assert feedback(
        "multistep_arithmetic", SUM, "3 - 4 = -1, so ((1 + 2) * -1)", "1 + 2 = 3, so (3 * -1)", answer
    ).correct
    assert feedback("multistep_arithmetic", SUM, "3 * -1 = -3, so -3", answer).correct
    assert feedback("multistep_arithmetic", SUM, answer).correct


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "1 / 0", "2 ** 9", "1 +", "(" * 500 + "1" + ")" * 500, "01 + 2", "1.5 + 2", "~1", "x + 1"],
)
def test_what_is_no_expression_has_no_value(text: str) -> None:
    assert arithmetic.value(text) is None


def test_values_are_those_of_python() -> None:
    rng = Random(0)
    for _ in range(100):
        expression = arithmetic.nested(rng.randint(0, 2), rng.randint(2, 4), rng)
        assert arithmetic.value(expression) == eval(expression)  # generated here, not by a model
    assert arithmetic.value("-(2 - -3)") == -5


@pytest.mark.parametrize(
    ("text", "quote", "reason"),
    [
        ("kiwi comes first, leaving plum fig", "kiwi", "fig comes before kiwi"),
        ("figs comes first, leaving plum kiwi", "figs", "figs is not among plum fig kiwi"),
        ("fig comes first, leaving plum", "plum", "kiwi is missing"),
        ("fig comes first, leaving plum kiwi fig", "fig", "fig is not among the words left"),
        ("fig is first", "fig is first", "The step should read: a comes first, leaving b c"),
        ("Therefore, the answer is fig plum kiwi.", "fig plum kiwi", "The steps lead to fig kiwi plum"),
    ],
)
def test_a_wrong_sorting_step_is_quoted(text: str, quote: str, reason: str) -> None:
    assert feedback("word_sorting", WORDS, text) == Feedback(1, quote, reason)


def test_words_that_occur_twice_are_sorted_twice() -> None:
    task = TASKS["word_sorting"]
    rationale = task.rationale("Sort the following words alphabetically: List: b a b it&t a")
    assert rationale.endswith("Therefore, the answer is a a b b it&t.")


@pytest.mark.parametrize(
    ("text", "quote", "reason"),
    [
        ("3 days after 12/30/1999 is 01/03/2000", "01/03/2000", "3 days after 12/30/1999 is 01/02/2000"),
        ("3 days before 12/30/1999 is 12/27/1999", "3 days before", "The question says 3 days after"),
        ("3 days after 12/03/1999 is 12/06/1999", "12/03/1999", "The date so far is 12/30/1999"),
        ("3 days after 12/30/1999 is 12/33/1999", "12/33/1999", "The calendar has no such date"),
        ("Therefore, the answer is (B).", "(B)", "The steps lead to (A)"),
    ],
)
def test_a_wrong_date_is_quoted(text: str, quote: str, reason: str) -> None:
    assert feedback("date_understanding", DATES, text) == Feedback(1, quote, reason)


def test_no_step_follows_the_last_date() -> None:
    steps = ("3 days after 12/30/1999 is 01/02/2000", "1 month before 01/02/2000 is 12/02/1999")
    assert feedback("date_understanding", DATES, *steps, "Therefore, the answer is (A).").correct
    assert feedback("date_understanding", DATES, *steps, steps[1]).step == 3


@pytest.mark.parametrize(
    ("day", "hop", "expected"),
    [
        (date(2000, 1, 31), Hop(1, "month"), date(2000, 2, 29)),
        (date(2000, 1, 15), Hop(-1, "month"), date(1999, 12, 15)),
        (date(2004, 2, 29), Hop(-1, "year"), date(2003, 2, 28)),
        (date(1999, 12, 31), Hop(1, "day"), date(2000, 1, 1)),
        (date(1900, 2, 28), Hop(1, "day"), date(1900, 3, 1)),
        (date(2000, 1, 1), Hop(10**6, "year"), date.max),
    ],
)
def test_the_calendar(day: date, hop: Hop, expected: date) -> None:
    assert shift(day, hop) == expected


@pytest.mark.parametrize(
    ("text", "quote", "reason"),
    [
        ("iron spoon before tin spoon", "iron spoon before tin spoon", "The clue says tin spoon before iron spoon"),
        (
            "iron spoon before wooden spoon",
            "iron spoon before wooden spoon",
            "It should be wooden spoon before iron spoon",
        ),
        ("iron spoon at 2", "iron spoon at 2", "It should be iron spoon at 3"),
        ("answer at 1", "answer at 1", "It should be answer at 2"),
        ("fork at 2", "fork", "There is no fork"),
        ("iron spoon at 4", "iron spoon at 4", "There are only 3 places"),
        ("iron spoon before iron spoon", "iron spoon before iron spoon", "Nothing stands before itself"),
        ("Therefore, the answer is (B).", "(B)", "The steps lead to (A)"),
    ],
)
def test_a_wrong_claim_is_quoted(text: str, quote: str, reason: str) -> None:
    assert feedback("logical_deduction", PUZZLE, text) == Feedback(1, quote, reason)


def test_what_follows_from_the_clues_may_be_said_in_any_order_but_once() -> None:
    claims = ("tin spoon at 2", "wooden spoon before iron spoon", "iron spoon at 3")
    assert feedback("logical_deduction", PUZZLE, *claims, "Therefore, the answer is A.").correct
    assert feedback("logical_deduction", PUZZLE, *claims, claims[0]) == Feedback(4, claims[0], "This was said before")


def test_generated_puzzles_have_one_solution_and_no_needless_clue() -> None:
    rng = Random(2)
    for level in (1, 2, 3):
        for _ in range(10):
            puzzle = read_puzzle(TASKS["logical_deduction"].generate(level, rng).question)
            assert len(puzzle.orders) == 1
            for clue in puzzle.clues:
                others = [other for other in puzzle.clues if other != clue]
                admitted = [order for order in permutations(puzzle.objects) if all(c.holds(order) for c in others)]
                assert len(admitted) > 1
                assert clue.place != puzzle.asked


def test_a_rationale_says_what_is_asked_and_places_that_object_last() -> None:
    rng = Random(3)
    for level in (1, 2, 3, 4):
        question = TASKS["logical_deduction"].open_ended(TASKS["logical_deduction"].generate(level, rng).question)
        place = read_puzzle(question).asked
        *steps, last, conclusion = TASKS["logical_deduction"].rationale(question).splitlines()
        assert any(step.endswith(f": answer at {place}") for step in steps)
        assert last.split(": ")[1] == f"{stated_answer(conclusion.split(': ')[1])} at {place}"


def test_what_follows_a_wrong_place_is_the_object_there() -> None:
    attempt = TASKS["logical_deduction"].continuation(PUZZLE, "Step 1: answer at 3", 2)
    assert attempt.endswith("Step 5: iron spoon at 3\nStep 6: Therefore, the answer is (B).")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("The wooden spoon is the oldest. ", "", "expected objects"),
        ("is the oldest", "shines", "cannot read the statement"),
        ("wooden spoon is the oldest", "iron spoon is the oldest", "do not decide"),
        ("is the oldest", "is older than the iron spoon", "do not decide"),
        ("a wooden spoon", "a tin spoon", "different objects"),
        ("(B) ", "b. ", "expected an option"),
    ],
)
def test_a_puzzle_that_cannot_be_read_says_why(old: str, new: str, message: str) -> None:
    spoilt = re.sub(r" The .*?\n", "\n", PUZZLE) if not new else PUZZLE.replace(old, new)
    with pytest.raises(UnreadableQuestion, match=message):
        read_puzzle(spoilt)
