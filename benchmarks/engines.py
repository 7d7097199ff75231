"""Engines without a GPU, one thread each and one for each core: the pool's, against vLLM's own executor for CPUs.

    python -m benchmarks.engines                three minutes on a quiet machine
    python -m benchmarks.engines --samples 500  a look

By default vLLM's engine core has a worker process on a CPU, too, and waits for it in a loop; the pool's engine
computes in the core itself (`actors/engine/engine.py`). A pool of either attempts the same questions
(demo/models/critic, temperature 1). Prints one line of JSON: tokens per second of wall time and per second of processor
time of the engines' processes, ours over vLLM's, which all texts must be the same for; exits 1 where ours generates no
more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import psutil

from benchmarks import command
from benchmarks.replications.cells import ROOT, provenance
from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.pipelines.config.sections import EngineConfig, Questions
from raydistill.pipelines.runtime.pools import connect, engine_pool
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.stepwise.prompts import attempt_prompt

EXECUTORS: dict[str, dict[str, Any]] = {"ours": {}, "vllm": {"distributed_executor_backend": "mp"}}
IN_FLIGHT = 256  # sequences per engine


def prompts(samples: int) -> list[Request]:
    """Attempts at multistep arithmetic, as TriPosT's students make them."""
    questions = Questions(task="stepwise:multistep_arithmetic", size=samples, options={"levels": "seen"})
    sampling = Sampling(max_tokens=400)
    return [
        Request(question.id, [{"role": "user", "content": attempt_prompt(question.text)}], sampling, seed=1000 * number)
        for number, question in enumerate(load_questions(questions).questions)
    ]


def busy(processes: Sequence[psutil.Process]) -> float:
    """Seconds of processor time that they have had."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def measure(executor: str, engines: int, requests: list[Request]) -> tuple[dict[str, float], list[str]]:
    """What a pool with this executor makes of the requests, started and asked once before; and its texts."""
    config = EngineConfig(
        model=str(ROOT / "demo" / "models" / "critic"),
        dtype="float32",
        max_model_len=1024,
        kv_cache_gb=1,
        max_num_seqs=IN_FLIGHT,
        replicas=(engines, engines),
        options=EXECUTORS[executor],
    )
    pool = engine_pool(f"benchmark-{executor}", config, ledger="")
    pool.start()

    async def answer(some: Sequence[Request]) -> list[list[Completion]]:
        return await asyncio.gather(*(pool.client.call("generate", [request]) for request in some))

    try:
        asyncio.run(answer(requests[:: max(1, len(requests) // 50)]))
        below = psutil.Process().children(recursive=True)
        processes = [process for process in below if "VLLM::" in " ".join(process.cmdline())]
        started, before = time.monotonic(), busy(processes)
        answers = asyncio.run(answer(requests))
        seconds, processor = time.monotonic() - started, busy(processes) - before
    finally:
        pool.release()
    tokens = sum(completion.completion_tokens for [completion] in answers)
    rates = {"tokens_per_s": tokens / seconds, "tokens_per_processor_s": tokens / processor}
    return rates, [completion.text for [completion] in answers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1200)
    parser.add_argument("--engines", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    connect(options.engines + 2)
    requests, rates, texts = prompts(options.samples), {}, {}
    for executor in EXECUTORS:
        rates[executor], texts[executor] = measure(executor, options.engines, requests)
    ratios = {name: rates["ours"][name] / rates["vllm"][name] for name in rates["ours"]}
    result: dict[str, Any] = {
        "benchmark": "engines",
        "engines": options.engines,
        "samples": options.samples,
        "same_texts": texts["ours"] == texts["vllm"],
        "ratio": {name: round(value, 3) for name, value in ratios.items()},
        **{executor: {name: round(value, 1) for name, value in told.items()} for executor, told in rates.items()},
        "command": command(),
        **provenance(),
    }
    print(json.dumps(result))
    sys.exit(not result["same_texts"] or ratios["tokens_per_s"] <= 1)


if __name__ == "__main__":
    main()
