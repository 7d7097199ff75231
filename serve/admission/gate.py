"""The gate of an ingress replica: which key asks, is there room, until when; and in the end what was used.

authorization --identify--> Key --admit--> Grant [reserved, a place in the queue] --close--> settled, place free
    '--> 401                  '--> 400 too much, 429 wait, 503 full
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from raydistill.actors.errors import EngineError
from raydistill.serve.admission.keys import Key, find_key
from raydistill.serve.admission.windows import Amounts, Wait
from raydistill.serve.problems import LATE, Refused
from raydistill.serve.records.record import current

MOST_UNDER_WAY = 256  # in an ingress replica, running or waiting for the engines
DEADLINE_S = 300.0
FRESH_S = 1.0  # how long keys count that were read
FULL_WAIT_S = 1
STOPPING_WAIT_S = 10
UNITS = {"requests": "requests", "tokens": "tokens", "execution_s": "seconds of execution"}
LOWER = "lower n or max_tokens"


@dataclass(frozen=True, slots=True)
class Rules:
    """What `raydistill serve` says of who may ask; without `keys_file` and `keys` everybody may."""

    keys_file: str | None = None
    keys: tuple[Key, ...] = ()
    node_labels: Mapping[str, str] | None = None  # of the nodes that have the file
    most_under_way: int = MOST_UNDER_WAY
    deadline_s: float = DEADLINE_S
    admin: Key | None = None  # of whoever may change which students are served; without it nobody may

    @property
    def are_open(self) -> bool:
        return not (self.keys_file or self.keys)


class Gate:
    """Admits requests; `counter` is the handle of the `Counter`, None where everybody may ask."""

    def __init__(self, rules: Rules, counter: Any = None) -> None:
        self.rules, self._counter = rules, counter
        self._under_way = 0
        self._idle = asyncio.Event()
        self._draining = False
        self._keys: Sequence[Key] = ()
        self._fresh_until = 0.0
        self._reading = asyncio.Lock()

    async def identify(self, authorization: str) -> Key | None:
        """Whose request it is; None where everybody may ask. Raises Refused."""
        if self.rules.are_open:
            return None
        given = _bearer(authorization, "API key")
        await self._read_keys()
        key = find_key(self._keys, given)
        if key is None:
            raise _unknown("there is no such API key")
        return key

    def check_administrator(self, authorization: str) -> None:
        """Raise Refused unless the administrator asks."""
        if self.rules.admin is None or find_key([self.rules.admin], _bearer(authorization, "admin key")) is None:
            raise _unknown("this is not the admin key")

    async def _read_keys(self) -> None:
        async with self._reading:  # one asks for all that wait
            if time.monotonic() >= self._fresh_until:
                self._keys = await _call(self._counter.keys)
                self._fresh_until = time.monotonic() + FRESH_S

    async def admit(self, key: Key | None, most: Amounts) -> Grant:
        """A place among the requests under way, with so much reserved. Raises Refused."""
        if self._draining:
            raise Refused(503, "the service is stopping: ask another one", code="stopping", retry_after=STOPPING_WAIT_S)
        if self._under_way >= self.rules.most_under_way:
            message = f"{self._under_way} requests are under way, which is what the service takes at once: ask again"
            raise Refused(503, message, code="overloaded", retry_after=FULL_WAIT_S)
        grant = Grant(self, time.monotonic() + self.rules.deadline_s)
        self._count(1)
        try:
            if key is not None and self._counts(key, most):
                grant.number = await self._reserve(key, most)
        except BaseException:
            self._count(-1)
            raise
        current().mark("admitted")
        return grant

    @property
    def status(self) -> Literal["ok", "stopping", "full"]:
        """Whether requests are admitted now."""
        if self._draining:
            return "stopping"
        return "ok" if self._under_way < self.rules.most_under_way else "full"

    def _counts(self, key: Key, most: Amounts) -> bool:
        """Whether the key has a limit by the minute. Raises Refused where the request alone is above it."""
        limited = {limit: getattr(key.limits, limit) for limit in Amounts._fields}
        for limit, amount in most._asdict().items():
            if limited[limit] is not None and amount > limited[limit]:
                unit = UNITS[limit]
                raise Refused(
                    400,
                    f"the request may need {amount:,.0f} {unit}; this key has {limited[limit]:,.12g} a minute: {LOWER}",
                    code="over_limit",
                )
        return any(limit is not None for limit in limited.values())

    async def _reserve(self, key: Key, most: Amounts) -> int:
        told: int | Wait | None = await _call(self._counter.reserve, key.name, most, self.rules.deadline_s)
        if told is None:
            raise _unknown("there is no such API key")
        if isinstance(told, Wait):
            seconds = max(1, math.ceil(told.seconds))
            allowed = getattr(key.limits, told.limit)
            message = f"{key.name} has {allowed:,.12g} {UNITS[told.limit]} a minute: ask again in {seconds} s"
            raise Refused(429, message, code="rate_limit_exceeded", retry_after=seconds)
        return told

    async def drain(self, seconds: float) -> int:
        """Admit nothing from now on, and wait so long for what is under way; how many requests are left."""
        self._draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._under_way:
                    self._idle.clear()
                    await self._idle.wait()
        return self._under_way

    def _count(self, change: int) -> None:
        self._under_way += change
        if not self._under_way:
            self._idle.set()

    async def release(self, number: int | None, used: Amounts | None) -> None:
        self._count(-1)
        if number is not None:
            with suppress(EngineError):  # it has died, and what it has counted with it
                await _call(self._counter.settle, number, used)


class Grant:
    """One admitted request; ``async with`` closes it, unless its answer streams: then the end of the stream does."""

    def __init__(self, gate: Gate, ends: float) -> None:
        self.ends = ends  # by the monotonic clock
        self.number: int | None = None
        self.used: Amounts | None = None  # None: what was reserved
        self._gate, self._open, self._streams = gate, True, False

    def in_time(self) -> AbstractAsyncContextManager[Any]:
        """Cancels what is done under it, and raises TimeoutError, at the deadline."""
        return asyncio.timeout(max(0.0, self.ends - time.monotonic()))

    def late(self) -> Refused:
        """What is told then."""
        message = f"no answer within {self._gate.rules.deadline_s:g} s: the service is overloaded, or restarting"
        return Refused(503, message, code=LATE, retry_after=FULL_WAIT_S)

    def stream(self, events: AsyncIterator[str]) -> StreamingResponse:
        """An answer of server-sent events, whose end closes the grant."""
        self._streams = True
        return _Events(events, self)

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._gate.release(self.number, self.used)

    async def __aenter__(self) -> Grant:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, Exception) and getattr(error, "code", "") != LATE:
            self.used = self.used or Amounts()  # a failure costs nothing; who leaves, or is late, may have used it all
        if error is not None or not self._streams:
            await self.close()


class _Events(StreamingResponse):
    def __init__(self, events: AsyncIterator[str], grant: Grant) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._grant = grant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._grant.close()


async def _call(method: Any, *arguments: Any) -> Any:
    """What the counter answers. Raises EngineError where it cannot."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        return await method.remote(*arguments)
    except (RayError, RayServeException) as error:
        raise EngineError("API keys cannot be looked up now: ask again") from error


def _bearer(authorization: str, what: str) -> str:
    """The key that a request brings. Raises Refused where it brings none."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not given.strip():
        raise _unknown(f"the request has no {what}; expected Authorization: Bearer KEY")
    return given.strip()


def _unknown(message: str) -> Refused:
    return Refused(401, message, code="invalid_api_key")
