"""What retrieval costs over a million values, beside the bare matrix products that it needs.

    python -m benchmarks.retriever --index runs/datastore  # real embeddings and Gaussian copies of them
    python -m benchmarks.retriever --values 100000         # random vectors, without an index

Copies of the index's values get Gaussian noise of `--noise` of their length and keep their grouping into rows. Lookups
are the targets in configs/targets. Finding the `--top` best rows is compared with the same blocks' products alone and
with one product of the whole matrix (the faster of the two counts), and, where `faiss-cpu` is installed, with the
`--top` best values of its IndexFlatIP, which knows no rows. All take turns in one process with one thread; times are
its CPU time, so that other work on the machine does not count. Two processes against one are measured by the clock.
Prints one JSON line, rows for `docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # before numpy is loaded

import numpy as np  # noqa: E402

from benchmarks.paired import paired_row  # noqa: E402
from raydistill.actors.retrieval import scoring  # noqa: E402
from raydistill.actors.retrieval.scoring import Query, Values, best_rows  # noqa: E402

ROOT = Path(__file__).parent.parent

EXACT_OVER_BARE, EXACT_OVER_FAISS, TWO_OVER_ONE = 1.3, 1.0, 1.6


def seed_values(index: str | None, rng: np.random.Generator) -> Values:
    """The values of an index, or random ones in rows of one to six."""
    if index:
        from raydistill.actors.retrieval.row_index import RowIndex
        from raydistill.actors.retrieval.row_matrix import open_matrix

        return open_matrix(RowIndex.open(index)).values
    starts = np.concatenate([[0], np.cumsum(rng.integers(1, 7, 5_000))])
    dataset = np.sort(rng.integers(0, 6, 5_000)).astype(np.int32)
    return Values(unit(rng.standard_normal((starts[-1], 384))), starts, dataset, unit(rng.standard_normal((6, 384))))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def grow(seed: Values, count: int, noise: float, folder: Path, rng: np.random.Generator) -> Values:
    """At least `count` values: `seed` and noisy copies of it, memory-mapped."""
    copies, dimension = -(-count // len(seed.vectors)), seed.vectors.shape[1]
    with (folder / "vectors.f32").open("wb") as file:
        for copy in range(copies):
            shift = rng.standard_normal(seed.vectors.shape, np.float32) * (noise * bool(copy) / dimension**0.5)
            file.write(unit(seed.vectors + shift).tobytes())
    shape = (copies * len(seed.vectors), dimension)
    vectors = np.memmap(folder / "vectors.f32", np.float32, "r", shape=shape)
    starts = np.concatenate([copy * len(seed.vectors) + seed.starts[:-1] for copy in range(copies)] + [[shape[0]]])
    return Values(vectors, starts, np.tile(seed.dataset, copies), seed.descriptions)


def make_queries(index: str | None, values: Values, rng: np.random.Generator) -> list[Query]:
    """Lookups of the shipped targets; without an index of random vectors."""
    allowed = np.ones(len(values.descriptions), bool)
    if not index:

        def examples() -> np.ndarray:
            return unit(rng.standard_normal((3, 384)))

        return [Query(examples(), examples(), values.descriptions[i], allowed) for i in range(4)]
    from raydistill.actors.retrieval.encoder import SentenceEncoder
    from raydistill.actors.retrieval.row_index import RowIndex
    from raydistill.pipelines.datastore.settings import TargetTask, load_settings

    encoder, queries = SentenceEncoder(RowIndex.open(index).encoder.name), []
    for path in sorted((ROOT / "configs" / "targets").glob("*.yaml")):
        task = load_settings(path, TargetTask)
        inputs, outputs = (encoder.encode([example[name] for example in task.examples]) for name in ("input", "output"))
        queries.append(Query(inputs, outputs, encoder.encode([task.instruction])[0], allowed))
    return queries


def bare_blocks(values: Values, query: Query) -> None:
    """The products of exact scoring, and nothing else."""
    means = query.means().astype(np.float32)
    for place in range(0, len(values.vectors), scoring.BLOCK):
        for mean in means:
            values.vectors[place : place + scoring.BLOCK] @ mean


def bare_whole(values: Values, query: Query) -> np.ndarray:
    """The same products in one piece."""
    return query.means().astype(np.float32) @ values.vectors.T


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def lookups_for(folder: str, arrays: tuple[Any, ...], query: Query, top: int, seconds: float) -> float:
    """Exact lookups per second of this process over the memory-mapped vectors of `folder`."""
    starts, dataset, descriptions = arrays
    vectors = np.memmap(Path(folder, "vectors.f32"), np.float32, "r", shape=(starts[-1], descriptions.shape[1]))
    values = Values(vectors, starts, dataset, descriptions)
    best_rows(values, query, top)
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        best_rows(values, query, top)
        done += 1
    return done / (time.perf_counter() - started)


def two_over_one(folder: Path, values: Values, query: Query, top: int, seconds: float) -> float:
    """Lookups per second of two processes at a time, over those of one."""
    arguments = (str(folder), (values.starts, values.dataset, values.descriptions), query, top, seconds)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        one = processes.submit(lookups_for, *arguments).result()
        both = [processes.submit(lookups_for, *arguments) for _ in range(2)]
        return sum(job.result() for job in both) / one


def faiss_search(values: Values, top: int) -> Callable[[Query], object] | None:
    """The best values of a query by FAISS's exact index; None where it is not installed."""
    try:
        import faiss
    except ImportError:
        return None
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(values.vectors.shape[1])
    index.add(np.ascontiguousarray(values.vectors))
    return lambda query: index.search(query.means().astype(np.float32), top)


def measure(values: Values, queries: Sequence[Query], top: int, rounds: int) -> list[dict[str, Any]]:
    """CPU seconds, compared within each round and lookup."""
    arms: dict[str, Callable[[Query], object]] = {
        "blocks": partial(bare_blocks, values),
        "whole": partial(bare_whole, values),
        "exact": partial(best_rows, values, count=top),
    }
    if (search := faiss_search(values, top)) is not None:
        arms["faiss"] = search
    times: dict[str, list[float]] = {name: [] for name in arms}
    for round_ in range(rounds + 1):
        for query in queries:
            for name, arm in arms.items():
                seconds = cpu_seconds(partial(arm, query))
                if round_:  # the first one brings the pages into memory
                    times[name].append(seconds)
    bare = [min(pair) for pair in zip(times["blocks"], times["whole"], strict=True)]
    size = f"best {top:,} rows of {len(values.vectors):,} values, CPU seconds"
    found = [paired_row(f"{size}, beside the bare products", times["exact"], bare, EXACT_OVER_BARE, at_most=True)]
    if "faiss" in times:
        name = f"{size}, beside the best values of FAISS IndexFlatIP"
        found.append(paired_row(name, times["exact"], times["faiss"], EXACT_OVER_FAISS, at_most=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", help="take its embeddings and encoder")
    parser.add_argument("--values", type=int, default=1_000_000)
    parser.add_argument("--noise", type=float, default=0.3, help="length of the noise of copies; values have length 1")
    parser.add_argument("--top", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--replica-seconds", type=float, default=0, help="also compare two processes with one")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        values = grow(seed_values(options.index, rng), options.values, options.noise, Path(folder), rng)
        queries = make_queries(options.index, values, rng)
        rows = measure(values, queries, options.top, options.rounds)
        if options.replica_seconds:
            both = two_over_one(Path(folder), values, queries[0], options.top, options.replica_seconds)
            rows.append(paired_row("lookups/s of two processes, beside one", [both], [1.0], TWO_OVER_ONE))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
