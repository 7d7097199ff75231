"""The executor as an actor of a pool: what a `kill -9` of it costs the programs that are in flight."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterator

import psutil
import pytest

from raydistill.actors.executor import Program
from raydistill.actors.pool import Pool, PoolClient
from raydistill.pipelines.config.sections import Execution
from raydistill.pipelines.runtime.pools import executor_pool

CALLS, PROGRAMS_PER_CALL, KILLS = 10, 100, 2
BUSY = """\
def solution():
    total = 0
    for i in range({n}, {n} + 140_000):
        total += i % 7
    return total
"""


@pytest.fixture
def pool(cluster: None) -> Iterator[Pool]:
    running = executor_pool("executors-to-kill", Execution(cpus=0.5))
    running.start()
    yield running
    running.release()


async def victim(client: PoolClient, kind: str) -> int | None:
    """A process of the executor: its actor (a zygote's parent's parent), a zygote, or a child that runs programs."""
    try:
        zygote = (await client.call("zygote_pids"))[0]
        if kind == "zygote":
            return zygote
        process = psutil.Process(zygote)
        return process.parents()[1].pid if kind == "actor" else process.children()[0].pid
    except (psutil.NoSuchProcess, IndexError):  # it has just ended
        return None


async def kill_while_working(client: PoolClient, work: asyncio.Future, kinds: list[str]) -> list[str]:
    killed = []
    for kind in kinds:
        await asyncio.sleep(random.uniform(0.3, 1.0))
        if work.done():
            break
        pid = await victim(client, kind)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.append(kind)
    return killed


def test_programs_in_flight_outlive_the_actor(pool: Pool) -> None:
    programs = [Program(f"p{n}", BUSY.format(n=n)) for n in range(CALLS * PROGRAMS_PER_CALL)]
    groups = [programs[start : start + PROGRAMS_PER_CALL] for start in range(0, len(programs), PROGRAMS_PER_CALL)]

    async def run() -> tuple[list, list[str]]:
        work = asyncio.gather(*(pool.client.call("run", group) for group in groups))
        killed = await kill_while_working(pool.client, work, ["actor"] * KILLS)
        return [verdict for verdicts in await work for verdict in verdicts], killed

    verdicts, killed = asyncio.run(run())
    assert killed  # the second kill may come when all is done
    assert [verdict.id for verdict in verdicts] == [program.id for program in programs]
    assert [verdict.value for verdict in verdicts] == [140_000 // 7 * 21] * len(programs)  # whole rounds of 0..6
    assert {verdict.status for verdict in verdicts} == {"passed"}


@pytest.mark.slow
def test_no_kill_makes_an_honest_program_fail(pool: Pool) -> None:
    """2,000 programs in both lanes, while children, zygotes and the actor are killed for as long as they run."""
    programs = [Program(f"p{n}", ("import os\n" if n % 2 else "") + BUSY.format(n=n)) for n in range(2000)]
    groups = [programs[start : start + 250] for start in range(0, len(programs), 250)]
    kinds = [*(["child", "zygote"] * 5), "actor"] * 6  # a call that outlives eight actors is refused

    async def run() -> tuple[list, list[str]]:
        work = asyncio.gather(*(pool.client.call("run", group) for group in groups))
        killed = await kill_while_working(pool.client, work, kinds)
        return [verdict for verdicts in await work for verdict in verdicts], killed

    verdicts, killed = asyncio.run(run())
    print(f"killed: {', '.join(f'{killed.count(kind)} {kind}' for kind in sorted({*killed}))}")
    assert {*killed} == {"child", "zygote", "actor"}
    assert [verdict.id for verdict in verdicts] == [program.id for program in programs]
    assert not [verdict for verdict in verdicts if verdict.status == "failed" or verdict.value not in (None, 420_000)]
    assert sum(verdict.status == "unknown" for verdict in verdicts) <= len(verdicts) // 100
