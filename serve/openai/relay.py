"""OpenAI's routes: requests handed to the student's engines, and what they answer handed back, whole or as events.

ChatRequest, CompletionRequest --asked--> LLMServer (vLLM, by handle) --> JSON, or server-sent events
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Literal

from fastapi.responses import Response
from pydantic import ValidationError

from raydistill.actors.errors import EngineError
from raydistill.serve.admission.gate import Grant
from raydistill.serve.admission.windows import Amounts
from raydistill.serve.calls import LOST, parts_of
from raydistill.serve.openai.answers import UNTOLD
from raydistill.serve.openai.requests import ChatRequest, EngineRequest
from raydistill.serve.problems import Refused, plain, report
from raydistill.serve.records.record import current
from raydistill.serve.student import Student

REFUSED = "the model cannot take this request"
TOO_MANY = re.compile(r"(\w+=\d+) cannot be greater than max_model_len=max_total_tokens=(\d+)")
ASIDE = re.compile(r" \(parameter=.*\)$", re.DOTALL)


class Relay:
    """Asks the engines behind `handle`, of the deployment that `serve.deployment` makes of a student and others."""

    def __init__(self, student: Student, handle: Any) -> None:
        from ray.serve.llm import openai_api_models  # vLLM's, which take seconds: now, not with the first request

        self._student, self._handle, self._engine = student, handle.options(stream=True), openai_api_models

    async def answer(self, request: EngineRequest, grant: Grant) -> Response:
        """The engines' answer. Raises Refused where they do not take the request or the grant ends, EngineError
        where they cannot answer.
        """
        async with grant:
            parts, record = self._parts(request), current()
            try:
                async with grant.in_time():
                    first = await anext(parts)
                    record.mark("first")
                    if not isinstance(first, str):
                        _check(getattr(first, "error", None))
                        _note_usage(grant, first.usage.model_dump())
                        async for _ in parts:  # to its end, or it would be cancelled
                            pass
            except TimeoutError:
                raise grant.late() from None
            if not isinstance(first, str):
                return Response(first.model_dump_json(exclude=UNTOLD), media_type="application/json")
            _check(_event_error(first))
            told = bool(request.stream_options and request.stream_options.include_usage)
            return grant.stream(_events(first, parts, grant, told))

    async def _parts(self, request: EngineRequest) -> AsyncGenerator[Any, None]:
        """What the engines send, one by one: events as text, or the whole answer."""
        method, body = self._body(request)
        async with aclosing(parts_of(getattr(self._handle, method), body, *self._student.later)) as batches:
            async for batch in batches:
                for part in batch if isinstance(batch, list) else [batch]:
                    yield self._by_name(part)

    def _by_name(self, part: Any) -> Any:
        """What an engine sends, of the student by the name that clients know."""
        if isinstance(part, str):
            model, name = (json.dumps(name) for name in (self._student.asked_as, self._student.name))
            return part.replace(f'"model":{model}', f'"model":{name}', 1)
        if hasattr(part, "model"):
            part.model = self._student.name
        return part

    def _body(self, request: EngineRequest) -> tuple[Literal["chat", "completions"], Any]:
        asked = request.asked() | {"model": self._student.asked_as}
        if request.stream:
            asked["stream_options"] = asked.get("stream_options", {}) | {"include_usage": True}
        try:
            if isinstance(request, ChatRequest):
                return "chat", self._engine.ChatCompletionRequest.model_validate(asked)
            return "completions", self._engine.CompletionRequest.model_validate(asked)
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise Refused(400, plain(message, REFUSED), code="invalid_value") from error


def _check(error: Any) -> None:
    """Raise what an engine's account of a failure says, if there is one."""
    if error is None:
        return
    if not 400 <= error.code < 500:
        raise EngineError(LOST)
    said = TOO_MANY.sub(r"\1 is more than this model's maximum context length of \2 tokens", error.message)
    message = plain(ASIDE.sub("", said), REFUSED)
    code = "context_length_exceeded" if "maximum context length" in message else "invalid_value"
    raise Refused(400, message, code=code, param=error.param)


def _event_error(event: str) -> Any:
    """An engine's account of a failure, where an event is one."""
    from ray.serve.llm.openai_api_models import ErrorResponse

    if not event.startswith('data: {"error"'):
        return None
    return ErrorResponse.model_validate_json(event.removeprefix("data: ")).error


async def _events(first: str, parts: AsyncGenerator[Any, None], grant: Grant, tell_usage: bool) -> AsyncIterator[str]:
    """Events as they come; a failure on the way is an event in the shape of all failures, and the last one."""
    event: str | None = first
    try:
        async with aclosing(parts):
            while event is not None:
                if usage := _usage(event):
                    _note_usage(grant, usage)
                if tell_usage or not usage:
                    yield event
                async with grant.in_time():
                    event = await anext(parts, None)
                _check(_event_error(event or ""))
    except (Refused, TimeoutError) as error:
        refused = grant.late() if isinstance(error, TimeoutError) else error
        yield _failure(report(refused.status_code, refused.detail, code=refused.code, param=refused.param))
    except EngineError as error:
        yield _failure(report(503, str(error), code="model_unavailable"))


def _note_usage(grant: Grant, usage: Mapping[str, Any]) -> None:
    """What a whole answer has used, for the key's limits and for the record."""
    record = current()
    record.mark("generated")
    record.prompt_tokens, record.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"] or 0
    grant.used = Amounts(tokens=usage["total_tokens"])


def _usage(event: str) -> dict[str, int] | None:
    """The tokens of the whole answer, where an event tells them and nothing else."""
    return json.loads(event.removeprefix("data: "))["usage"] if '"choices":[]' in event else None


def _failure(told: dict[str, Any]) -> str:
    return f"data: {json.dumps(told)}\n\n"
