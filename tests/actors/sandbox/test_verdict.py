"""Facts before claims: whatever a program says, what the kernel saw decides."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from raydistill.actors.sandbox import values, wire
from raydistill.actors.sandbox.host.supervisor import Waited
from raydistill.actors.sandbox.host.verdict import Verdict, agree, is_provisional, judge
from raydistill.actors.sandbox.wire import Record

LIMITS = (2, 8000, 256, 65536, 8192)


def claim(
    outcome: bytes = wire.VALUE, value: object = 42, label: str = "", message: str = "", stdout: str = ""
) -> bytes:
    parts = [values.encode(value) if outcome == wire.VALUE else b"", label.encode(), message.encode(), stdout.encode()]
    return wire.CLAIM.pack(outcome, *map(len, parts), len(stdout), 0, 0) + b"".join(parts)


GOOD = Record(wire.FACTS, 0, 0, 0, 1000, 2000, 15000, 1, 0, wire.HAS_CLAIM, claim())


def verdict(record: Record, mode: int = wire.SOLUTION, lane: str = "isolated", waited: Waited | None = None) -> Verdict:
    return judge("p", record, mode=mode, lane=lane, grade="A", limits=LIMITS, waited=waited)


def test_a_good_end_and_a_value_pass() -> None:
    result = verdict(GOOD)
    assert (result.status, result.reason, result.value, result.kind) == ("passed", "ok", 42, "int")
    assert result.cpu_s == 0.001 and result.observed["maxrss_kb"] == 15000


@pytest.mark.parametrize(
    ("facts", "reason", "status"),
    [
        ({"signal": 31}, "policy", "failed"),
        ({"signal": 24}, "cpu", "failed"),
        ({"signal": 11}, "signal:11", "failed"),
        ({"signal": 11, "maxrss_kb": 250 * 1024}, "memory", "failed"),
        ({"signal": 9}, "killed", "unknown"),
        ({"signal": 9, "cpu_us": 2_500_000}, "cpu", "failed"),
        ({"code": 1}, "exit_silent", "failed"),
        ({"flags": wire.HAS_CLAIM | wire.BROKEN_AREA}, "protocol", "failed"),
        ({"flags": wire.HAS_CLAIM | wire.LEAKED_PROCESS}, "protocol", "failed"),
        ({"flags": wire.HAS_CLAIM | wire.KILLED_CPU, "signal": 9}, "cpu", "failed"),
        ({"flags": wire.HAS_CLAIM | wire.KILLED_WALL, "signal": 9}, "timeout", "failed"),
        ({"flags": wire.NO_CHILD, "claim": b""}, "infra", "unknown"),
        ({"flags": wire.NOT_STARTED, "code": 112, "claim": b""}, "infra", "unknown"),
        ({"flags": 0, "claim": b""}, "exit_silent", "failed"),
    ],
)
def test_observed_facts_outweigh_a_claimed_value(facts: dict, reason: str, status: str) -> None:
    result = verdict(GOOD._replace(**facts))
    assert (result.reason, result.status, result.value) == (reason, status, None)


def test_the_wall_limit_tells_sleepers_from_the_starved() -> None:
    killed = GOOD._replace(flags=wire.KILLED_WALL, signal=9, wall_us=8_000_000, claim=b"")
    assert verdict(killed._replace(cpu_us=3_000, waits=1)).reason == "timeout"
    assert verdict(killed._replace(cpu_us=900_000, waits=800)).reason == "timeout"
    assert verdict(killed._replace(cpu_us=900_000, waits=2)).reason == "infra"


@pytest.mark.parametrize(
    ("waited", "reason"),
    [
        (Waited(0.1, "S"), "timeout"),
        (Waited(0.1, "R"), "timeout"),  # it had the processor nearly all the time
        (Waited(2.5, "R"), "infra"),
        (Waited(0.0, "T"), "infra"),  # somebody stopped it
    ],
)
def test_where_the_kernel_counts_waiting_that_decides(waited: Waited, reason: str) -> None:
    killed = GOOD._replace(flags=wire.KILLED_WALL, signal=9, wall_us=8_000_000, claim=b"", cpu_us=900_000, waits=2)
    assert verdict(killed, waited=waited).reason == reason


def test_a_value_claimed_after_the_limit_is_too_late() -> None:
    late = GOOD._replace(cpu_us=2_500_000)
    assert [verdict(late, lane=lane).reason for lane in ("isolated", "batch")] == ["cpu", "ok"]


@pytest.mark.parametrize(
    ("data", "reason", "kind"),
    [
        (claim(value=None), "no_result", "none"),
        (claim(value=True), "ok", "bool"),
        (claim(value=1.5), "ok", "float"),
        (claim(value="x"), "ok", "str"),
        (claim(value=float("nan")), "nonfinite", "float"),
        (claim(value=[1, 2]), "bad_type", "other"),
        (claim(value=b"x"), "bad_type", "other"),
        (claim(value=0.5, label="Fraction", message="1/2"), "ok", "coerced:Fraction"),
        (claim(value=0.5, label="a|b\n"), "ok", "coerced:unnamed"),
        (claim(wire.EXCEPTION, label="NameError", message="NameError: x"), "exception:NameError", "none"),
        (claim(wire.EXCEPTION, label="ok\npassed"), "exception:Exception", "none"),
        (claim(wire.SYNTAX), "syntax", "none"),
        (claim(wire.NO_ENTRY), "no_entry", "none"),
        (claim(wire.OUTPUT_LIMIT), "output_limit", "none"),
        (claim(wire.EXIT), "exit", "none"),
        (claim(wire.MEMORY), "memory", "none"),
        (claim(wire.RECURSION), "recursion", "none"),
        (claim(wire.TOO_LARGE), "too_large", "none"),
        (claim(wire.BAD_TYPE, label="Anything"), "bad_type", "other"),
        (claim(b"?"), "protocol", "none"),
        (claim()[:-1], "protocol", "none"),
        (claim() + b"x", "protocol", "none"),
        (b"short", "protocol", "none"),
    ],
    ids=itertools.count(),
)
def test_claims(data: bytes, reason: str, kind: str) -> None:
    result = verdict(GOOD._replace(claim=data))
    assert (result.reason, result.kind) == (reason, kind)
    assert result.status == ("passed" if reason == "ok" else "failed")


def test_a_list_is_an_answer_only_for_calls() -> None:
    calls = verdict(GOOD._replace(claim=claim(value=[1, "a"])), wire.CALLS)
    assert (calls.status, calls.value, calls.kind) == ("passed", "[1, 'a']", "other")


def test_what_is_provisional_in_a_batch() -> None:
    assert all(is_provisional(Verdict("p", "failed", reason)) for reason in ("cpu", "recursion", "signal:11", "defer"))
    assert not any(is_provisional(Verdict("p", "failed", reason)) for reason in ("ok", "exception:X", "no_result"))


def test_agreement_looks_at_the_claim_not_at_the_cost() -> None:
    one = Verdict("p", "passed", "ok", 1, "int", cpu_s=1)
    assert agree(one, replace(one, cpu_s=2, lane="batch"))
    assert not agree(one, replace(one, value=1.0)) and not agree(one, replace(one, reason="no_result"))
