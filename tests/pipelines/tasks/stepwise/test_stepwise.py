"""What holds for every stepwise task: gold rationales, planted errors found at their step, improvement from there."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.tasks.answers import parse_answer
from raydistill.pipelines.tasks.stepwise.base import CannotPlant, Feedback, UnreadableQuestion
from raydistill.pipelines.tasks.stepwise.prompts import compared, feedback_reply, judged_steps, read_feedback
from raydistill.pipelines.tasks.stepwise.steps import splice, split_lines
from raydistill.pipelines.tasks.stepwise.table import TASKS, stepwise_task

LEVELS = [(name, level) for name, task in TASKS.items() for level in task.seen + task.unseen]
KINDS = [(name, kind) for name, task in TASKS.items() for kind in task.kinds]
GARBAGE = (
    "",
    "42",
    "Step 1:",
    "Step 1: )(",
    "Step 0: a",
    "Step 1: Therefore, the answer is .",
    "\x00",
    "Step 1: 9**9**9",
)


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_gold_rationales_are_right_and_end_in_the_answer(name: str, level: int) -> None:
    task, rng = TASKS[name], Random(f"{name}/{level}")
    for _ in range(20):
        item = task.generate(level, rng)
        assert task.feedback(item.question, item.rationale) == Feedback()
        assert item.rationale.endswith(f"Therefore, the answer is {item.answer}.")
        stated = parse_answer(item.rationale, task.answer_kind)
        assert stated and task.same_answer(stated, item.answer)


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_the_same_seed_gives_the_same_question(name: str, level: int) -> None:
    assert TASKS[name].generate(level, Random(7)) == TASKS[name].generate(level, Random(7))


def test_harder_levels_take_more_steps() -> None:
    for task in TASKS.values():
        rng = Random(task.name)
        lengths = [
            sum(len(split_lines(task.generate(level, rng).rationale)) for _ in range(20))
            for level in task.seen + task.unseen
        ]
        assert lengths == sorted(set(lengths)), task.name


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_planted_error_is_found_at_its_step_and_nothing_before_it_is_blamed(name: str, kind: str) -> None:
    task, rng = TASKS[name], Random(f"{name}/{kind}")
    planted = Counter[int]()
    while planted.total() < 60:
        item = task.generate(rng.choice((1, 2, 3)), rng)
        try:
            attempt, step = task.plant(item.question, item.rationale, kind, rng)
        except CannotPlant:
            continue
        gold, spoilt = split_lines(item.rationale), split_lines(attempt)
        assert gold[: step - 1] == spoilt[: step - 1] and gold[step - 1] != spoilt[step - 1]
        found = task.feedback(item.question, attempt)
        assert found.step == step and found.reason
        assert found.quote and found.quote in spoilt[step - 1]
        planted[step] += 1
    assert kind == "answer" or name == "date_understanding" or len(planted) > 1  # not always the same step


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_five_kinds_of_errors_and_rejects_others(name: str) -> None:
    task = TASKS[name]
    assert len(set(task.kinds)) >= 5
    item = task.generate(1, Random(0))
    with pytest.raises(UsageError, match="no error of kind 'typo'"):
        task.plant(item.question, item.rationale, "typo", Random(0))


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_continuation_keeps_what_was_right_and_ends_right(name: str, kind: str) -> None:
    task, rng = TASKS[name], Random(f"improve/{name}/{kind}")
    improved_ones = 0
    while improved_ones < 20:
        item = task.generate(rng.choice(task.seen), rng)
        try:
            attempt, step = task.plant(item.question, item.rationale, kind, rng)
        except CannotPlant:
            continue
        improved = splice(attempt, step, task.continuation(item.question, attempt, step))
        assert split_lines(improved)[: step - 1] == split_lines(attempt)[: step - 1]
        assert task.feedback(item.question, improved).correct
        assert improved.endswith(f"Therefore, the answer is {item.answer}.")
        improved_ones += 1


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("attempt", GARBAGE)
def test_garbage_is_wrong_at_its_first_step(name: str, attempt: str) -> None:
    task = TASKS[name]
    item = task.generate(1, Random(1))
    assert task.feedback(item.question, attempt).step == 1
    assert task.feedback(item.question, splice(attempt, 1, task.continuation(item.question, attempt, 1))).correct


@pytest.mark.parametrize("name", TASKS)
def test_no_attempt_makes_the_script_fail(name: str) -> None:
    """Random edits: feedback names a step of the attempt (or the missing next one), and its continuation is right."""
    task, rng = TASKS[name], Random(f"edits/{name}")
    wrong = 0
    for _ in range(200):
        item = task.generate(rng.choice(task.seen), rng)
        characters = list(item.rationale)
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(characters))
            characters[place : place + rng.randint(0, 3)] = rng.choice(
                ["", "\n", "7", " ", "-", "(", "a", ".", characters[0]]
            )
        attempt = "".join(characters)
        found = task.feedback(item.question, attempt)
        if found.step is not None:
            assert 1 <= found.step <= len(split_lines(attempt)) + 1
            repaired = splice(attempt, found.step, task.continuation(item.question, attempt, found.step))
            assert task.feedback(item.question, repaired).correct
            wrong += 1
    assert wrong > 100


@pytest.mark.parametrize("name", TASKS)
def test_the_form_of_an_attempt_is_judged(name: str) -> None:
    task = TASKS[name]
    item = task.generate(2, Random(5))
    lines = split_lines(item.rationale)
    last = len(lines)
    assert task.feedback(item.question, "\n".join(lines[:-1])) == Feedback(last, "", "The answer is missing")
    assert task.feedback(item.question, f"{item.rationale}\nStep {last + 1}: {lines[0][8:]}").step == last + 1
    assert task.feedback(item.question, "\n".join([*lines[:1], *lines[2:]])).step == 2
    assert task.feedback(item.question, "\n\n".join([*lines[:-1], lines[-1].partition(": ")[2]])).correct


@pytest.mark.parametrize("name", TASKS)
def test_another_question_needs_a_gold_answer_and_feedback_then_does_not_give_it_away(name: str) -> None:
    task = TASKS[name]
    question = "What is the capital of France?\nOptions:\n(A) Rome\n(B) Paris"
    gold = {"numeric": "24", "text": "ant bee", "choice": "(B)"}[task.answer_kind]
    wrong = {"numeric": "25", "text": "bee ant", "choice": "(A)"}[task.answer_kind]
    attempt = "Step 1: Whatever.\nStep 2: Therefore, the answer is {}."
    with pytest.raises(UnreadableQuestion, match=name):
        task.feedback(question, attempt.format(gold))
    assert task.feedback(question, attempt.format(gold), gold).correct
    assert task.feedback(question, attempt.format(wrong), gold) == Feedback(2, wrong, "The answer is wrong")
    assert task.feedback(question, "Step 1: Whatever.", gold) == Feedback(2, "", "The answer is missing")
    assert task.feedback(question, "", gold) == Feedback(1, "", "The answer is missing")


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_feedback_in_words_reads_back(name: str, kind: str) -> None:
    task, rng = TASKS[name], Random(f"words/{name}/{kind}")
    for _ in range(10):
        item = task.generate(1, rng)
        try:
            attempt, _ = task.plant(item.question, item.rationale, kind, rng)
        except CannotPlant:
            continue
        feedback = task.feedback(item.question, attempt)
        worked_out = task.expected(item.question, attempt, judged_steps(attempt, feedback))
        assert read_feedback(feedback_reply(attempt, feedback)) == feedback
        assert read_feedback(feedback_reply(attempt, feedback, worked_out)) == feedback
    assert read_feedback(feedback_reply(item.rationale, Feedback())) == Feedback()


@pytest.mark.parametrize("name", TASKS)
def test_what_a_step_should_say_is_the_gold_step_up_to_the_error(name: str) -> None:
    task, rng = TASKS[name], Random(f"expected/{name}")
    item = task.generate(2, rng)
    gold = [line.partition(": ")[2] for line in split_lines(item.rationale)]
    attempt, step = task.plant(item.question, item.rationale, "answer", rng)
    assert step == len(gold)
    assert task.expected(item.question, attempt, step) == gold
    assert task.expected(item.question, "", 1) == gold[:1]
    assert task.expected(item.question, "\n".join(split_lines(attempt)[:-1]), step) == gold
    reply = feedback_reply(attempt, task.feedback(item.question, attempt), gold)
    assert [line.rpartition(" - ")[2] for line in reply.splitlines()[:-1]] == ["right"] * (step - 1) + ["wrong"]


def test_claims_are_compared_up_to_the_first_that_differs() -> None:
    assert compared("aged comes first, leaving b c", "agde comes first, leaving b c") == "aged | agde"
    assert compared("4 days after 02/16/1967 is 02/20/1967", "4 days after 02/16/1967 is 02/21/1967") == (
        "4 days after 02/16/1967 | 4 days after 02/16/1967; 02/20/1967 | 02/21/1967"
    )
    assert compared("rose at 1", "rose at 1") == "rose | rose; 1 | 1"
    assert compared("rose at 1", "rose at 1, or at 2") == "rose | rose; 1 | 1; nothing | or"
    assert compared("rose at 1", None) == "rose | nothing"
    assert compared("Therefore, the answer is (A).", "Therefore, the answer is (B)") == "(A) | (B)"


def test_what_is_no_verdict_reads_as_none() -> None:
    assert read_feedback("Step 3 is a nice step.") is None
    assert read_feedback("Step 2 is missing. The answer is missing.") == Feedback(2, "", "The answer is missing")


def test_an_unknown_task_or_level_is_one_line() -> None:
    with pytest.raises(UsageError, match="no stepwise task 'chess'; there are multistep_arithmetic, "):
        stepwise_task("chess")
    with pytest.raises(UsageError, match="level 9; there are"):
        stepwise_task("word_sorting").generate(9, Random(0))
