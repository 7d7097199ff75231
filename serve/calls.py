"""Calls of a deployment's handle: what it answers, or gives bit by bit; who leaves a call ends it where it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from raydistill.actors.errors import EngineError, RaydistillError

ASKED = 2  # times, where the replica died before it gave anything
LOST = "the model cannot answer now: ask again"


class ReplicaLost(EngineError):
    """The replica that a call was made to has died."""


async def ask(method: Any, *arguments: Any) -> Any:
    """What a deployment of our own answers. Raises errors of ours as it does, EngineError where it cannot answer."""
    from ray.exceptions import RayError, RayTaskError
    from ray.serve.exceptions import RayServeException

    try:
        return await method.remote(*arguments)
    except (RayError, RayServeException) as error:
        if isinstance(error, RayTaskError) and isinstance(error.cause, RaydistillError):
            raise error.cause from None
        raise EngineError("students cannot be looked up now: ask again") from error


async def parts_of(method: Any, *arguments: Any) -> AsyncGenerator[Any, None]:
    """What `method` of a handle gives, one by one, from another replica where one died before it gave anything.

    Raises ReplicaLost where one died later, EngineError where the other side cannot answer. Left before its end, by a
    deadline or with the client, the call is cancelled there, too.
    """
    given = False
    for last in [False] * (ASKED - 1) + [True]:
        try:
            async with aclosing(_once(method.remote(*arguments))) as parts:
                async for part in parts:
                    given = True
                    yield part
            return
        except ReplicaLost:
            if given or last:
                raise


async def _once(response: Any) -> AsyncGenerator[Any, None]:
    from ray.exceptions import RayActorError, RayError
    from ray.serve.exceptions import RayServeException, ReplicaUnavailableError

    over = False
    try:
        async for part in response:
            yield part
        over = True
    except (RayActorError, ReplicaUnavailableError) as error:
        over = True
        raise ReplicaLost(LOST) from error
    except (RayError, RayServeException) as error:
        over = True
        raise (ReplicaLost if _is_dead_engine(error) else EngineError)(LOST) from error
    finally:
        if not over:
            response.cancel()


def _is_dead_engine(error: Exception) -> bool:
    """Whether the replica's engine has died, which the replica outlives by moments."""
    return type(getattr(error, "cause", None)).__name__ == "EngineDeadError" or "EngineDeadError" in str(error)
