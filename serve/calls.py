"""Calls of a deployment's handle: what one that streams gives; whoever leaves it ends it where it runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from raydistill.actors.errors import EngineError

ASKED = 2  # times, where the replica died before it gave anything
LOST = "the model cannot answer now: ask again"


class ReplicaLost(EngineError):
    """The replica that a call was made to has died."""


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
