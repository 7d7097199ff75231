"""What happens while a question is solved, told as it happens; over HTTP as server-sent events.

completion (sample 0) -> verdict -> repair -> completion -> verdict -> vote ... -> answer -> [DONE]
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from raydistill.pipelines.data.records import Sample
from raydistill.serve.problems import as_refused, report
from raydistill.serve.schema import SolveAnswer


class Event(BaseModel):
    """Something that has happened; `event` is its name, also in the stream."""

    model_config = ConfigDict(extra="forbid")


class OfSample(Event):
    sample: int = Field(description="which of the samples, from 0")
    turn: int = Field(description="0 for its first completion, 1 for the one after a first repair, ...")


class Completed(OfSample):
    """The student has ended a completion."""

    event: Literal["completion"] = "completion"
    completion: str
    finish_reason: str = Field(description="stop, or length: the token limit cut it off")
    completion_tokens: int


class Judged(OfSample):
    """Its program was run, or its answer read."""

    event: Literal["verdict"] = "verdict"
    status: Literal["passed", "failed", "unknown"]
    reason: str
    answer: str | None = Field(description="as votes count it; null without one")
    output: str = Field(description="what the program printed (its last 2 KB)")
    message: str = Field(description="the interpreter's last line where the program failed")


class Repairing(OfSample):
    """The student is asked again; `turn` is that of the completion to come."""

    event: Literal["repair"] = "repair"


class Voted(Event):
    """A sample has come to its end, and its answer counts."""

    event: Literal["vote"] = "vote"
    votes: dict[str, int]
    ended: int = Field(description="samples that have come to their end")
    samples: int = Field(description="of so many")


Tell = Callable[[Event], None]
KINDS = (Completed, Judged, Repairing, Voted)


def nobody(_: Event) -> None:
    """Told, nobody listens."""


def judged(place: int, turn: int, sample: Sample) -> Judged:
    return Judged(
        sample=place,
        turn=turn,
        status=sample.status,  # type: ignore[arg-type]
        reason=sample.reason,
        answer=sample.value or None,
        output=sample.stdout,
        message=sample.detail,
    )


async def told_by(solve: Callable[[Tell], Coroutine[Any, Any, SolveAnswer]]) -> AsyncGenerator[str, None]:
    """What `solve` tells as it happens, and its answer in the end, as server-sent events. Raises what it raises."""
    queue = asyncio.Queue[Event | None]()
    solving = asyncio.ensure_future(solve(queue.put_nowait))
    solving.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while event := await queue.get():
            yield sent(event.event, event.model_dump_json())  # type: ignore[attr-defined]
        yield sent("answer", (await solving).model_dump_json())
        yield "data: [DONE]\n\n"
    finally:
        solving.cancel()
        await asyncio.gather(solving, return_exceptions=True)


async def with_failure(first: str, events: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    """The events, of which `first` has come; a failure on the way is the last one."""
    try:
        yield first
        async with aclosing(events):
            async for event in events:
                yield event
    except Exception as error:  # whatever it is, the client is told in the one shape
        refused = as_refused(error)
        told = report(refused.status_code, refused.detail, code=refused.code, param=refused.param)
        yield sent("error", json.dumps(told))


def sent(event: str, data: str) -> str:
    return f"event: {event}\ndata: {data}\n\n"
