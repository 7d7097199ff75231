"""The executor as an actor of a pool: what a `kill -9` of it costs the programs that are in flight."""

from __future__ import annotations

import asyncio
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


async def actor_process(client: PoolClient) -> int:
    """The process that hosts the executor: a zygote's parent's parent."""
    [zygote] = await client.call("zygote_pids")
    return psutil.Process(zygote).parents()[1].pid


async def kill_while_working(client: PoolClient, work: asyncio.Future) -> int:
    killed = 0
    while killed < KILLS and not work.done():
        await asyncio.sleep(random.uniform(0.3, 1.0))
        os.kill(await actor_process(client), signal.SIGKILL)
        killed += 1
    return killed


def test_programs_in_flight_outlive_the_actor(pool: Pool) -> None:
    programs = [Program(f"p{n}", BUSY.format(n=n)) for n in range(CALLS * PROGRAMS_PER_CALL)]
    groups = [programs[start : start + PROGRAMS_PER_CALL] for start in range(0, len(programs), PROGRAMS_PER_CALL)]

    async def run() -> tuple[list, int]:
        work = asyncio.gather(*(pool.client.call("run", group) for group in groups))
        killed = await kill_while_working(pool.client, work)
        return [verdict for verdicts in await work for verdict in verdicts], killed

    verdicts, killed = asyncio.run(run())
    assert killed  # the second kill may come when all is done
    assert [verdict.id for verdict in verdicts] == [program.id for program in programs]
    assert [verdict.value for verdict in verdicts] == [140_000 // 7 * 21] * len(programs)  # whole rounds of 0..6
    assert {verdict.status for verdict in verdicts} == {"passed"}
