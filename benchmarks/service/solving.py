"""Solved questions a second beside what they are made of: a bare vLLM server's completions, and the sandbox alone.

    python -m benchmarks.service.solving                      five minutes; leave the machine alone meanwhile

`POST /v1/solve` with n samples of the demo's teacher, or of `--model`, at temperature 0.7, by several clients at once,
in turns with the same samples from a bare server with the same flags, whose programs a `Sandbox` then runs, all at
once. The second arm's time is the sum of both; nobody there reads answers, counts votes or stops when they are decided.
Prints a JSON line, a row for `docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp

import raydistill
from benchmarks.paired import paired_row
from benchmarks.replications.cells import ROOT
from benchmarks.service.serving import ANSWER_TOKENS, Server, chats, running
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.extract import extract_program
from raydistill.serve.schema import VOTING_TEMPERATURE

REACH = 0.9
SOLVE, CHAT = "/v1/solve", "/v1/chat/completions"


async def ask(server: Server, path: str, bodies: list[dict[str, Any]], clients: int) -> list[dict[str, Any]]:
    """The answers to the bodies, asked by so many clients at once."""
    waiting, answers = iter(bodies), list[dict[str, Any]]()

    async def client(session: aiohttp.ClientSession) -> None:
        for body in waiting:
            async with session.post(server.url + path, json=body) as answer:
                answer.raise_for_status()
                answers.append(await answer.json())

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(600)) as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return answers


def solved(server: Server, bodies: list[dict[str, Any]], clients: int) -> float:
    """Questions a second of the service; all of them are to have an answer or an honest failure."""
    started = time.monotonic()
    answers = asyncio.run(ask(server, SOLVE, bodies, clients))
    seconds = time.monotonic() - started
    right = sum(answer["status"] == "passed" for answer in answers)
    print(f"service: {len(bodies) / seconds:.1f} solves/s, {right} of {len(answers)} with an answer", file=sys.stderr)
    return len(bodies) / seconds


def parts(server: Server, box: raydistill.Sandbox, bodies: list[dict[str, Any]], clients: int) -> float:
    """Questions a second of their completions and then their programs."""
    started = time.monotonic()
    answers = asyncio.run(ask(server, CHAT, bodies, clients))
    written = time.monotonic()
    texts = [choice["message"]["content"] for answer in answers for choice in answer["choices"]]
    box.run([program for text in texts if (program := extract_program(text))])
    ended = time.monotonic()
    told = f"{written - started:.1f} s of completions, {ended - written:.1f} s of {len(texts)} programs"
    print(f"parts: {len(bodies) / (ended - started):.1f} solves/s, {told}", file=sys.stderr)
    return len(bodies) / (ended - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "teacher"))
    parser.add_argument("--questions", type=int, default=160, help="of a round")
    parser.add_argument("--n", type=int, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    shared = {"n": options.n, "temperature": VOTING_TEMPERATURE, "max_tokens": ANSWER_TOKENS}
    questions = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=options.questions, seed=77)).questions
    solves = [{"question": question.text, "seed": seed, **shared} for seed, question in enumerate(questions)]
    completions = [body | shared for body in chats(options.model, options.questions)]
    ours, other = list[float](), list[float]()
    with ExitStack() as stack:
        box = stack.enter_context(raydistill.Sandbox())
        service, bare = (stack.enter_context(running(name, options.model, ROOT)) for name in ("ours", "vllm"))
        warm = 2 * options.clients
        solved(service, solves[:warm], options.clients)
        parts(bare, box, completions[:warm], options.clients)
        for turn in range(options.rounds):
            for is_ours in (True, False) if turn % 2 == 0 else (False, True):
                if is_ours:
                    ours.append(solved(service, solves, options.clients))
                else:
                    other.append(parts(bare, box, completions, options.clients))
    asked = f"/v1/solve of {Path(options.model).name}, n = {options.n}, solves/s"
    name = f"{asked}, beside the completions of a bare vLLM server and the sandbox alone"
    print(json.dumps([paired_row(name, ours, other, REACH)]))


if __name__ == "__main__":
    main()
