"""Samples per second of an engine pool, beside ray.data.llm over the same questions: running, and with its starts.

    python -m benchmarks.ray_data_llm                                ten minutes on a quiet machine with two cores
    python -m benchmarks.ray_data_llm --questions 20 --turns 1       a look

Each has one engine with one thread and the same arguments, and answers the same questions with four samples each. A run
asks its teacher in rounds, with a look at what came in between. In a turn either arm starts from nothing and does two:

    pool            started once; a call for each question, with n samples; the second round finds it running
    ray.data.llm    a dataset of rows, each sample a row of its own (its rows have one output); a start for each round

"Running" is from when an engine that is up got the round's first samples until the last ones were back. Prints one line
of JSON, rows for `docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engines import CONTEXT_TOKENS, engine_config, prompts, work_options
from benchmarks.paired import paired_row
from raydistill.actors.engine.engine import CPU_ARGUMENTS, LONE_CPU_ARGUMENTS
from raydistill.actors.engine.requests import Request, Sampling
from raydistill.pipelines.runtime.pools import connect, engine_environment, engine_pool

ROUNDS = 2
LOGICAL_CPUS = 8  # for its stages reserve one each, and wait where they are not there
BATCH = 64  # rows; the least that its documentation calls large
RUNNING, STARTS = 1.05, 1.5


@dataclass(frozen=True, slots=True)
class Answered:
    """A round: its tokens, and for how many seconds an engine that was up has worked at them."""

    tokens: int
    seconds: float


def ask_pool(options: argparse.Namespace, turn: int) -> tuple[float, list[Answered]]:
    """Seconds from nothing to the end of the last round, and each round's samples."""
    began, rounds = time.monotonic(), list[Answered]()
    pool = engine_pool(f"benchmark-{turn}", engine_config(options), ledger="")
    pool.start()
    sampling = Sampling(temperature=1.0, max_tokens=options.new_tokens)
    for number in range(ROUNDS):
        rounds.append(asyncio.run(_round(pool.client, prompts(options), sampling, options.n, seed_of(turn, number))))
    seconds = time.monotonic() - began
    pool.release()
    return seconds, rounds


async def _round(client: Any, asked: list[Any], sampling: Sampling, n: int, seed: int) -> Answered:
    started, indices = time.monotonic(), tuple(range(n))
    requests = [Request(str(i), chat, sampling, indices, seed=seed + i * 1000) for i, chat in enumerate(asked)]
    came = await asyncio.gather(*(client.call("generate", [request]) for request in requests))
    tokens = sum(one.completion_tokens for completions in came for one in completions)
    return Answered(tokens, time.monotonic() - started)


def ask_ray_data(options: argparse.Namespace, turn: int) -> tuple[float, list[Answered]]:
    """The same of ray.data.llm."""
    import ray
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    config = engine_config(options)
    processor = build_processor(
        vLLMEngineProcessorConfig(
            model_source=options.model,
            engine_kwargs=CPU_ARGUMENTS
            | LONE_CPU_ARGUMENTS
            | {"dtype": "float32", "max_model_len": CONTEXT_TOKENS, "max_num_seqs": options.in_flight},
            placement_group_config={"bundle_per_worker": {"CPU": 1}},
            runtime_env={"env_vars": engine_environment(config)},
            batch_size=BATCH,
            max_concurrent_batches=-(-options.in_flight // BATCH),
            concurrency=1,
        ),
        preprocess=lambda row: {
            "messages": json.loads(row["asked"]),
            "sampling_params": {"temperature": 1.0, "max_tokens": options.new_tokens, "seed": row["seed"]},
        },
        postprocess=lambda row: {"tokens": row["num_generated_tokens"], "seconds": row["time_taken_llm"]},
    )
    began, rounds = time.monotonic(), list[Answered]()
    for number in range(ROUNDS):
        seed = seed_of(turn, number)
        rows = [
            {"asked": json.dumps(chat), "seed": seed + place * 1000 + sample}
            for place, chat in enumerate(prompts(options))
            for sample in range(options.n)
        ]
        answered, tokens, started = (
            processor(ray.data.from_items(rows, override_num_blocks=-(-len(rows) // BATCH))),
            0,
            [],
        )
        for batch in answered.iter_batches(batch_size=None, prefetch_batches=0):
            tokens += int(sum(batch["tokens"]))
            started.append(time.monotonic() - float(max(batch["seconds"])))
        rounds.append(Answered(tokens, time.monotonic() - min(started)))
    return time.monotonic() - began, rounds


def seed_of(turn: int, number: int) -> int:
    return 10**6 * (ROUNDS * turn + number + 1)


def main() -> None:
    parser = work_options(__doc__)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    connect(LOGICAL_CPUS)
    arms = {"pool": ask_pool, "ray.data.llm": ask_ray_data}
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(options.turns):
        for name in [*arms][turn % 2 :] + [*arms][: turn % 2]:
            took, rounds = arms[name](options, turn)
            seconds[name].append(took)
            rates[name].append(sum(one.tokens for one in rounds) / sum(one.seconds for one in rounds))
            print(f"turn {turn + 1}: {name} {took:.1f} s, running {rates[name][-1]:.0f} tokens/s", file=sys.stderr)
    ours, theirs = arms
    samples = ROUNDS * options.questions * options.n
    rounds_s = {name: [samples / one for one in took] for name, took in seconds.items()}
    name = f"engine pool, {Path(options.model).name}, n = {options.n}"
    running = f"{name}, tokens/s while running, beside ray.data.llm"
    whole = f"{name}, samples/s over {ROUNDS} rounds with starts, beside ray.data.llm"
    rows = [
        paired_row(running, rates[ours], rates[theirs], RUNNING),
        paired_row(whole, rounds_s[ours], rounds_s[theirs], STARTS),
    ]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
