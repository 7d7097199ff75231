"""Equality by algebra: math-verify's own cases, time limits that hold, and a process that dies."""

from __future__ import annotations

import json
import threading
import time

import pytest

from raydistill.pipelines.tasks.answers.symbolic import Comparer
from raydistill.pipelines.tasks.base import grade_answer
from tests import ROOT

# The string cases of math-verify's test suite (huggingface/Math-Verify, Apache-2.0): gold, prediction, are they equal.
PUBLISHED = [json.loads(line) for line in (ROOT / "tests/data/math_verify.jsonl").read_text("utf-8").splitlines()]
DISAGREE = {  # what is decided otherwise here, and why
    ("$9$", "Answer $ \n 9 \n $"): "a line break in inline math does not change its value",
    ("$9$", "Answer \\( \n 9 \n \\)"): "a line break in inline math does not change its value",
}


def test_cases_of_math_verify_agree_and_none_passes_falsely() -> None:
    verdicts = [(case, grade_answer(case["pred"], case["gold"], "symbolic").status == "passed") for case in PUBLISHED]
    falsely = [case for case, passed in verdicts if passed and not case["equal"]]
    assert [case for case in falsely if (case["gold"], case["pred"]) not in DISAGREE] == []
    assert sum(passed == case["equal"] for case, passed in verdicts) >= 244 <= len(PUBLISHED)


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("2(x + 1)", "2x + 2", True),
        ("The answer is $\\frac{x^2 - 1}{x - 1}$.", "x + 1", True),
        ("2x + 1", "2x - 1", False),
        ("\\boxed{\\sqrt{8}}", "2\\sqrt{2}", True),
        ("x**2 + 2*x", "x(x + 2)", True),
        ("\\boxed{(3, 5)}", "(5, 3)", False),
        ("\\boxed{\\{5, 3\\}}", "\\{3, 5\\}", True),
        ("x \\geq 5", "x > 5", False),
        ("5 \\le x", "x \\ge 5", True),
        ("The answer is not 2x.", "2x", False),
        ("18", "18.0", True),
        ("4", "4\\sqrt{2}", False),
    ],
)
def test_expressions_are_equal_by_value(answer: str, gold: str, equal: bool) -> None:
    assert (grade_answer(answer, gold, "symbolic").status == "passed") is equal


def test_an_odd_expression_among_numbers_is_judged_by_algebra() -> None:
    assert grade_answer("1 + x", "x + 1", "numeric").status == "passed"
    assert grade_answer("2", "2x", "numeric").status == "failed"


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("3, 1, 2", "1, 2, 3"), ("1, 1, 2", "1, 2"), ("(5, 3)", "(3, 5)"), ("5", "{5, 5}"), ("2", "[2]"), ("[5]", "5")],
)
def test_the_order_of_a_list_and_its_brackets_are_not_given_up(answer: str, gold: str) -> None:
    assert grade_answer(answer, gold, "numeric").status == grade_answer(answer, gold, "text").status == "failed"


def test_what_takes_too_long_is_not_equal_and_the_next_is_asked() -> None:
    comparer = Comparer(patience_s=1.0)
    try:
        assert comparer.ask("x + x", "2x")
        start = time.monotonic()
        assert not comparer.ask("\\prod_{n=1}^{900000} (x + n)^{n}", "\\prod_{n=1}^{900001} (x + n)^{n}")
        assert time.monotonic() - start < 20
        assert comparer.ask("x + x", "2x")
    finally:
        comparer.close()


def test_a_process_that_died_is_started_again_from_any_thread() -> None:
    comparer, said = Comparer(), list[bool]()
    try:
        assert comparer.ask("x + x", "2x")
        assert comparer._process is not None
        comparer._process.kill()
        comparer._process.wait()
        threads = [threading.Thread(target=lambda: said.append(comparer.ask("y + y", "2y"))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert said == [True] * 3
    finally:
        comparer.close()
