"""One start of `raydistill serve`, a process of its own with a real engine and sandbox, for all tests of the service.

The demo teacher stands in for a student where its weights are there, since it answers; what its folder says of
sampling and of a system prompt is planted.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.message import Message
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import ROOT
from tests.pipelines.views.browser import check_browser, chromium
from tests.processes import below
from tests.tiny import make_opinionated, teach

TEACHER = ROOT / "demo" / "models" / "teacher"
TEACHER_IS_THERE = (TEACHER / "model.safetensors").is_file()
STOP_S = 120


class Service:
    """A running `raydistill serve`, and what it answers."""

    def __init__(self, student: str, port: int, *options: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "raydistill", "serve", student, "--port", str(port), *options]
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment["VLLM_CPU_KVCACHE_SPACE"] = "0.5"  # which vLLM itself does not take
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, process_group=0)
        assert self.process.stdout
        self.printed = ""
        for line in self.process.stdout:
            self.printed += line
            if line.startswith("print(reply"):
                return
        raise RuntimeError(f"the service ended with exit code {self.process.wait()}: {self.printed}")

    def request(self, path: str, body: object = None, key: str = "") -> tuple[int, Any]:
        status, answer, _ = self.ask(path, body, key)
        return status, answer

    def ask(self, path: str, body: object = None, key: str = "") -> tuple[int, Any, Message]:
        """Status, body and headers of the answer."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                text = response.read().decode()
                return response.status, text if text.startswith("data:") else json.loads(text), response.headers
        except urllib.error.HTTPError as error:
            return error.code, json.load(error), error.headers

    def processes(self, *names: str) -> list[psutil.Process]:
        """Those of its processes whose name or command holds one of these."""
        return below(self.process.pid, *names)

    def stop(self) -> list[psutil.Process]:
        """End it as a shell's `kill %1` does, by a signal to all of its group; the processes that are left."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        os.killpg(self.process.pid, signal.SIGTERM)
        assert self.process.wait(STOP_S) == 0
        return psutil.wait_procs(family, timeout=30)[1]


def free_port() -> int:
    """One that nothing listens on, below what kernels and Ray hand out: Ray starts before the service listens."""
    for port in random.sample(range(7000, 10_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no port is free between 7000 and 9999")


@pytest.fixture(scope="package")
def student(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("served") / "student"
    return str(make_opinionated(shutil.copytree(TEACHER if TEACHER_IS_THERE else tiny_model, folder)))


@pytest.fixture(scope="package")
def service(student: str) -> Iterator[Service]:
    started = time.monotonic()
    service = Service(student, free_port())
    print(f"ready after {time.monotonic() - started:.0f} s")
    yield service
    assert service.stop() == []


@pytest.fixture(scope="package")
def client(service: Service) -> Any:
    from openai import OpenAI

    return OpenAI(base_url=f"{service.url}/v1", api_key="none")


WALL_S = 2.0
KNOWN = {  # the first waits without computing, which the wall limit alone ends
    "Hang.": "```python\nimport time\ndef solution():\n    time.sleep(1000)\n```",
    "Spin.": "```python\ndef solution():\n    while True:\n        pass\n```",
    "What is 3 plus 4?": "```python\ndef solution():\n    return 3 + 4\n```",
}


class Guarded(Service):
    """A service with keys, a short queue and a deadline."""

    QUEUE, DEADLINE_S = 32, 15.0
    KEYS = {f"client-{n}": secrets.token_urlsafe(24) for n in range(100)}
    LIMITS = {
        "client-1": {"requests": 20},
        "client-2": {"tokens": 3000},
        "client-3": {"execution_s": 30, "tokens": 1_000_000},
        "client-4": {"n": 2, "max_tokens": 8},
    }

    def __init__(self, student: str, folder: Path) -> None:
        self.file = folder / "keys.yaml"
        self.write(self.KEYS)
        self.log = folder / "log"
        options = ("--keys", str(self.file), "--queue", str(self.QUEUE), "--deadline", str(self.DEADLINE_S))
        super().__init__(student, free_port(), *options, "--request-log", str(self.log))

    def write(self, keys: Mapping[str, str]) -> None:
        entries = {name: {"key": key} | self.LIMITS.get(name, {}) for name, key in keys.items()}
        self.file.write_text(json.dumps({"keys": entries}))

    def answers(self, number: int, body: object, path: str = "/v1/completions") -> tuple[int, Any, Message]:
        """To the client of this number; asked again while the queue is full."""
        while (told := self.ask(path, body, self.KEYS[f"client-{number}"]))[0] == 503:
            time.sleep(0.05)  # a place in the queue is whoever's asks first: nobody is told
        return told


@pytest.fixture(scope="package")
def knowing(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A student that knows three questions by heart; programs have WALL_S."""
    folder = Path(shutil.copytree(tiny_model, tmp_path_factory.mktemp("knowing") / "student"))
    teach(folder, KNOWN)
    noted = {"recipe": {"recipe": "pad"}, "questions": {"task": "gsm8k"}, "execution": {"wall_s": WALL_S}}
    (folder / "raydistill.json").write_text(json.dumps(noted))
    return str(folder)


@pytest.fixture(scope="package")
def guarded(knowing: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    service = Guarded(knowing, tmp_path_factory.mktemp("keys"))
    yield service
    if service.process.poll() is None:
        assert service.stop() == []


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    check_browser()
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver
