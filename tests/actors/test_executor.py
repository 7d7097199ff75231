"""The executor from outside: what it answers, and in which order."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.actors.executor import Executor, Limits, Program
from raydistill.actors.sandbox import profiles
from raydistill.actors.sandbox.host import dispatch

ADD = "def add(a, b):\n    return a + b"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    running = Executor(Limits(cpu_s=1, wall_s=4))
    yield running
    running.close()


def returning(expression: str, **options: object) -> Program:
    return Program("p", f"def solution():\n    return {expression}\n", **options)


def counting(number: int) -> list[Program]:
    return [returning(f"{n} * 3") for n in range(number)]


def values_of(verdicts: list) -> list:
    return [verdict.value for verdict in verdicts]


def test_verdicts_come_in_order_with_the_programs_ids(executor: Executor) -> None:
    programs = [replace(program, id=f"q{n}") for n, program in enumerate(counting(700))]
    verdicts = executor.run(programs)
    assert [verdict.id for verdict in verdicts] == [program.id for program in programs]
    assert values_of(verdicts) == [n * 3 for n in range(700)]
    assert {verdict.status for verdict in verdicts} == {"passed"}


def test_no_programs_no_verdicts(executor: Executor) -> None:
    assert executor.run([]) == []


def test_an_exception_carries_the_interpreters_last_line(executor: Executor) -> None:
    for verdict in executor.run([returning("x"), returning("x"), returning("{}['k']")])[1:]:
        assert verdict.status == "failed"
    [alone] = executor.run([returning("x")])
    assert (alone.reason, alone.message, alone.value) == (
        "exception:NameError",
        "NameError: name 'x' is not defined",
        None,
    )


@pytest.mark.parametrize(
    ("program", "reason", "value"),
    [
        (Program("p", "x = 20\nx * 2 + 2", "expression"), "ok", 42),
        (Program("p", "x = 42", "expression"), "no_entry", None),
        (Program("p", "print('The answer is', 6 * 7)", "stdout"), "ok", "The answer is 42\n"),
        (Program("p", "x = 1", "stdout"), "no_result", None),
        (Program("p", "print(int(input()) + int(input()))", "stdout", stdin="40\n2\n"), "ok", "42\n"),
        (Program("p", "import sys\nprint(len(sys.stdin.read()))", "stdout", stdin="four"), "ok", "4\n"),
        (Program("p", ADD, "calls", entry="add", calls=((1, 2), ("a", "b"))), "ok", "[3, 'ab']"),
        (Program("p", ADD, "calls", entry="add", calls=((1, 2), (1, "b"))), "exception:TypeError", None),
        (Program("p", "def answer():\n    return 7", entry="answer"), "ok", 7),
        (Program("p", "def other():\n    return 7"), "no_entry", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("together", [False, True])
def test_modes(executor: Executor, program: Program, reason: str, value: object, together: bool) -> None:
    verdict = executor.run([program] * (2 if together else 1))[-1]
    assert (verdict.reason, verdict.value) == (reason, value)


def test_arguments_that_cannot_travel_and_unknown_modes_are_the_callers_error(executor: Executor) -> None:
    with pytest.raises(UsageError, match="plain"):
        executor.run([Program("p", "", "calls", calls=((object(),),))])
    with pytest.raises(UsageError, match="mode"):
        executor.run([Program("p", "", "eval")])


@pytest.mark.parametrize(
    "source",
    ["\ud800", "a\x00b", "", "\ufeffx = 1", "# coding: nonsense\nx = 1", "(" * 5000, "x = " + "-" * 60000 + "1",
     "def solution():\n\treturn 1\n        return 2", "é = 1\nprint(ﬁ)", "\\", "'''", "\r\n\x0c", "1" * 60000],
    ids=lambda source: ascii(source)[:20],
)  # fmt: skip
def test_any_text_gets_a_verdict(executor: Executor, source: str) -> None:
    for verdict in executor.run([Program("p", source), Program("p", source)]):
        assert verdict.status == "failed"


def test_a_source_or_input_too_large_is_refused_before_it_is_sent(executor: Executor) -> None:
    verdicts = executor.run([Program("p", "#" * 70000), Program("p", "", stdin="x" * 2_000_000), returning("1")])
    assert [verdict.reason for verdict in verdicts] == ["too_large", "too_large", "ok"]


def test_output_is_kept_to_its_tail_and_belongs_to_its_program(executor: Executor) -> None:
    programs = [Program("p", f"print('{n}' * 3000)\ndef solution():\n    return {n}") for n in range(4)]
    for n, verdict in enumerate(executor.run(programs)):
        assert verdict.stdout == f"{n}" * 2047 + "\n"


def test_lanes_and_facts_are_recorded(executor: Executor) -> None:
    [alone] = executor.run([returning("1")])
    shared = executor.run([returning("1")] * 3)
    assert alone.lane == "isolated" and alone.observed["maxrss_kb"] > 1000 and alone.cpu_s > 0
    assert {verdict.lane for verdict in shared} == {"batch"}
    assert {verdict.grade for verdict in shared} == {executor.grade}


def test_both_lanes_are_deterministic_and_agree(executor: Executor) -> None:
    source = "import random\ndef solution():\n    return str(random.random()) + str(set('raydistill')) + str(hash('x'))"
    programs = [Program("p", source)] * 4
    assert len(set(values_of(executor.run(programs) + executor.run(programs[:1]) + executor.run(programs[:1])))) == 1


def test_calls_from_several_threads(executor: Executor) -> None:
    results: dict[int, list] = {}

    def call(number: int) -> None:
        results[number] = values_of(executor.run([returning(f"{number} + {n}") for n in range(50)]))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [number + n for n in range(50)] for number in range(6)}


def test_several_zygotes_share_the_work() -> None:
    executor = Executor(zygotes=2, batch_lane=False)
    verdicts = executor.run(counting(60))
    assert values_of(verdicts) == [n * 3 for n in range(60)] and len(executor.zygote_pids()) == 2
    executor.close()
    assert executor.zygote_pids() == []


def test_libraries_come_with_the_rich_zygote(executor: Executor) -> None:
    pytest.importorskip("numpy")
    pytest.importorskip("sympy")
    solve = (
        "from sympy import symbols, solve\ndef solution():\n    x = symbols('x')\n    return solve(2 * x - 84, x)[0]"
    )
    mean = "import numpy as np\ndef solution():\n    return np.array([41, 42, 43]).mean()"
    verdicts = executor.run([Program("s", solve), Program("n", mean), returning("42")])
    assert values_of(verdicts) == [42, 42.0, 42]
    assert [verdict.kind for verdict in verdicts] == ["coerced:Integer", "coerced:float64", "int"]


def test_a_masked_value_is_no_answer(executor: Executor) -> None:
    pytest.importorskip("numpy")
    source = "import numpy as np\ndef solution():\n    return np.ma.array([1, 2], mask=[{mask}, 0])[0]"
    verdicts = executor.run([Program("p", source.format(mask=mask)) for mask in (0, 1)])
    assert [(verdict.reason, verdict.value) for verdict in verdicts] == [("ok", 1), ("bad_type", None)]


@pytest.mark.parametrize("profile", profiles.PROFILES)
def test_warm_programs_run_after_the_lock_too(executor: Executor, profile: str) -> None:
    """What they need is then loaded: nothing can be imported late."""
    if profiles.PROFILES[profile].is_rich:
        pytest.importorskip("sympy")
    programs = [Program("p", source) for source in profiles.PROFILES[profile].warm_programs]
    reasons = [verdict.reason for program in programs for verdict in executor.run([program])]
    assert set(reasons) == {"ok", "no_entry", "syntax", "exception:NameError"}


def test_a_doubtful_batch_verdict_is_confirmed_in_isolation(executor: Executor) -> None:
    recursive = Program("r", "def f(n):\n    return f(n + 1)\ndef solution():\n    return f(0)")
    spin = Program("s", "def solution():\n    while True:\n        pass")
    verdicts = executor.run([returning("1"), recursive, returning("2"), spin, returning("3")])
    assert [verdict.reason for verdict in verdicts] == ["ok", "recursion", "ok", "cpu", "ok"]
    assert [verdict.lane for verdict in verdicts] == ["batch", "isolated", "batch", "isolated", "batch"]


def test_an_audit_that_finds_a_difference_switches_the_batch_lane_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def contaminated(*arguments: object, **options: object) -> object:
        verdict = honest(*arguments, **options)
        return replace(verdict, value=-1) if verdict.lane == "batch" else verdict

    honest = dispatch.judge
    monkeypatch.setattr(dispatch, "judge", contaminated)
    monkeypatch.setattr(dispatch, "AUDITED_PER_BATCH", 100)
    executor = Executor()
    assert values_of(executor.run(counting(20))) == [n * 3 for n in range(20)]
    status = executor.status()
    assert status["alarm"] and not status["batch_lane"]
    assert {verdict.lane for verdict in executor.run(counting(5))} == {"isolated"}
    executor.close()


def test_a_program_without_a_fixed_answer_raises_no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "AUDITED_PER_BATCH", 100)
    executor = Executor()
    executor.run([returning("str(lambda: 0)"), returning("repr(iter([]))")] * 10)
    assert not executor.status()["alarm"]
    executor.close()


def real(name: str) -> list[dict]:
    if "RAYDISTILL_DATA" not in os.environ:
        pytest.skip("needs real programs: set RAYDISTILL_DATA")
    return [json.loads(line) for line in (Path(os.environ["RAYDISTILL_DATA"]) / name / "part.jsonl").open()]


def is_close(value: object, target: float, tolerance: float) -> bool:
    try:
        return math.isclose(float(value), target, rel_tol=tolerance, abs_tol=1e-9)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def test_real_programs_return_their_targets(executor: Executor) -> None:
    rows = real("pal_programs")
    verdicts = executor.run([Program(str(n), row["code"]) for n, row in enumerate(rows)])
    missed = [v for v, row in zip(verdicts, rows, strict=True) if not is_close(v.value, row["target"], 1e-6)]
    assert len(rows) == 660 and not missed


def test_real_verdicts_are_reproduced(executor: Executor) -> None:
    rows = real("tora_programs")
    pytest.importorskip("sympy")
    verdicts = executor.run([Program(str(n), row["code"]) for n, row in enumerate(rows)])
    differing = [
        verdict
        for verdict, row in zip(verdicts, rows, strict=True)
        if is_close(verdict.value, float(row["gold"].replace(",", "")), 1e-4) != row["correct"]
    ]
    assert len(rows) == 658 and not differing
