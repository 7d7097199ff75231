"""OpenAI's routes: requests handed to the student's engines, and what they answer handed back, whole or as events.

ChatRequest, CompletionRequest --asked--> LLMServer (vLLM, by handle) --> JSON, or server-sent events
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi.responses import Response, StreamingResponse
from pydantic import ValidationError

from raydistill.actors.errors import EngineError
from raydistill.serve.openai.answers import UNTOLD
from raydistill.serve.openai.requests import ChatRequest, EngineRequest
from raydistill.serve.problems import Refused, plain, report

LOST = "the model cannot answer now: ask again"
REFUSED = "the model cannot take this request"
TOO_MANY = re.compile(r"(\w+=\d+) cannot be greater than max_model_len=max_total_tokens=(\d+)")
ASIDE = re.compile(r" \(parameter=.*\)$", re.DOTALL)


class Relay:
    """Asks the engines behind `handle`, of the deployment that `serve.deployment` makes of a student."""

    def __init__(self, name: str, handle: Any) -> None:
        self._name, self._handle = name, handle.options(stream=True)

    async def answer(self, request: EngineRequest) -> Response:
        """The engines' answer. Raises Refused where they do not take the request, EngineError where they cannot."""
        parts = self._parts(request)
        first = await anext(parts)
        if not isinstance(first, str):
            _check(getattr(first, "error", None))
            return Response(first.model_dump_json(exclude=UNTOLD), media_type="application/json")
        _check(_event_error(first))
        return StreamingResponse(_events(first, parts), media_type="text/event-stream")

    async def _parts(self, request: EngineRequest) -> AsyncIterator[Any]:
        """What the engines send, one by one: events as text, or the whole answer."""
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        method, body = self._body(request)
        try:
            async for batch in getattr(self._handle, method).remote(body):
                for part in batch if isinstance(batch, list) else [batch]:
                    yield part
        except (RayError, RayServeException) as error:
            raise EngineError(LOST) from error

    def _body(self, request: EngineRequest) -> tuple[Literal["chat", "completions"], Any]:
        from ray.serve.llm import openai_api_models as engine

        asked = request.asked() | {"model": self._name}
        try:
            if isinstance(request, ChatRequest):
                return "chat", engine.ChatCompletionRequest.model_validate(asked)
            return "completions", engine.CompletionRequest.model_validate(asked)
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


async def _events(first: str, parts: AsyncIterator[Any]) -> AsyncIterator[str]:
    """Events as they come; a failure on the way is an event in the shape of all failures, and the last one."""
    try:
        yield first
        async for part in parts:
            _check(_event_error(part))
            yield part
    except Refused as error:
        yield _failure(report(error.status_code, error.detail, code=error.code, param=error.param))
    except EngineError as error:
        yield _failure(report(503, str(error), code="model_unavailable"))


def _failure(told: dict[str, Any]) -> str:
    return f"data: {json.dumps(told)}\n\n"
