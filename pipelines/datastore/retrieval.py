"""The pool of retrievers, and lookups whose results are kept.

A lookup over an index is the same whenever it is asked for, so its rows are stored under a hash of lookup and index
version as soon as they are there; a run that was killed reads them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from raydistill.actors.pool import Pool, PoolClient, PoolSettings
from raydistill.actors.retrieval.retriever import Level, Lookup, RetrievedRow, Retriever
from raydistill.actors.storage import absolute, local_path, read_bytes, write_atomic
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.datastore.settings import RetrieverConfig, TargetTask


def lookup_of(
    task: TargetTask,
    count: int = 3000,
    *,
    level: Level = "row",
    seed: int = 0,
    banned: Sequence[str] = (),
) -> Lookup:
    """What to look for, for a target task; outputs are compared without their reasoning (as in arXiv 2407.05463)."""
    examples = tuple(
        {"input": example.get("input", ""), "output": example.get("output", "")} for example in task.examples
    )
    return Lookup(task.instruction, examples, count, level, (*task.banned, *banned), seed)


def retriever_pool(name: str, index: str, config: RetrieverConfig, *, encoder: str | None = None) -> Pool:
    """The pool of retrievers over an index, not yet started. Each member gets as many threads as it has CPUs."""
    threads = str(max(1, int(config.cpus)))
    environment = {variable: threads for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    return Pool(
        PoolSettings(
            name,
            Retriever,
            (absolute(index), encoder and local_path(encoder)),
            replicas=config.replicas,
            cpus=config.cpus,
            node_labels=config.node_labels,
            calls_in_flight=2,
            environment=environment,
        )
    )


def stored_rows(folder: str, version: str, lookup: Lookup) -> list[RetrievedRow] | None:
    """What an earlier run has found in this version of the index; None if it has not looked."""
    data = read_bytes(_path(folder, version, lookup))
    return [RetrievedRow(**row) for row in json.loads(data)] if data else None


async def retrieve(client: PoolClient, lookup: Lookup, folder: str) -> list[RetrievedRow]:
    """The rows of a lookup, best first; kept in `folder`."""
    path = _path(folder, await client.call("version"), lookup)
    rows = await client.call("retrieve", lookup)
    await asyncio.to_thread(write_atomic, path, json.dumps([asdict(row) for row in rows]).encode())
    return rows


def _path(folder: str, version: str, lookup: Lookup) -> str:
    asked = asdict(lookup) | {"approximate": False}  # once a setting; lookups stored then are still found
    return f"{folder}/{content_hash(version, asked)}.json"
