"""What is wrong with a request, in one line and the shape that OpenAI's clients read.

    {"error": {"message": "n: Input should be less than or equal to 64", "type": "invalid_request_error",
               "param": "n", "code": "invalid_value"}}

Nothing here names what the service is made of: clients cannot change it, and it is in the service's own log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from raydistill.actors.errors import EngineError, RaydistillError, UsageError
from raydistill.serve.records.record import current
from raydistill.serve.schema import Problem, ProblemReport

SOLVE = "/v1/solve"
BROKEN = "the service failed on this request; its log has the reason"
LATE = "deadline_exceeded"
LATER = "the service cannot answer now: ask again"
SAID = {
    400: "The request is wrong: one line says where.",
    401: "There is no such API key.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body does not say that it is JSON.",
    422: "The request is wrong: one line says where.",
    429: "The key has used what it has by the minute; Retry-After says when to ask again.",
    500: "The service failed.",
    503: "The model or the sandbox cannot answer now, or the service is full; Retry-After says when to ask again.",
}
CHARACTERS = 500  # of a message
MOST_MISTAKES = 3  # of a body that one message tells
INSIDE = re.compile(
    r"vllm|xgrammar|outlines|guidance|max_model_len|pydantic|torch|\bray\b|ray[:._]|traceback|replica|deployment|actor\b|--[a-z]"
    r"|(?<![\w/])/[\w.-]+/[\w.-]|\.py\b|0x[0-9a-f]{6}|<class|object at|jinja|\w+Params\b",
    re.IGNORECASE,
)
"""What a message of an engine must not say to a client."""


class Refused(HTTPException):
    """A request that is not answered as it asks; ``Refused(404, "there is no model 'x'", code="model_not_found")``."""

    def __init__(
        self, status: int, message: str, *, code: str, param: str | None = None, retry_after: int | None = None
    ) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        super().__init__(status, message, headers | ({"WWW-Authenticate": "Bearer"} if status == 401 else {}))
        self.code, self.param = code, param


def responses(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What a route's page says of these failures."""
    return {code: {"model": ProblemReport, "description": SAID[code]} for code in codes}


def problem(
    status: int, message: str, *, code: str, param: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer that says it."""
    return JSONResponse(report(status, message, code=code, param=param), status, headers)


def report(status: int, message: str, *, code: str, param: str | None = None) -> dict[str, Any]:
    """The body of that answer."""
    kind = "rate_limit_error" if status == 429 else "invalid_request_error" if status < 500 else "server_error"
    current().code = code
    told = Problem(message=one_line(message), type=kind, param=param and one_line(param), code=code)
    return ProblemReport(error=told).model_dump()


def one_line(message: str) -> str:
    """At most CHARACTERS on one line."""
    line = " ".join(message.split())
    return line if len(line) <= CHARACTERS else f"{line[: CHARACTERS - 4]} ..."


def plain(message: str, instead: str) -> str:
    """A message of an engine for clients: `instead` where it tells of what is inside."""
    line = one_line(message)
    return instead if not line or INSIDE.search(line) else line


def as_refused(error: Exception) -> Refused:
    """What a client is told of an error; one that is a mistake of ours is noted in the log."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, UsageError):
        return Refused(422, str(error), code="invalid_value")
    if isinstance(error, RaydistillError):
        code = "model_unavailable" if isinstance(error, EngineError) else "sandbox_unavailable"
        return Refused(503, plain(str(error), LATER), code=code)
    logging.getLogger("raydistill.serve").error("a request failed", exc_info=error)
    return Refused(500, BROKEN, code="internal_error")


def report_problems(app: FastAPI) -> None:
    """Give every failure of `app` such an answer."""

    async def ours(_: Request, error: Any) -> JSONResponse:
        found = as_refused(error)
        return problem(found.status_code, found.detail, code=found.code)

    async def refused(request: Request, error: Any) -> JSONResponse:
        status = 422 if error.status_code == 400 and request.url.path == SOLVE else error.status_code
        return problem(status, error.detail, code=error.code, param=error.param, headers=error.headers)

    async def bad_body(request: Request, error: Any) -> JSONResponse:
        param, message = describe(error.errors(), error.body)
        return problem(400, message, code="invalid_value", param=param)

    async def no_route(request: Request, error: Any) -> JSONResponse:
        asked = f"{request.method} {request.url.path}"
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            answer = problem(405, f"there is no {asked}; expected {allowed}", code="method_not_allowed")
            answer.headers.update(error.headers or {})
            return answer
        if error.status_code == 404:
            return problem(404, f"there is no {asked}; GET /docs tells what there is", code="unknown_url")
        return problem(error.status_code, str(error.detail), code="invalid_request")

    async def broken(request: Request, error: Exception) -> JSONResponse:
        found = as_refused(error)
        return problem(found.status_code, found.detail, code=found.code)

    handlers: Mapping[Any, Any] = {RaydistillError: ours, Refused: refused, RequestValidationError: bad_body}
    for kind, handler in {**handlers, HTTPException: no_route, Exception: broken}.items():
        app.add_exception_handler(kind, handler)


def describe(
    mistakes: Sequence[Mapping[str, Any]], body: Any, settings: Sequence[str] = (), within: int = 1
) -> tuple[str | None, str]:
    """The first wrong parameter, and a line on the first mistakes, from pydantic's account of them.

    `settings` are what a request to a student may set; the body begins `within` so many parts of an account's paths.

    ``question: Field required``; of a value that may be one thing or another, what it is for neither, or what is wrong
    in it where it is nearly one.
    """
    placed = [(_place(mistake["loc"][within:], body, mistake["type"] == "missing"), mistake) for mistake in mistakes]
    fitting = {place for place, mistake in placed if not mistake["type"].endswith("_type")}  # one of its alternatives
    told: dict[str, list[str]] = {}
    for place, mistake in placed:
        said, message = told.setdefault(place, []), _message(mistake, settings)
        if message not in said and not (place in fitting and mistake["type"].endswith("_type")):
            said.append(message)
    deepest = {place: said for place, said in told.items() if not any(one.startswith(f"{place}.") for one in told)}
    lines = [f"{place or 'body'}: {' or: '.join(said)}" for place, said in list(deepest.items())[:MOST_MISTAKES]]
    return next(iter(deepest)) or None, "; ".join(lines)


def _place(path: Sequence[Any], body: Any, missing: bool) -> str:
    """``messages.0.content``: of pydantic's path what leads through the body, without its names of alternatives."""
    kept = []
    for part in path:
        inside = isinstance(body, dict) and part in body or isinstance(body, list) and isinstance(part, int)
        if inside:
            body = body[part]
        if inside or missing and part is path[-1]:
            kept.append(str(part))
    return ".".join(kept)


def _message(mistake: Mapping[str, Any], settings: Sequence[str]) -> str:
    kind, message = mistake["type"], str(mistake["msg"])
    if kind == "extra_forbidden":
        expected = f"; expected one of {', '.join(settings)}" if settings else ""
        return f"no setting of this {'student' if settings else 'service'}{expected}"
    if kind == "none_required":
        return "not supported by this service; leave it out"
    if kind in ("model_attributes_type", "model_type", "dict_type"):
        return "Input should be an object"
    return message.removeprefix("Value error, ").replace("Dictionary", "Object").replace(" after validation", "")
