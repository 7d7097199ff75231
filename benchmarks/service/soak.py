"""Hours under load: is the service's memory flat, and does every request get its answer?

    python -m benchmarks.service.soak                        an hour at 8 clients
    python -m benchmarks.service.soak --minutes 2            a look

Chats of the demo's teacher and `/v1/solve` take turns. Memory is that of all processes of the service, what they share
counted once; its mean in the last tenth of the time is put beside that in the second, when what comes late is loaded.
Prints a JSON line, a row for `docs/results/performance.json`, and exits with 1 where a request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import Any

import aiohttp
import psutil

from benchmarks import command
from benchmarks.replications.cells import ROOT, provenance
from benchmarks.service.serving import Server, chats, running
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.tasks import load_questions

REACH = 1.03
LOOKS, MINUTE = 100, 60.0  # looks at the memory, evenly over the time


def megabytes(server: Server) -> float:
    """Of all its processes, each page of memory counted once."""
    total = 0
    for process in [server.process_tree(), *server.process_tree().children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def bodies(model: str, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests without end, with their paths; every second one solves."""
    questions = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=count, seed=77)).questions
    solves = [{"question": question.text, "n": 3, "max_tokens": 200} for question in questions]
    for chat, solve in cycle(zip(chats(model, count), solves, strict=True)):
        yield "/v1/chat/completions", chat
        yield "/v1/solve", solve


async def soak(server: Server, model: str, clients: int, seconds: float) -> tuple[list[float], Counter[int]]:
    """The service's memory at each look, and how many requests ended with which status; 0 is none at all."""
    asked, statuses, looks = bodies(model, 200), Counter[int](), list[float]()
    started = time.monotonic()

    async def client(session: aiohttp.ClientSession) -> None:
        while time.monotonic() < started + seconds:
            path, body = next(asked)
            try:
                async with session.post(server.url + path, json=body) as answer:
                    await answer.read()
                    statuses[answer.status] += 1
            except aiohttp.ClientError:
                statuses[0] += 1

    async def look() -> None:
        for turn in range(LOOKS):
            await asyncio.sleep(max(0.0, started + turn * seconds / LOOKS - time.monotonic()))
            looks.append(await asyncio.to_thread(megabytes, server))
            if turn % 10 == 0:
                print(f"{time.monotonic() - started:.0f} s: {looks[-1]:,.0f} MB, {dict(statuses)}", file=sys.stderr)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600)) as session:
        await asyncio.gather(look(), *(client(session) for _ in range(clients)))
    return looks, statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "teacher"))
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    with running("ours", options.model, ROOT) as server:
        looks, statuses = asyncio.run(soak(server, options.model, options.clients, options.minutes * MINUTE))
    tenth = len(looks) // 10
    ours, other = fmean(looks[-tenth:]), fmean(looks[tenth : 2 * tenth])
    failed = sum(count for status, count in statuses.items() if status != 200)
    row = {
        "name": f"service of {Path(options.model).name}, MB after {options.minutes:g} minutes at {options.clients} "
        "clients, beside those after a tenth of them",
        "ours": round(ours),
        "other": round(other),
        "ratio": round(ours / other, 3),
        "reach": REACH,
        "holds": ours / other <= REACH and not failed,
        "n": sum(statuses.values()),
        "spread": None,
        "at_most": True,
        **provenance(),
        "command": command(),
    }
    print(json.dumps([row]))
    if failed:
        sys.exit(f"{failed} of {sum(statuses.values())} requests failed: {dict(statuses)}")


if __name__ == "__main__":
    main()
