"""Tokens per second of an engine pool, beside bare vLLM, which gets everything in one call, on one thread each.

    python -m benchmarks.engines                       leave the machine alone meanwhile
    python -m benchmarks.engines --model ~/models/smollm2-135m-instruct --questions 16
    python -m benchmarks.engines --questions 8 --rounds 2  a look

The arms answer the same questions with four samples each, temperature 1, and take turns; each is up all the time:

    pool        an engine as runs have it: a Ray Serve replica that is called by handle, a call for each question
    bare        `vllm.LLM.generate` in a process of its own, with the pool's arguments: the limit
    worker      a pool whose engine computes in a worker process, as vLLM has it by default without a GPU

Prints one JSON line: rows for `docs/results/performance.json`. Exits 1 where the arms' greedy texts differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from benchmarks.paired import paired_row, take_turns
from benchmarks.replications.cells import ROOT
from raydistill.actors.engine.requests import Request, Sampling
from raydistill.pipelines.config.sections import EngineConfig, Questions
from raydistill.pipelines.prompts import render
from raydistill.pipelines.runtime.pools import connect, engine_environment, engine_pool
from raydistill.pipelines.tasks import load_questions

PEERS = {"bare": ("vllm.LLM.generate, all in one call", 0.97), "worker": ("an engine with a worker process", 1.0)}
WORKER = {"distributed_executor_backend": "mp"}
CONTEXT_TOKENS, CACHE_GB = 1024, 1
SAME_TEXTS = 0.95  # at least; batches of other sizes turn near-ties

Texts = list[list[str]]


class Arm(Protocol):
    def __call__(self, temperature: float, seed: int) -> tuple[float, int, Texts]:
        """Seconds, generated tokens and the texts of a pass over all questions."""


def engine_config(options: argparse.Namespace, **further: Any) -> EngineConfig:
    return EngineConfig(
        model=options.model,
        dtype="float32",
        max_model_len=CONTEXT_TOKENS,
        kv_cache_gb=CACHE_GB,
        max_num_seqs=options.in_flight,
        options=further,
    )


def samples(options: argparse.Namespace, temperature: float) -> int:
    """How many of a question: greedily one, which vLLM insists on."""
    return options.n if temperature else 1


def prompts(options: argparse.Namespace) -> list[list[dict[str, str]]]:
    """Questions as PaD asks them."""
    asked = Questions(task="reasoning_gym:gsm_symbolic", size=options.questions, seed=70_000)
    return [list(render("instruct", "program", one.text)) for one in load_questions(asked).questions]


@contextmanager
def pool_arm(name: str, config: EngineConfig, options: argparse.Namespace) -> Iterator[Arm]:
    pool = engine_pool(f"benchmark-{name}", config, ledger="")
    pool.start()
    asked = prompts(options)

    def answer(temperature: float, seed: int) -> tuple[float, int, Texts]:
        sampling = Sampling(temperature=temperature, max_tokens=options.new_tokens)
        indices = tuple(range(samples(options, temperature)))
        requests = [Request(str(i), chat, sampling, indices, seed=seed + i * 1000) for i, chat in enumerate(asked)]

        async def calls() -> list[Any]:
            return await asyncio.gather(*(pool.client.call("generate", [request]) for request in requests))

        started = time.perf_counter()
        came = asyncio.run(calls())
        seconds = time.perf_counter() - started
        return seconds, sum(one.completion_tokens for some in came for one in some), [[o.text for o in c] for c in came]

    try:
        yield answer
    finally:
        pool.release()


@contextmanager
def bare_arm(config: EngineConfig, options: argparse.Namespace) -> Iterator[Arm]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve_bare, args=(theirs, config, options))
    process.start()
    theirs.close()  # so that the end of that process is heard of here
    assert ours.recv() == "ready"

    def answer(temperature: float, seed: int) -> tuple[float, int, Texts]:
        ours.send((temperature, seed))
        return ours.recv()

    try:
        yield answer
    finally:
        ours.send(None)
        process.join()


def serve_bare(connection: Connection, config: EngineConfig, options: argparse.Namespace) -> None:
    """Passes of `vllm.LLM.generate` in this process, as the connection asks for them."""
    os.environ |= engine_environment(config)
    from vllm import LLM, SamplingParams

    from raydistill.actors.engine.engine import CPU_ARGUMENTS, LONE_CPU_ARGUMENTS

    arguments: dict[str, Any] = CPU_ARGUMENTS | LONE_CPU_ARGUMENTS | {"max_num_seqs": config.max_num_seqs}
    model = LLM(model=config.model, dtype="float32", max_model_len=CONTEXT_TOKENS, **arguments)
    asked: list[Any] = prompts(options)
    connection.send("ready")
    while asked_for := connection.recv():
        temperature, seed = asked_for
        each = [
            SamplingParams(
                n=samples(options, temperature),
                temperature=temperature,
                max_tokens=options.new_tokens,
                seed=seed + i * 1000,
            )
            for i in range(len(asked))
        ]
        started = time.perf_counter()
        came = model.chat(asked, each, use_tqdm=False)
        seconds = time.perf_counter() - started
        texts = [[one.text for one in some.outputs] for some in came]
        connection.send((seconds, sum(len(one.token_ids) for some in came for one in some.outputs), texts))


def measure(arms: dict[str, Arm], rounds: int) -> dict[str, list[float]]:
    """Tokens/s of each arm in each round. Raises SystemExit where the arms do not do the same work."""
    first, *others = (arm(0.0, 0)[2] for arm in arms.values())  # of each the first pass: not counted
    same = min(sum(a == b for a, b in zip(first, other, strict=True)) / len(first) for other in others)
    print(f"greedy texts that all arms agree on: {same:.1%}", file=sys.stderr)
    if same < SAME_TEXTS:
        sys.exit("the arms' greedy texts differ: not the same work")

    def rate(arm: Arm, turn: int) -> float:
        seconds, tokens, _ = arm(1.0, 10**6 * (turn + 1))
        return tokens / seconds

    return take_turns({name: partial(rate, arm) for name, arm in arms.items()}, rounds)


def work_options(description: str | None) -> argparse.ArgumentParser:
    """A parser of what engines are to do: the model, the questions, the samples of each."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "teacher"))
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--n", type=int, default=4, help="samples of each question")
    parser.add_argument("--new-tokens", type=int, default=200, help="of a sample, at most")
    parser.add_argument("--in-flight", type=int, default=256, help="sequences in an engine at once")
    return parser


def main() -> None:
    parser = work_options(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    connect(4)
    with ExitStack() as up:
        arms = {
            "pool": up.enter_context(pool_arm("pool", engine_config(options), options)),
            "bare": up.enter_context(bare_arm(engine_config(options), options)),
            "worker": up.enter_context(pool_arm("worker", engine_config(options, **WORKER), options)),
        }
        rates = measure(arms, options.rounds)
    name = f"engine pool, {Path(options.model).name}, n = {options.n}, tokens/s"
    rows = [paired_row(f"{name}, beside {t}", rates["pool"], rates[peer], r) for peer, (t, r) in PEERS.items()]
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
