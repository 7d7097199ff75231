"""Pools on a cluster whose nodes come and go (Ray's fake autoscaling cluster): prints what was seen as JSON.

`AutoscalingCluster` stops every Ray that it can see, so tests run this on a host of its own (tests.cluster.hosts).

    python -m tests.cluster.elastic_driver FOLDER
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from raydistill.actors.engine.requests import Request
from raydistill.actors.executor import Program
from raydistill.actors.pool import Pool
from raydistill.actors.retrieval.encoder import SentenceEncoder
from raydistill.actors.retrieval.retriever import Lookup, encoder_id
from raydistill.actors.retrieval.row_index import RowIndex
from raydistill.pipelines.config.sections import EngineConfig, Execution
from raydistill.pipelines.datastore.retrieval import retriever_pool
from raydistill.pipelines.datastore.settings import RetrieverConfig
from raydistill.pipelines.runtime.pools import engine_pool, executor_pool
from tests.actors.retrieval.test_retriever import ROWS, fill
from tests.tiny import write_tiny_encoder
from tests.waiting import wait_until

BUSY = (
    "def solution():\n    total = 0\n    for i in range({n}, {n} + 2_000_000):\n        total += i\n    return total\n"
)
EXAMPLES = 5_000  # of one lookup, so that encoding them takes a while
CALLS = 12  # at a time: more than two members have places for
QUICK = {"grow_after_s": 1.0, "shrink_after_s": 3.0, "calls_in_flight": 2}
PATIENCE_S = 300.0
NODES = {
    kind: {
        "resources": {"CPU": 1},
        "labels": {"raydistill": kind},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 2,
    }
    for kind in ("cpu", "gpu")
}


class SlowRecordings:
    """Stands for an engine: takes its time for each request."""

    async def generate(self, requests: list[Request]) -> list[str]:
        await asyncio.sleep(2.0)  # in place of a model that computes
        return [request.id for request in requests]


def retriever_over_a_few_rows(folder: Path) -> Pool:
    """A pool of real retrievers, over an index made here."""
    encoder = SentenceEncoder(write_tiny_encoder(folder / "encoder"))
    index = RowIndex.create(str(folder / "rows"), encoder_id(encoder))
    fill(index, "sums", ROWS["sums"], encoder)
    settings = RetrieverConfig(replicas=(1, 2), node_labels={"raydistill": "cpu"})
    return Pool(replace(retriever_pool("retrievers", index.uri, settings).settings, **QUICK))


def nodes() -> list[str]:
    """The labels of the nodes that live, without the head."""
    import ray

    return sorted(n["Labels"]["raydistill"] for n in ray.nodes() if n["Alive"] and "raydistill" in n["Labels"])


def members(pool: Pool) -> int:
    from ray import serve

    application = serve.status().applications.get(pool.settings.name)
    deployments = application.deployments.values() if application else []
    return sum(count for d in deployments for state, count in d.replica_states.items() if state == "RUNNING")


def watch(pool: Pool, call: Callable[[int], Awaitable[Any]], kind: str) -> dict[str, Any]:
    """Start a pool, give it more than one member can do until there are two, let it idle; what came, and when."""
    before = nodes()
    pool.start()
    first, started, seen = members(pool), time.monotonic(), {}

    async def work() -> list[Any]:
        looking, answers, both_asked = asyncio.create_task(look()), [], False
        while not both_asked:
            both_asked, so_far = looking.done(), len(answers)
            answers += await asyncio.gather(*(call(so_far + n) for n in range(CALLS)))
        await looking  # raises what went wrong there
        return answers

    async def look() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while members(pool) < 2 and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        seen["seconds_to_second_member"] = round(time.monotonic() - started, 1)
        seen["nodes_at_most"] = nodes()

    answers = asyncio.run(work())
    wait_until(lambda: members(pool) == 1, PATIENCE_S, f"{pool.settings.name} to shrink")
    pool.release()
    wait_until(lambda: kind not in nodes(), PATIENCE_S, f"the {kind} nodes to go")
    return {"nodes_before": before, "members_at_start": first, "answers": answers, **seen, "nodes_after": nodes()}


def main() -> None:
    import ray
    from ray.cluster_utils import AutoscalingCluster

    folder = Path(sys.argv[1])
    cluster = AutoscalingCluster({"CPU": 1}, NODES, autoscaler_v2=True, idle_timeout_minutes=0.1, max_workers=4)
    cluster.start()
    ray.init("auto", log_to_driver=False)
    executors = executor_pool("executors", Execution(replicas=(1, 2), node_labels={"raydistill": "cpu"}))
    executors = Pool(replace(executors.settings, **QUICK))
    engines = engine_pool(
        "engines", EngineConfig(engine="recorded", model="none", node_labels={"raydistill": "gpu"}), ""
    )
    engines = Pool(replace(engines.settings, make=SlowRecordings, arguments=(), replicas=(1, 2), cpus=1, **QUICK))

    retrievers = retriever_over_a_few_rows(folder)

    async def run_program(n: int) -> Any:
        [verdict] = await executors.client.call("run", [Program(f"p{n}", BUSY.format(n=n))])
        return verdict.status

    async def generate(n: int) -> Any:
        return await engines.client.call("generate", [Request(f"q{n}", "")])

    async def retrieve(n: int) -> Any:
        examples = tuple({"input": f"how many apples {n} {i}", "output": f"{n} {i}"} for i in range(EXAMPLES))
        rows = await retrievers.client.call("retrieve", Lookup("how many sums", examples, count=1))
        return [row.source for row in rows]

    found = {
        "executors": watch(executors, run_program, "cpu"),
        "engines": watch(engines, generate, "gpu"),
        "retrievers": watch(retrievers, retrieve, "cpu"),
    }
    (folder / "seen.json").write_text(json.dumps(found))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
