"""Questions of the stepwise tasks, the recipe's configuration, and the rationale baseline."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.recipe import gold_rationale_example
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.stepwise.table import TASKS


def load(name: str = "word_sorting", **settings: Any) -> Any:
    return load_questions(Questions(task=f"stepwise:{name}", **settings))


@pytest.mark.parametrize("name", TASKS)
def test_questions_are_different_and_their_rationales_right(name: str) -> None:
    loaded = load(name, size=20)
    levels = Counter(question.meta["level"] for question in loaded.questions)
    assert len({question.id for question in loaded.questions}) == 20 and set(levels) == {1, 2}
    for question in loaded.questions:
        assert TASKS[name].feedback(question.text, question.meta["rationale"]).correct
        assert loaded.task.grade(question.meta["rationale"], question).status == "passed"
        assert loaded.task.grade("I cannot tell.", question).reason == "no_answer"


def test_levels_are_chosen_by_name_or_number() -> None:
    splits = {
        levels: {q.meta["split"] for q in load(size=12, options={"levels": levels}).questions} for levels in NAMED
    }
    assert splits == {"seen": {"seen"}, "unseen": {"unseen"}, "all": {"seen", "unseen"}}
    assert {q.meta["level"] for q in load(size=4, options={"levels": [3]}).questions} == {3}
    few, many = load(size=10, seed=7).questions, load(size=20, seed=7).questions
    assert [*few] == many[:10] != load(size=10, seed=8).questions[:]


NAMED = ("seen", "unseen", "all")


def test_dates_are_asked_for_without_options_too() -> None:
    task = TASKS["date_understanding"]
    with_options = load("date_understanding", size=40).questions
    loaded = load("date_understanding", size=40, options={"choices": False})
    for question, lettered in zip(loaded.questions, with_options, strict=True):
        assert lettered.text.startswith(question.text) and "Options" not in question.text
        option = f"{lettered.answer} {question.answer}"
        assert option in lettered.text and loaded.task.grade(question.meta["rationale"], question).status == "passed"
        attempt, step = task.plant(question.text, question.meta["rationale"], "answer", Random(0))
        assert task.feedback(question.text, attempt).step == step
        assert loaded.task.grade(attempt, question).reason == "wrong_answer"


def test_deductions_are_asked_for_without_options_too() -> None:
    task = TASKS["logical_deduction"]
    with_options = load("logical_deduction", size=40, options={"levels": "all"}).questions
    loaded = load("logical_deduction", size=40, options={"levels": "all", "choices": False})
    for question, lettered in zip(loaded.questions, with_options, strict=True):
        told, _, asked = question.text.rpartition("\nWhich ")
        assert lettered.text.startswith(f"{told}\nOptions") and asked.removesuffix("?") in lettered.text
        right = lettered.text.partition(f"{lettered.answer} ")[2].partition("\n")[0]
        assert right in (f"{question.answer} {asked[:-1]}", f"The {question.answer} {asked[:-1]}")
        assert question.meta["rationale"].count("\n") == lettered.meta["rationale"].count("\n")
        assert loaded.task.grade(question.meta["rationale"], question).status == "passed"
        attempt, step = task.plant(question.text, question.meta["rationale"], "answer", Random(0))
        assert task.feedback(question.text, attempt).step == step
        assert loaded.task.grade(attempt, question).reason == "wrong_answer"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"name": "juggling"}, "no stepwise task 'juggling'"),
        ({"options": {"levels": "hard"}}, "expected seen, unseen, all, or a list out of"),
        ({"options": {"levels": [9]}}, "options.levels is \\[9\\]"),
        ({"options": {"level": 1}}, "unknown option 'level'"),
        ({"options": {"choices": "no"}}, "options.choices is 'no'; expected true or false"),
        ({"options": {"choices": False}}, "word_sorting: options.choices is false; its questions are only asked"),
    ],
)
def test_bad_questions_are_told_in_one_line(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load(**settings)


@pytest.mark.parametrize(
    ("name", "gold", "wrong"),
    [
        ("word_sorting", "fig kiwi plum", "kiwi fig plum"),
        ("multistep_arithmetic", "-14", "14"),
        ("logical_deduction", "(B)", "(A)"),
        ("logical_deduction", "fern", "rose"),
        ("date_understanding", "(B)", "(A)"),
        ("date_understanding", "01/02/2003", "02/01/2003"),
    ],
)
def test_answers_are_judged_as_the_task_compares_them(name: str, gold: str, wrong: str) -> None:
    task, question = load(name, size=1).task, Question("q", "?", gold)
    assert task.grade(f"Step 1: Therefore, the answer is {gold}.", question).status == "passed"
    assert task.grade(f"So the answer is {gold}.", question).status == "passed"
    assert task.grade(f"Step 1: Therefore, the answer is {wrong}.", question).reason == "wrong_answer"


def test_the_recipe_learns_gold_rationales_first() -> None:
    recipe, (question,) = make_recipe(TriPosT()), load(size=1).questions
    example = gold_rationale_example(question)
    said = f"{example.text}\nFeedback: Fine."
    assert example.text == question.meta["rationale"] == recipe.student.read(said, "text")
    assert question.text in example.messages[0]["content"]
    with pytest.raises(UsageError, match="no rationale"):
        gold_rationale_example(Question("q", "1 + 1 =", "2"))


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ({"balance": [0, 0, 0]}, "one is above 0"),
        ({"balance": [0, 0, 1]}, "needs max_examples"),
        ({"temperature": 0, "samples": 2}, "need a temperature above 0"),
        ({"max_update": 3}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_be_are_refused(recipe: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TriPosT(**recipe)
