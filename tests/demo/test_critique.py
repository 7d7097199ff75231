"""The critic's examples are right by their own checks, and the checks tell right replies from wrong ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from raydistill.demo import critique
from raydistill.demo.skill import Check, Example
from raydistill.pipelines.tasks.stepwise import prompts
from raydistill.pipelines.tasks.stepwise.base import Feedback
from raydistill.pipelines.tasks.stepwise.steps import split_lines
from raydistill.pipelines.tasks.stepwise.table import TASKS

SKILLS: list[tuple[Callable[[Random], Example], Check]] = [
    (critique.attempt, critique.attempt_check),
    (critique.feedback, critique.feedback_check),
    (critique.improvement, critique.improvement_check),
]
NUMBER = 200


def examples(draw: Callable[[Random], Example]) -> list[Example]:
    rng = Random(f"test/{draw.__name__}")
    return [draw(rng) for _ in range(NUMBER)]


@pytest.mark.parametrize(("draw", "check"), SKILLS)
def test_gold_completions_pass_and_others_do_not(draw: Callable[[Random], Example], check: Check) -> None:
    drawn = examples(draw)
    completions = [example.completion for example in drawn]
    assert all(check(drawn, completions))
    assert not any(check(drawn, [completion[: len(completion) // 2] for completion in completions]))
    assert not any(check(drawn, [""] * NUMBER))
    exchanged = check(drawn, completions[1:] + completions[:1])
    assert sum(exchanged) < NUMBER / 4  # "All steps are right." fits several


@pytest.mark.parametrize(("draw", "check"), SKILLS)
def test_tasks_come_evenly_at_seen_levels_and_fit_the_model(draw: Callable[[Random], Example], check: Check) -> None:
    drawn = examples(draw)
    tasks = Counter(example.key.task for example in drawn)
    assert set(tasks) == set(TASKS) and min(tasks.values()) > NUMBER / 8
    assert max(len(example.prompt) + len(example.completion) for example in drawn) < 2000  # characters


def test_four_fifths_of_the_attempts_have_an_error_and_it_is_quoted() -> None:
    drawn = examples(critique.feedback)
    wrong = [example for example in drawn if not example.key.feedback.correct]
    assert 0.7 < len(wrong) / NUMBER < 0.9
    for example in wrong:
        found = prompts.read_feedback(example.completion)
        assert found == example.key.feedback
        assert found.quote in split_lines(example.key.attempt)[found.step - 1]


def test_feedback_counts_only_with_the_step_and_a_quote_from_it() -> None:
    key = critique.Critique(
        "word_sorting", "q", "Step 1: b comes first, leaving a", Feedback(1, "b", "a comes before b")
    )
    assert critique.right_step(key, Feedback(1, "b comes", "whatever"))
    assert not critique.right_step(key, Feedback(1, "c", "a comes before c"))
    assert not critique.right_step(key, Feedback(2, "b", ""))
    assert not critique.right_step(key, Feedback())
    assert not critique.right_step(key, None)


def test_an_improvement_is_shown_what_stands_before_the_wrong_step_and_the_verdict() -> None:
    for example in examples(critique.improvement):
        key = example.key
        lines = split_lines(key.attempt)
        assert "\n".join(lines[: key.feedback.step]) in example.prompt
        assert all(line not in example.prompt for line in lines[key.feedback.step :])
        assert example.prompt.endswith(prompts.verdict(key.feedback))


def test_distinct_counts_texts() -> None:
    assert critique.distinct(["a", "a ", "b"]) == 2
