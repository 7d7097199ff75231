"""Request bodies as JSON, strictly: what a tokenizer, a schema or a stack cannot take is refused in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute

from raydistill.actors.rows import text_fault
from raydistill.serve.problems import Refused
from raydistill.serve.records.record import current

DEPTH = 64  # of lists and objects in each other
DIGITS = 60  # of a number
EXACT = 2**53  # numbers above are not told apart by all readers of JSON


class JsonRoute(APIRoute):
    """A route that reads its body, if it has one, with `read_json`; the gate first asks for a key."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handler = super().get_route_handler()
        has_body = self.body_field is not None

        async def handle(request: Request) -> Any:
            gate, authorization = request.app.state.gate, request.headers.get("authorization", "")
            current().route = self.path
            if self.path.startswith("/v1/"):
                request.state.key = key = await gate.identify(authorization)
                current().key = key.name if key else ""
            elif self.path.startswith("/admin/"):
                gate.check_administrator(authorization)
            if not has_body:
                return await handler(request)
            return await handler(checked(request))

        return handle


class JsonRequest(Request):
    async def json(self) -> Any:
        return read_json(await self.body())


def checked(request: Request) -> JsonRequest:
    """The request, whose body is read with `read_json`. Raises Refused unless it says that it is JSON."""
    check_kind(request.headers.get("content-type", ""))
    return JsonRequest(request.scope, request.receive)


def check_kind(kind: str) -> None:
    """Raise Refused unless the body says that it is JSON."""
    name, _, parameters = kind.partition(";")
    if name.strip().lower() != "application/json":
        said = f"Content-Type {name.strip()[:100]}" if name.strip() else "no Content-Type"
        raise Refused(415, f"the request has {said}; expected application/json", code="unsupported_media_type")
    charset = parameters.lower().replace(" ", "").replace('"', "").partition("charset=")[2].partition(";")[0]
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise Refused(415, "JSON is UTF-8; expected no other charset", code="unsupported_media_type")


def read_json(body: bytes) -> Any:
    """The value that `body` says. A whole number is an int however it is written. Raises Refused."""
    try:
        value = json.loads(body.decode(), parse_float=_number, parse_int=_whole, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise _bad(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise _bad(f"JSON decode error at character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise _bad(f"nested more than {DEPTH} deep") from None
    _check(value, b"\\u" in body)
    return value


def _check(value: Any, escapes: bool) -> None:
    """Refuse what is nested too deep, and with `escapes` texts with half of a surrogate pair, which is no Unicode."""
    level = [value]
    for _ in range(DEPTH):
        members = [
            member
            for item in level
            if isinstance(item, list | dict)
            for member in (item if isinstance(item, list) else [*item, *item.values()])
        ]
        texts = [*level, *members] if escapes else ()
        for text in texts:
            if isinstance(text, str) and "surrogate" in (fault := text_fault(text)):
                raise _bad(f"the request holds {fault}", code="invalid_text")
        level = [member for member in members if isinstance(member, list | dict)]
        if not level:
            return
    raise _bad(f"nested more than {DEPTH} deep")


def _number(digits: str) -> int | float:
    value = float(digits)
    if not math.isfinite(value):
        raise _bad(f"{digits[:20]}: a number out of range")
    return int(value) if value.is_integer() and abs(value) < EXACT else value


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise _bad(f"{digits[:20]}...: a number of more than {DIGITS} digits")
    return int(digits)


def _constant(name: str) -> Any:
    raise _bad(f"{name} is no JSON")


def _bad(message: str, code: str = "invalid_json") -> Refused:
    return Refused(400, f"body: {message}", code=code)
