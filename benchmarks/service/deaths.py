"""What dies under a service while requests are under way: is each of them answered, and is anything left after the end?

    python -m benchmarks.service.deaths                         five rounds of each kind: twenty minutes
    python -m benchmarks.service.deaths proxy store --rounds 1  a look

    core, engine, executor, zygote, controller   every request is answered with 200
    proxy                                        the next request is answered within ten seconds
    store                                        Ray's control store: the command ends, not with 0, within 90 seconds

Half of the requests are completions, half solve a question with three samples; a round kills with -9 at another moment.
A service is ended by a signal after the rounds of its kind, and all of its processes must end. Each kind replaces its
part of `--out` and prints it. Exits 1 unless all of them pass.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from benchmarks import command
from benchmarks.replications.cells import RESULTS, ROOT, provenance
from benchmarks.service.servers import BETWEEN_S, await_answer
from benchmarks.service.serving import Server, running
from benchmarks.synthesis.faults import below
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.tasks import load_questions

MOMENTS_S = (0.2, 0.4, 0.7, 1.0, 1.5)  # after the first requests are sent
BACK_S, END_S, PATIENCE_S = 10.0, 90.0, 300.0
AGENTS_S = 300.0  # Ray's own agents look now and then whether their node is still there
VICTIMS = {  # what the processes are called, one of them each
    "core": ("EngineCore",),
    "engine": ("ServeReplica", "LLMServer"),
    "executor": ("ServeReplica", "executors"),
    "zygote": ("ServeReplica", "executors"),
    "controller": ("ServeController",),
    "proxy": ("ProxyActor",),
    "store": ("gcs_server",),
}

Answer = tuple[int, float]  # status (0: the connection ended) and seconds


def victim(server: Server, kind: str) -> psutil.Process:
    """The process of this kind; a zygote is what an executor has started."""
    found = below(server.process.pid, *VICTIMS[kind])
    return found.children()[0] if kind == "zygote" else found


def ask(server: Server, path: str, body: dict[str, Any]) -> Answer:
    started = time.monotonic()
    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(server.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            answer.read()
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:
        status = 0
    return status, time.monotonic() - started


def bodies(model: str, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Requests with their paths; every second one solves."""
    questions = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=count, seed=77)).questions
    complete = {"model": Path(model).name, "prompt": "def solution():", "max_tokens": 200, "temperature": 1}
    solve = {"n": 3, "temperature": 1, "max_tokens": 200}
    return [
        ("/v1/solve", solve | {"question": question.text}) if number % 2 else ("/v1/completions", complete)
        for number, question in enumerate(questions)
    ]


def kill_under_way(
    server: Server, kind: str, requests: list[tuple[str, dict[str, Any]]], moment: float
) -> list[Answer]:
    """The answers to requests that are sent at once, of whose service something is killed."""
    with ThreadPoolExecutor(len(requests)) as pool:
        asked = [pool.submit(ask, server, *request) for request in requests]
        time.sleep(moment)  # rounds strike at different moments of the requests
        victim(server, kind).kill()
        if kind == "proxy":
            return [back(server, requests[1])]
        return [one.result() for one in asked]


def back(server: Server, request: tuple[str, dict[str, Any]]) -> Answer:
    """Seconds until a request is answered with 200, however often it is sent; RetryError where none is for minutes."""
    started, until = time.monotonic(), stop_after_delay(PATIENCE_S)
    failed = retry_if_result(lambda answer: answer[0] != 200)
    status, _ = Retrying(retry=failed, stop=until, wait=wait_fixed(BETWEEN_S))(ask, server, *request)
    return status, time.monotonic() - started


def left(family: Iterable[psutil.Process]) -> list[str]:
    """Those that do not end."""
    return [str(process) for process in psutil.wait_procs(list(family), timeout=AGENTS_S)[1]]


def play(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """The rounds of a kind, over one service, or one each where it ends of that."""
    told: list[list[Answer]] = []
    ends: list[float] = []
    family: set[psutil.Process] = set()
    requests = bodies(options.model, options.requests)
    while len(told) + len(ends) < options.rounds:
        with running("ours", options.model, ROOT) as server:
            ask(server, *requests[1])  # the first one starts what is started late
            family.update(server.process_tree().children(recursive=True))
            while kind != "store" and len(told) < options.rounds:
                told.append(kill_under_way(server, kind, requests, MOMENTS_S[len(told) % len(MOMENTS_S)]))
                await_answer(f"{server.url}/healthz", server.process, PATIENCE_S)
                statuses, seconds = zip(*told[-1], strict=True)
                print(f"{kind}: {dict(Counter(statuses))}, the slowest after {max(seconds):.1f} s", file=sys.stderr)
            family.update(server.process_tree().children(recursive=True))
            if kind == "store":
                ends.append(end_of_store(server, requests))
                print(kind, f"ended after {ends[-1]:.1f} s", file=sys.stderr)
    return row(kind, told, ends, left(family))


def end_of_store(server: Server, requests: list[tuple[str, dict[str, Any]]]) -> float:
    """Seconds until the command ends by itself, with another code than 0. Raises RuntimeError where it does not."""
    with ThreadPoolExecutor(len(requests)) as pool:
        for request in requests:
            pool.submit(ask, server, *request)
        victim(server, "store").kill()
        started = time.monotonic()
        if server.process.wait(PATIENCE_S) == 0:
            raise RuntimeError("store: the command ended with 0")
        return time.monotonic() - started


def row(kind: str, told: list[list[Answer]], ends: list[float], remaining: list[str]) -> dict[str, Any]:
    answers = [answer for one in told for answer in one]
    statuses = Counter(str(status) for status, _ in answers)
    slowest, bound = max([*ends, *(seconds for _, seconds in answers)]), {"proxy": BACK_S, "store": END_S}.get(kind)
    passed = set(statuses) <= {"200"} and not remaining and (bound is None or slowest <= bound)
    counts = {"rounds": len(told) + len(ends), "answers": dict(statuses), "slowest_s": round(slowest, 1)}
    return counts | {"left": remaining, "passed": passed, "command": command(), **provenance()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(VICTIMS)}; all, if none is named")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=50, help="under way in each round")
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "teacher"))
    parser.add_argument("--out", type=Path, default=RESULTS / "deaths.json")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(VICTIMS):
        parser.error(f"no kind {', '.join(sorted(unknown))}; expected some of {', '.join(VICTIMS)}")
    rows = json.loads(options.out.read_text()) if options.out.exists() else {}
    for kind in options.kinds or VICTIMS:
        rows[kind] = play(kind, options)
        write_atomic(str(options.out), (json.dumps(rows, indent=2) + "\n").encode())
        print(json.dumps({kind: rows[kind]}))
    sys.exit(not all(rows[kind]["passed"] for kind in options.kinds or VICTIMS))


if __name__ == "__main__":
    main()
