"""Ranges of what was measured, and what a pass is expected to cost from what is stored of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from raydistill.actors.segments import SegmentWriter
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.planning.estimate import Range, drawn, estimate, mean
from raydistill.pipelines.planning.walk import Pass
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.prompter import Prompt, Prompter, read_output
from raydistill.pipelines.sampling.schemas import completion_schema
from raydistill.pipelines.tasks import LoadedQuestions
from raydistill.pipelines.tasks.base import AnswerTask

QUESTIONS = [Question(f"q{i}", f"What is {i} plus 1?", str(i + 1)) for i in range(100)]


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    source, held = random.Random(0), 0
    for _ in range(1000):
        told = mean([source.lognormvariate(4, 0.4) for _ in range(16)])
        held += told.low <= 59.15 <= told.high  # exp(4 + 0.4² / 2)
    assert 900 < held < 980
    assert mean([5.0]) == Range(5, 0, 10) and mean([2.0, 2.0]) == Range(2, 2, 2)


def asked(root: Path, n: int, rounds: int = 1) -> Pass:
    run = Run.model_validate(
        {"run_dir": str(root), "teacher": {"model": "a/b", "n": n, "rounds": rounds}, "questions": {"task": "gsm8k"}}
    )
    prompter = Prompter(lambda q: [Prompt("ask", [{"role": "user", "content": q.text}])], read_output, "test/1")
    job = RunContext(run, None).job(
        run.teacher, LoadedQuestions(AnswerTask("test", "numeric"), QUESTIONS), run.teacher, prompter=prompter
    )
    return Pass("asking", job, QUESTIONS, run.teacher, "synthesis", {})


def store(one: Pass, tokens: dict[str, list[int]]) -> None:
    writer = SegmentWriter(one.job.completions, completion_schema())
    blank = dict.fromkeys(completion_schema().names)
    writer.append(
        [
            blank | {"question_id": q, "sample_id": f"{q}/ask/{i}", "prompt_tokens": 9, "completion_tokens": count}
            for q, counts in tokens.items()
            for i, count in enumerate(counts)
        ]
    )
    writer.flush()


def test_measured_questions_stand_for_the_others(tmp_path: Path) -> None:
    one = asked(tmp_path, n=2)
    unknown = estimate(one)
    assert unknown.generated is None and unknown.most_generated == 200 * 512 and unknown.requests == 100
    assert unknown.prompt_tokens == pytest.approx(sum(len(q.text) for q in QUESTIONS) / 4)
    store(one, {"q0": [10, 30], "q1": [50, 10], "q2": [40]})
    cost = estimate(one)
    assert (cost.measured, cost.stored, cost.wanted, cost.requests) == (2, 5, 200, 98)
    assert cost.generated and cost.generated.expected == pytest.approx(195 / 2 * 50)  # 195 samples, two a question
    assert cost.samples.expected == pytest.approx(195) and cost.prompt_tokens == pytest.approx(9 * 195 / 2)
    assert estimate(one, scale=3).generated == cost.generated.times(3)


def test_rounds_cost_what_the_measured_questions_took_of_them(tmp_path: Path) -> None:
    one = asked(tmp_path, n=1, rounds=4)
    assert estimate(one).samples == Range(100, 100, 400)
    store(one, {"q0": [10], "q1": [10, 10, 10]})
    assert estimate(one).samples.expected == pytest.approx(98 * 2)


def test_all_stored_costs_nothing(tmp_path: Path) -> None:
    one = asked(tmp_path, n=1)
    store(one, {question.id: [7] for question in QUESTIONS})
    cost = estimate(one)
    assert cost.generated == Range(0, 0, 0) == cost.samples and cost.requests == cost.prompt_tokens == 0


def test_the_same_are_drawn_whatever_their_order() -> None:
    some = drawn(QUESTIONS, 16, key=lambda question: question.id)
    assert {*some} == {*drawn(QUESTIONS[::-1], 16, key=lambda question: question.id)} and len({*some}) == 16
    assert drawn(QUESTIONS[:3], 16, key=lambda question: question.id) == QUESTIONS[:3]
