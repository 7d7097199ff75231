"""Turns: what a request of hanging programs costs the others, and what zygotes that start cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import psutil
import pytest

from raydistill.actors.executor import Executor, Limits, PooledExecutor, Program
from raydistill.actors.sandbox.host.lane import FIRST_PAUSE_S, PROOFS, BatchLane
from tests.waiting import wait_until

WALL_S = 1.0
LIMITS = Limits(cpu_s=1, wall_s=WALL_S)
# Waits without computing: the wall limit alone ends it.
HANGING = "import time\ndef solution():\n    time.sleep(1000)\n"
SPINNING = "def solution():\n    while True:\n        pass\n"
DEFERRED = "import os\n"  # every other program is isolated
HONEST = [Program(f"h{n}", f"{DEFERRED if n % 2 else ''}def solution():\n    return {n}\n") for n in range(5)]
SLACK_S = 2.0  # of a machine that runs other tests; without turns each wait would be twice as long and more


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    running = Executor(LIMITS)
    yield running
    running.close()


@pytest.mark.parametrize("source", [HANGING, SPINNING], ids=["hanging", "spinning"])
@pytest.mark.parametrize("requests", [1, 2])
def test_an_honest_request_waits_for_one_program_of_each_other(executor: Executor, source: str, requests: int) -> None:
    hostile = [executor.submit([Program("x", source)] * 6) for _ in range(requests)]
    wait_until(lambda: any(psutil.Process(pid).children() for pid in executor.zygote_pids()), 10, "a hostile program")
    started = time.monotonic()
    verdicts = executor.run(HONEST)
    took = time.monotonic() - started
    assert [verdict.value for verdict in verdicts] == [0, 1, 2, 3, 4]
    assert took < requests * WALL_S + SLACK_S and not any(future.done() for future in hostile)
    assert {verdict.reason for future in hostile for verdict in future.result()} <= {"timeout", "cpu"}


def test_calls_of_one_party_take_turns_as_one(executor: Executor) -> None:
    hostile = [executor.submit([Program("x", HANGING, party="p")]) for _ in range(6)]
    wait_until(lambda: any(psutil.Process(pid).children() for pid in executor.zygote_pids()), 10, "a hostile program")
    started = time.monotonic()
    for program in HONEST[:3]:
        executor.run([program])
    took = time.monotonic() - started
    for future in hostile:
        future.cancel()
    assert took < 3 * WALL_S + SLACK_S


@pytest.mark.parametrize("source", [HANGING, SPINNING], ids=["hanging", "spinning"])
@pytest.mark.parametrize("count", [1, 6], ids=["isolated", "batch"])
def test_a_call_that_is_cancelled_gives_its_zygote_back(source: str, count: int) -> None:
    async def leave() -> float:
        pooled = PooledExecutor(Limits(cpu_s=30, wall_s=30), "B-", 1)
        call = asyncio.ensure_future(pooled.run([Program("x", source)] * count))
        zygotes = [psutil.Process(pid) for pid in pooled.zygote_pids()]
        await asyncio.to_thread(wait_until, lambda: any(z.children() for z in zygotes), 10, "a hostile program")
        started = time.monotonic()
        call.cancel()
        await asyncio.to_thread(wait_until, lambda: not any(z.children() for z in zygotes), 10, "its end")
        assert [verdict.value for verdict in await pooled.run(HONEST)] == [0, 1, 2, 3, 4]
        assert all(zygote.is_running() for zygote in zygotes)
        return time.monotonic() - started

    assert asyncio.run(leave()) < 5  # of the 30 s that the program may take


def test_a_pooled_executor_serves_any_number_of_calls_without_a_thread_each() -> None:
    async def serve() -> float:
        pooled = PooledExecutor(LIMITS, "B-", 1)
        hostile = [asyncio.ensure_future(pooled.run([Program("x", HANGING)] * 4)) for _ in range(2)]
        waiting = [asyncio.ensure_future(pooled.run(HONEST)) for _ in range(40)]
        started = time.monotonic()
        await asyncio.gather(*waiting)
        took = time.monotonic() - started
        await asyncio.gather(*hostile)
        return took

    assert asyncio.run(serve()) < 2 * WALL_S + 40 * 0.05 + SLACK_S


@pytest.mark.slow
def test_rubbish_makes_nobody_wait_for_a_new_zygote(executor: Executor) -> None:
    pytest.importorskip("numpy")
    fine = Program("fine", "import numpy\ndef solution():\n    return int(numpy.arange(5).sum())\n")
    rubbish = Program(
        "rubbish",
        "import numpy, sys, os\ndef solution():\n    f = sys._getframe()\n"
        "    while not hasattr(f.f_locals.get('self'), 'area'):\n        f = f.f_back\n"
        "    f.f_locals['self'].area[:12] = b'\\xff' * 12\n    os._exit(0)\n",
    )
    executor.run([fine])
    started = time.monotonic()
    verdicts = executor.run([rubbish, fine])
    assert [verdict.reason for verdict in verdicts] == ["protocol", "ok"] and time.monotonic() - started < 0.75


def test_the_lane_needs_several_programs_as_proof_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lane = BatchLane(True)
    for _ in range(10):
        lane.differed("p", "the same text")
    assert lane.is_on and not lane.alarm
    for n in range(PROOFS):
        lane.differed("p", f"text {n}")
    assert not lane.is_on and "60 s" in lane.alarm
    now += FIRST_PAUSE_S + 1
    assert lane.is_on
    for n in range(PROOFS):
        lane.differed("p", f"text {n}")
    assert not lane.is_on and "120 s" in lane.alarm
    assert not BatchLane(False).is_on
