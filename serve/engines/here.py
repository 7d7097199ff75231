"""The engine of this very process, called as a handle calls one of another: without a hop, and nothing is pickled."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from raydistill.actors.errors import EngineError
from raydistill.serve.calls import LOST

ENDING_S = 10.0  # more than a replica takes to end with its engine


class Here:
    """Stands for the handle of the deployment that `server` is a replica of; what streams, streams."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def options(self, **_: Any) -> Here:
        return self

    def __getattr__(self, name: str) -> Method:
        return Method(getattr(self._server, name))


class Method:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def remote(self, *arguments: Any) -> Parts:
        return Parts(_parts(self._function, arguments))


class Parts:
    """What a call gives, one by one; `cancel` ends it."""

    def __init__(self, parts: AsyncGenerator[Any, None]) -> None:
        self._parts = parts
        self._ending: asyncio.Future[None] | None = None  # a task without a reference may be collected

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._parts

    def cancel(self) -> None:
        self._ending = asyncio.ensure_future(self._parts.aclose())


async def _parts(function: Callable[..., Any], arguments: tuple[Any, ...]) -> AsyncGenerator[Any, None]:
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        given = function(*arguments)
        async with aclosing(await given if inspect.isawaitable(given) else given) as parts:
            async for part in parts:
                yield part
    except EngineDeadError:
        await asyncio.sleep(ENDING_S)  # this process ends with its engine: what is asked goes to the next one
        raise EngineError(LOST) from None
