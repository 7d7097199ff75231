"""What dies under requests: no answer is lost that can still be given, and nothing is left of what has ended.

Last in line, since each of these restarts a part of the service (`conftest.py`).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.processes import described
from tests.serve.admission.test_guarded import engine_load, exchange
from tests.serve.conftest import Guarded, Service
from tests.serve.solving.test_solving import SEVEN
from tests.waiting import wait_until

UNDER_WAY = 24  # below the queue's length
CHAT = {"prompt": "def solution():", "max_tokens": 200, "ignore_eos": True}
KEY = "client-30"


def asked(service: Guarded, body: dict[str, Any], path: str) -> tuple[int, Any]:
    return service.request(path, body, service.KEYS[KEY])


def under_way(service: Guarded, pool: ThreadPoolExecutor) -> list[Future[tuple[int, Any]]]:
    """Requests of both kinds that have begun."""
    kinds = [(CHAT, "/v1/completions"), (SEVEN | {"n": 3}, "/v1/solve")]
    futures = [pool.submit(asked, service, *kinds[number % 2]) for number in range(UNDER_WAY)]
    await_work(service)
    return futures


def await_work(service: Guarded) -> None:
    wait_until(lambda: engine_load(service, 0.1) > 0.5, 10, "the engine to work")


def kill(processes: list[psutil.Process]) -> None:
    assert processes
    for process in processes:
        process.kill()


def replicas(service: Service, name: str) -> list[psutil.Process]:
    return [p for p in service.processes("ServeReplica") if name in described(p)]


VICTIMS: dict[str, Callable[[Service], list[psutil.Process]]] = {
    "engine core": lambda service: service.processes("EngineCore"),
    "engine": lambda service: replicas(service, "LLMServer"),
    "executor": lambda service: replicas(service, "executors"),
    "zygote": lambda service: [p for p in service.processes("actors/sandbox") if p.children()][:1],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VICTIMS)
def test_a_death_loses_no_answer(guarded: Guarded, name: str) -> None:
    with ThreadPoolExecutor(UNDER_WAY) as pool:
        futures = under_way(guarded, pool)
        kill(VICTIMS[name](guarded))
        killed = time.monotonic()
        told = [future.result() for future in futures]
    print(Counter(status for status, _ in told), f"{time.monotonic() - killed:.1f} s")
    late = [problem for status, problem in told if status != 200]
    assert all(problem["error"]["code"] == "deadline_exceeded" for problem in late), late
    wait_until(lambda: guarded.request("/healthz")[0] == 200, 60, "the service to be healthy")
    print(f"healthy after {time.monotonic() - killed:.1f} s")
    assert asked(guarded, SEVEN, "/v1/solve")[1]["answer"] == "7"


@pytest.mark.slow
def test_a_stream_whose_engine_dies_ends_with_an_error(guarded: Guarded) -> None:
    body = json.dumps(CHAT | {"n": 8, "temperature": 1, "max_tokens": 400, "stream": True})
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(exchange, guarded, "/v1/completions", body, KEY)
        await_work(guarded)
        kill(guarded.processes("EngineCore"))
        text = stream.result()
    wait_until(lambda: guarded.request("/healthz")[0] == 200, 60, "the service to be healthy")
    last = text.strip().splitlines()[-1] if "[DONE]" not in text else ""
    assert "model_unavailable" in last or "[DONE]" in text


def is_stopping(service: Guarded) -> bool:
    status, problem = asked(service, SEVEN, "/v1/solve")
    return status == 503 and problem["error"]["code"] == "stopping"


@pytest.mark.slow
def test_stopping_lets_what_is_under_way_end(guarded: Guarded) -> None:
    """Ends the service: nothing may follow."""
    family = psutil.Process(guarded.process.pid).children(recursive=True)
    body = CHAT | {"n": 32, "max_tokens": 400, "temperature": 1}
    with ThreadPoolExecutor(3) as pool:
        long = [pool.submit(asked, guarded, body, "/v1/completions") for _ in range(3)]
        await_work(guarded)
        guarded.process.send_signal(signal.SIGTERM)
        assert guarded.process.stdout
        assert any(line.startswith("stopping") for line in guarded.process.stdout)  # the signal was heard
        wait_until(lambda: is_stopping(guarded), 10, "new requests to be refused")
        assert not all(future.done() for future in long)
        assert {future.result()[0] for future in long} == {200}
    assert guarded.process.wait(120) == 0
    assert psutil.wait_procs(family, timeout=30)[1] == []


def test_an_engine_core_ends_with_its_parent() -> None:
    child = "from raydistill.actors.engine.in_process import end_with_parent; import signal; end_with_parent(); "
    child += "print(1, flush=True); signal.pause()"
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid); "
    parent += "sys.stdout.flush(); p.wait()"
    started = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert started.stdout
    pid = int(started.stdout.readline())
    assert started.stdout.readline() == "1\n"
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie", 5, "the child's end")
