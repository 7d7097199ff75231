"""The served student beside a bare vLLM server with the same flags, in turns, at several numbers of clients.

    python -m benchmarks.service.serving                             ten minutes; leave the machine alone meanwhile
    python -m benchmarks.service.serving --before CHECKOUT           an earlier service, too

Chats of the demo's teacher, or of `--model`, temperature 1; all servers run all the time, each is asked alone. Prints a
JSON line, rows for `docs/results/performance.json`. Processor time is that of all of a server's processes, Ray's
included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks import command
from benchmarks.paired import paired_row
from benchmarks.replications.cells import ROOT, provenance
from benchmarks.service.servers import await_answer
from raydistill.actors.engine.engine import LONE_CPU_ARGUMENTS
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.registry import default_recipe, make_recipe
from raydistill.pipelines.tasks import load_questions

PORTS = {"ours": 8101, "before": 8102, "vllm": 8103}
SEQUENCES, CONTEXT_TOKENS, ANSWER_TOKENS = 64, 1024, 200
START_S, REST_S, STOP_S = 300, 5, 120
WARM_UP = 16  # requests
IDLE_REACH = 0.03  # of a core
REACH = {"tokens_per_s": 0.95, "p99_s": 1.1, "processor_s": 1.2}
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_KVCACHE_SPACE": "1"}


@dataclass(frozen=True)
class Told:
    """What one server made of one round."""

    tokens_per_s: float
    p99_s: float
    processor_s: float  # of all its processes, per request


class Server:
    """A running server, ours or vLLM's."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        self.name, self.url = name, f"http://127.0.0.1:{PORTS[name]}"
        environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(folder), "VLLM_LOGGING_LEVEL": "ERROR"}
        self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)

    def processor_s(self) -> float:
        family = [self.process_tree(), *self.process_tree().children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in family if process.is_running())

    def process_tree(self) -> psutil.Process:
        return psutil.Process(self.process.pid)


@contextmanager
def running(name: str, model: str, folder: Path) -> Iterator[Server]:
    """The server until the end."""
    port = str(PORTS[name])
    served = [sys.executable, "-m", "raydistill", "serve", model, "--port", port]
    bare = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", port]  # vllm serve
    bare += ["--host", "127.0.0.1"]
    bare += ["--dtype", "float32", "--max-num-seqs", str(SEQUENCES), "--enforce-eager", "--no-enable-chunked-prefill"]
    bare += ["--generation-config", "vllm", "--distributed-executor-backend", *LONE_CPU_ARGUMENTS.values()]
    bare += ["--served-model-name", Path(model).name, "--disable-uvicorn-access-log"]
    server = Server(name, bare if name == "vllm" else served, folder)
    try:
        await_answer(f"{server.url}/v1/models", server.process, START_S)
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(STOP_S)


async def ask(server: Server, bodies: list[dict[str, Any]], clients: int) -> Told:
    """The bodies, asked by so many clients at once."""
    waiting, latencies, tokens = iter(bodies), list[float](), 0

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal tokens
        for body in waiting:
            started = time.monotonic()
            async with session.post(f"{server.url}/v1/chat/completions", json=body) as answer:
                told = await answer.json()
            latencies.append(time.monotonic() - started)
            tokens += told["usage"]["completion_tokens"]

    connector = aiohttp.TCPConnector(limit=clients)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(600)) as session:
        before, started = server.processor_s(), time.monotonic()
        await asyncio.gather(*(client(session) for _ in range(clients)))
        seconds = time.monotonic() - started
    p99 = sorted(latencies)[int(0.99 * (len(latencies) - 1))]
    return Told(tokens / seconds, p99, (server.processor_s() - before) / len(bodies))


def chats(model: str, count: int) -> list[dict[str, Any]]:
    student = make_recipe(default_recipe()).student
    questions = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=count, seed=77)).questions
    turns = [list(student.prompts(Question("", question.text, ""))[0].messages) for question in questions]
    shared = {"model": Path(model).name, "max_tokens": ANSWER_TOKENS, "temperature": 1}
    return [shared | {"messages": messages, "seed": seed} for seed, messages in enumerate(turns)]


def idle_cores(server: Server, seconds: float) -> float:
    time.sleep(REST_S)  # what its start and the last requests still cost is over then
    before = server.processor_s()
    time.sleep(seconds)  # the time that is measured
    return (server.processor_s() - before) / seconds


def rows(model: str, told: dict[tuple[str, int], list[Told]], idle: dict[str, float]) -> list[dict[str, Any]]:
    known = {"n": 1, "spread": None, "at_most": True, **provenance(), "command": command()}
    found = []
    for name, clients in [key for key in told if key[0] != "vllm"]:
        for field, reach in REACH.items():
            pairs = zip(told[name, clients], told["vllm", clients], strict=True)
            mine, other = zip(*((getattr(ours, field), getattr(bare, field)) for ours, bare in pairs), strict=True)
            title = f"service of {model} ({name}), {clients} clients, {field}, beside a bare vLLM server"
            found.append(paired_row(title, mine, other, reach, at_most=field != "tokens_per_s"))
    for name, cores in idle.items():
        told_idle = {"ours": round(cores, 4), "other": None, "ratio": None, "reach": IDLE_REACH}
        found.append({"name": f"idle cores ({name})", **told_idle, "holds": cores < IDLE_REACH} | known)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "teacher"))
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--requests", type=int, default=12, help="of each client in a round, at most 480 in all")
    parser.add_argument("--tokens", type=int, default=ANSWER_TOKENS, help="of an answer, at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle-s", type=float, default=30)
    parser.add_argument("--before", type=Path, help="folder of an earlier checkout")
    options = parser.parse_args()
    folders = {"ours": ROOT} | ({"before": options.before} if options.before else {}) | {"vllm": ROOT}
    bodies = [body | {"max_tokens": options.tokens} for body in chats(options.model, 480)]
    told: dict[tuple[str, int], list[Told]] = {}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(running(name, options.model, folder)) for name, folder in folders.items()}
        for server in servers.values():
            asyncio.run(ask(server, bodies[:WARM_UP], WARM_UP))
        for clients in options.clients:
            for turn in range(options.rounds):
                order = [*servers][turn % len(servers) :] + [*servers][: turn % len(servers)]
                for name in order:
                    some = bodies[: min(len(bodies), clients * options.requests)]
                    told.setdefault((name, clients), []).append(asyncio.run(ask(servers[name], some, clients)))
                    print(f"round {turn + 1}, {clients} clients: {name} {told[name, clients][-1]}", file=sys.stderr)
        idle = {name: idle_cores(server, options.idle_s) for name, server in servers.items()}
    print(json.dumps(rows(Path(options.model).name, told, idle)))


if __name__ == "__main__":
    main()
