"""What it costs to score given tokens, beside a plain forward pass over the same rows, and beside generating as many.

    python -m benchmarks.scoring                 some minutes; leave the machine alone meanwhile
    python -m benchmarks.scoring --questions 8   a look

A pool of one engine writes answers to demo questions; these rows are then scored by it, as on-policy distillation does
(exact ids in, prompt log-probabilities out), and by transformers: batches of rows of similar length, logits at scored
places alone. Both have one thread, and take turns, each first in every other round. Each round generates anew, too.
Prints one JSON line: rows for `docs/results/performance.json`, in seconds for 1,000 scored (or generated) tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.paired import paired_row
from benchmarks.replications.cells import ROOT
from raydistill.actors.engine.requests import Completion, Request, Sampling, ScoreRequest
from raydistill.actors.pool import PoolClient
from raydistill.pipelines.config.sections import EngineConfig, Questions
from raydistill.pipelines.data.records import TokenIds
from raydistill.pipelines.prompts import render
from raydistill.pipelines.runtime.pools import connect, engine_pool
from raydistill.pipelines.scoring.preflight import gap
from raydistill.pipelines.scoring.rows import CALLS_PER_ENGINE, ROWS_PER_CALL
from raydistill.pipelines.tasks import load_questions

REACH = 1.15  # of a plain forward pass
ALIKE = 0.01  # nats by which both may differ on average
LogProbs = list[Sequence[float]]


def generate(client: PoolClient, options: argparse.Namespace, turn: int) -> list[TokenIds]:
    """Samples of demo questions, as the engine has their tokens."""
    questions = Questions(task="reasoning_gym:gsm_symbolic", size=options.questions, seed=options.seed)
    sampling = Sampling(max_tokens=options.new_tokens, logprobs=0)
    asked = [
        Request(one.id, render("instruct", "program", one.text), sampling, tuple(range(4)), seed=1000 * turn)
        for one in load_questions(questions).questions
    ]

    async def answers() -> list[list[Completion]]:
        return await asyncio.gather(*(client.call("generate", [request]) for request in asked))

    drawn = [one for some in asyncio.run(answers()) for one in some]
    return [TokenIds(tuple(one.prompt_ids), tuple(one.token_ids)) for one in drawn if one.token_ids]


def score(client: PoolClient, rows: Sequence[TokenIds]) -> LogProbs:
    """The engine's log-probability of each token, asked for in calls as `score_rows` makes them."""
    requests = [ScoreRequest(str(place), row.prompt, row.completion) for place, row in enumerate(rows)]
    free = asyncio.Semaphore(CALLS_PER_ENGINE)

    async def call(some: Sequence[ScoreRequest]) -> list[Any]:
        async with free:
            return list(await client.call("score", list(some)))

    async def answers() -> list[list[Any]]:
        parts = range(0, len(requests), ROWS_PER_CALL)
        return await asyncio.gather(*(call(requests[start : start + ROWS_PER_CALL]) for start in parts))

    return [one.logprobs for some in asyncio.run(answers()) for one in some]


def forward(model: Any, rows: Sequence[TokenIds]) -> LogProbs:
    """The same by transformers: rows of similar length together, logits where they are wanted."""
    import torch

    found: LogProbs = [()] * len(rows)
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].prompt) + len(rows[place].completion))
    for start in range(0, len(order), ROWS_PER_CALL):
        places = order[start : start + ROWS_PER_CALL]
        ids = [torch.tensor([*rows[place].prompt, *rows[place].completion]) for place in places]
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(one) for one in ids], batch_first=True)
        with torch.inference_mode():
            hidden = model.model(input_ids=padded, attention_mask=mask).last_hidden_state
            for row, place in zip(hidden, places, strict=True):
                prompt, completion = rows[place].prompt, torch.tensor(rows[place].completion)
                logits = model.lm_head(row[len(prompt) - 1 : len(prompt) - 1 + len(completion)]).float()
                found[place] = logits.log_softmax(-1).gather(1, completion[:, None])[:, 0].tolist()
    return found


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done


def take_turns(client: PoolClient, model: Any, options: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds for 1,000 tokens of each arm in each round. Raises SystemExit where the arms say different things."""
    rows = generate(client, options, 0)
    tokens = sum(len(row.completion) for row in rows)
    arms: dict[str, Callable[[], LogProbs]] = {
        "scored": lambda: score(client, rows),
        "forward": lambda: forward(model, rows),
    }
    said = {name: arm() for name, arm in arms.items()}  # the first of each is not counted
    if (apart := gap(*said.values())).mean > ALIKE:
        sys.exit(f"engine and forward pass differ by {apart.mean:.3g} nats a token: not the same work")
    costs: dict[str, list[float]] = {name: [] for name in (*arms, "generated")}
    for turn in range(options.rounds):
        for name in [*arms][:: -1 if turn % 2 else 1]:
            costs[name].append(1000 * timed(arms[name])[0] / tokens)
        seconds, drawn = timed(partial(generate, client, options, turn + 1))
        costs["generated"].append(1000 * seconds / sum(len(row.completion) for row in drawn))
        print(f"round {turn + 1}: " + ", ".join(f"{n} {c[-1]:.3f} s" for n, c in costs.items()), file=sys.stderr)
    return costs


def rows_of(options: argparse.Namespace, costs: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Those of `docs/results/performance.json`."""
    peers = (("forward", "a plain forward pass", REACH), ("generated", "generating as many", 1.0))
    name = f"scoring tokens by {Path(options.model).name}"
    return [
        paired_row(f"{name}, beside {title}", costs["scored"], costs[peer], reach, at_most=True)
        for peer, title, reach in peers
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "teacher"))
    parser.add_argument("--questions", type=int, default=100, help="four rows are made of each")
    parser.add_argument("--new-tokens", type=int, default=100, help="of a row, at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=70_000)
    options = parser.parse_args()

    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    config = EngineConfig(model=options.model, dtype="float32", kv_cache_gb=1)
    connect(2)
    pool = engine_pool("benchmark-scoring", config, ledger="")
    pool.start()
    try:
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
        costs = take_turns(pool.client, model, options)
    finally:
        pool.release()
    print(json.dumps(rows_of(options, costs)))


if __name__ == "__main__":
    main()
