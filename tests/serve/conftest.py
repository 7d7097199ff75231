"""One start of `raydistill serve`, a process of its own with a real engine and sandbox, for all tests of the service.

The demo teacher stands in for a student where its weights are there, since it answers; what its folder says of
sampling and of a system prompt is planted.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from tests import ROOT
from tests.tiny import make_opinionated

TEACHER = ROOT / "demo" / "models" / "teacher"
TEACHER_IS_THERE = (TEACHER / "model.safetensors").is_file()
STOP_S = 120


class Service:
    """A running `raydistill serve`, and what it answers."""

    def __init__(self, student: str, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "raydistill", "serve", student, "--port", str(port)]
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment["VLLM_CPU_KVCACHE_SPACE"] = "0.5"  # which vLLM itself does not take
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert self.process.stdout
        self.printed = ""
        for line in self.process.stdout:
            self.printed += line
            if line.startswith("print(reply"):
                return
        raise RuntimeError(f"the service ended with exit code {self.process.wait()}: {self.printed}")

    def request(self, path: str, body: object = None) -> tuple[int, Any]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def stop(self) -> list[psutil.Process]:
        """End it as a service manager would; the processes that are left."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
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
