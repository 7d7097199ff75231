"""A real HTTP server that answers like OpenAI's API, meets chosen requests with faults, and counts its tokens."""

from __future__ import annotations

import asyncio
import json
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiohttp import web

WORDS = "apples pears nine add the sum of then we take away twice as many so there are left".split()  # noqa: SIM905
CHARACTERS_PER_TOKEN = 3.1  # of this server's own tokens
RETRY_AFTER_S = 1
FAULTS = ("429", "429 with Retry-After", "500", "hang", "cut", "wrong JSON", "no choices", "no usage", "slow")
PAID_AND_LOST = ("hang", "cut", "wrong JSON")

Fault = Callable[[str], str]
Refusal = Callable[[Mapping[str, Any]], tuple[int, Any] | None]


def tokens(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def text_of(asked: str, seed: int) -> str:
    """What this server's model says to a question with a seed."""
    source = random.Random(f"{asked}/{seed}")
    return " ".join(source.choices(WORDS, k=source.randint(25, 40)))


@dataclass(slots=True)
class Received:
    """A request that came, and what became of it."""

    asked: str
    body: dict[str, Any]
    headers: Mapping[str, str]
    fault: str
    time: float = field(default_factory=time.monotonic)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    whole: bool = False


class Endpoint:
    """Runs on loopback in a thread of its own: ``with Endpoint() as server: ... server.url``.

    `fault` names the fault that the first request with a question meets, "" for none. `refuse` gives status and body
    of a refusal. `choices` is how many samples it gives at most, `answer` makes a whole answer of the usual one.
    """

    def __init__(
        self,
        fault: Fault = lambda asked: "",
        *,
        refuse: Refusal = lambda body: None,
        choices: int = 1000,
        answer: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]] = lambda body, reply: reply,
        models: Sequence[str] | None = ("model",),
        say: Callable[[str, int], str] = text_of,
    ) -> None:
        self.received: list[Received] = []
        self.under_way = self.most_under_way = 0
        self._fault, self._refuse, self._choices, self._answer = fault, refuse, choices, answer
        self._models, self._say = models, say
        self._met: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Endpoint:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_post("/v1/chat/completions", self._complete)
        application.router.add_post("/v1/completions", self._complete)
        if self._models is not None:
            application.router.add_get("/v1/models", self._list)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name} for name in self._models or ()]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._respond(request, await request.json())
        finally:
            self.under_way -= 1

    async def _respond(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        asked = body["messages"][-1]["content"] if "messages" in body else str(body["prompt"])
        fault = "" if asked in self._met else self._fault(asked)
        self._met.add(asked)
        came = Received(asked, body, request.headers, fault)
        self.received.append(came)
        await asyncio.sleep(0.01)
        if refused := self._refuse(body):
            came.fault = "refused"
            return web.json_response(refused[1], status=refused[0])
        if fault.startswith("429") or fault == "500":
            headers = {"Retry-After": str(RETRY_AFTER_S)} if "Retry-After" in fault else {}
            status = 500 if fault == "500" else 429
            return web.json_response({"error": {"message": "not now"}}, status=status, headers=headers)
        reply = self._reply(asked, body, came)
        if fault == "slow":
            await asyncio.sleep(1)
        if fault == "hang":
            await asyncio.sleep(3600)
        if fault == "no choices":
            reply["choices"] = []
        if fault == "no usage":
            del reply["usage"]
        if fault == "wrong JSON":
            return web.Response(text=json.dumps(reply)[:40], content_type="application/json")
        if fault == "cut":
            return await self._cut(request, json.dumps(reply).encode())
        came.whole = fault != "no choices"
        return web.json_response(self._answer(body, reply))

    async def _cut(self, request: web.Request, content: bytes) -> web.StreamResponse:
        """Promise all of the content, and go away in its middle."""
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        assert request.transport is not None
        request.transport.close()
        return response

    def _reply(self, asked: str, body: dict[str, Any], came: Received) -> dict[str, Any]:
        count = min(body.get("n", 1), self._choices)
        texts = [self._say(asked, body.get("seed", 0) + i) for i in range(count)]
        came.prompt_tokens = tokens(asked) + 5
        came.completion_tokens = sum(map(tokens, texts))
        chat = "messages" in body
        choices = [
            {
                "index": i,
                "finish_reason": "stop",
                **({"message": {"role": "assistant", "content": text}} if chat else {"text": text}),
            }
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": came.prompt_tokens, "completion_tokens": came.completion_tokens}
        return {"choices": choices, "usage": usage}
