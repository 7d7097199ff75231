"""What every request meets first: an id, a limit on its body, and failures in one shape whoever tells of them.

    client --HTTP--> Front [id, headers, body up to the limit] --> application
           <-------- Front [id; failures as JSON, in one line] <--

It is ASGI around ASGI: around Ray Serve's proxy (`proxy_callback`), which alone can refuse a body before it is in
memory, and around the routes, where a proxy is not ours. The application gets a request when its body is whole, so
slow senders hold up nobody, and a request whose replica dies before it has begun to answer goes to another one.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import uuid
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raydistill.serve.problems import BROKEN, LATE, LATER, Refused, report

BODY_BYTES = 1_000_000
BODY_SECONDS = 60.0
RETRY_AFTER = "1"  # seconds, where nothing better is known
AGAIN_S = (0.2, 1.0)  # waited before a request whose replica has died is handed on again
BODY_VARIABLE = "RAYDISTILL_BODY_BYTES"  # for the proxy, whose callback is given nothing
PATIENCE_VARIABLE = "RAYDISTILL_PATIENCE_S"  # likewise
PROXY_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
PROXY_CALLBACK = "raydistill.serve.front.proxy_callback"
HEALTH, HEALTH_S = "/healthz", 25.0  # who probes is told soon that no replica is there
ADMIN = "/admin/"  # what is asked there changes the service
REQUEST_ID = re.compile(r"[\w.:+/=-]{1,128}", re.ASCII)
NOT_FOR_CLIENTS = re.compile(r"x-request-(timeout-seconds|disconnect-disabled)|serve-.*|x-serve-.*|x-session-id")
"""Headers that steer Ray Serve, with hyphens."""


def proxy_callback() -> list[Any]:
    """What Ray Serve's proxy puts around itself where PROXY_VARIABLE names this."""
    from starlette.middleware import Middleware

    body_bytes, patience = int(os.environ.get(BODY_VARIABLE, BODY_BYTES)), os.environ.get(PATIENCE_VARIABLE)
    return [Middleware(Front, body_bytes=body_bytes, again_s=AGAIN_S, patience_s=float(patience) if patience else None)]


class Front:
    """Around `app`, of which no request has a body of more than `body_bytes`.

    Where `app` ends without an answer, as Ray Serve's proxy does when a replica dies, it is asked again after each time
    in `again_s`, unless what is asked changes the service. It has `patience_s` to begin to answer: while a replica
    starts, requests wait in the proxy, where no deadline of the service ends them. A change of students has any time.
    """

    def __init__(
        self,
        app: ASGIApp,
        body_bytes: int = BODY_BYTES,
        again_s: Sequence[float] = (),
        patience_s: float | None = None,
    ) -> None:
        self._app, self._body_bytes, self._again_s, self._patience_s = app, body_bytes, again_s, patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = Answer(send, _take_headers(scope))
        try:
            body = await self._body(scope, receive)
        except Refused as error:
            return await answer.tell(error.status_code, error.detail, error.code)
        if body is None:
            return None  # the client has left
        client = Client(body, receive)
        try:
            await self._ask(scope, client, answer)
        except Exception:  # whatever it is, the client gets an answer in the one shape, and the log the error itself
            if answer.started:
                raise
            await answer.tell(500, BROKEN, "internal_error")
            raise

    async def _ask(self, scope: Scope, client: Client, answer: Answer) -> None:
        """Hand the request on until there is an answer, or patience is over."""
        changes = scope["path"].startswith(ADMIN)
        patience_s = None if changes else self._patience_s
        if scope["path"] == HEALTH:
            patience_s = min(HEALTH_S, patience_s or HEALTH_S)
        answer.patience = asyncio.timeout(patience_s)
        try:
            async with answer.patience:
                for pause in (0.0, *(() if changes else self._again_s)):
                    await asyncio.sleep(pause)
                    await self._app({**scope}, client.receive_again(), answer)
                    if answer.started or client.has_left or answer.patience.expired():  # which Serve's proxy swallows
                        break
        except TimeoutError:
            if not answer.patience.expired():
                raise
        if not client.has_left:
            await answer.end()

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None where the client leaves before its end. Raises Refused."""
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self._body_bytes:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while (message := await receive())["type"] == "http.request":
                    body += message.get("body", b"")
                    if len(body) > self._body_bytes:
                        raise self._too_large()
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            raise Refused(408, f"the body did not arrive within {BODY_SECONDS:g} s", code="body_timeout") from None
        return None

    def _too_large(self) -> Refused:
        return Refused(413, f"the body has more than {self._body_bytes:,} bytes", code="body_too_large")


class Client:
    """Who has sent a whole request, and may leave before it is answered."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body, self._receive = body, receive
        self.has_left = False

    def receive_again(self) -> Receive:
        """`receive` of an application that is handed the request; later it tells when the client leaves."""
        waiting = [self._body]

        async def receive() -> Message:
            if waiting:
                return {"type": "http.request", "body": waiting.pop(), "more_body": False}
            message = await self._receive()
            self.has_left = self.has_left or message["type"] == "http.disconnect"
            return message

        return receive


class Answer:
    """Sends what the application sends, with the request's id; failures that are no JSON in the one shape."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self._id = send, request_id
        self.started = self._replaced = self._streams = self._over = False
        self.patience: asyncio.Timeout | None = None  # until an answer is begun

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            if self.patience:
                self.patience.reschedule(None)
            headers = MutableHeaders(scope=message)
            kind, status = headers.get("content-type", ""), message["status"]
            if status >= 400 and not kind.startswith("application/json"):
                self._replaced = True
                code, text = ("internal_error", BROKEN) if status == 500 else ("unavailable", LATER)
                if status < 500:
                    code, text = "invalid_request", "the service does not take this request"
                return await self.tell(status, text, code)
            if status == 503 and "retry-after" not in headers:
                headers["retry-after"] = RETRY_AFTER
            headers["x-request-id"] = self._id
            self._streams = kind.startswith("text/event-stream")
        if not self._replaced:
            self._over = message["type"] == "http.response.body" and not message.get("more_body")
            await self._send(message)

    async def end(self) -> None:
        """End what was left without an end: by a last event, or by an answer where none was begun."""
        if not self.started and self.patience and self.patience.expired():
            await self.tell(503, "the request was not answered before its deadline", LATE)
        elif not self.started:
            await self.tell(503, LATER, "unavailable")
        elif self._streams and not self._over:
            event = f"data: {json.dumps(report(503, LATER, code='unavailable'))}\n\n"
            await self._send({"type": "http.response.body", "body": event.encode()})

    async def tell(self, status: int, message: str, code: str) -> None:
        """A whole answer. A client that is late with its body is not waited for."""
        self.started = self._over = True
        body = json.dumps(report(status, message, code=code)).encode()
        start: Message = {"type": "http.response.start", "status": status, "headers": []}
        headers = MutableHeaders(scope=start)
        headers["content-type"], headers["content-length"] = "application/json", str(len(body))
        if status == 503:
            headers["retry-after"] = RETRY_AFTER
        if status == 408:
            headers["connection"] = "close"
        headers["x-request-id"] = self._id
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _take_headers(scope: Scope) -> str:
    """The request's id, a new one where it brings none that can be kept; headers that steer the proxy are dropped."""
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if not NOT_FOR_CLIENTS.fullmatch(name.decode("latin-1").lower().replace("_", "-"))
    ]
    given = next((value.decode("latin-1") for name, value in headers if name.lower() == b"x-request-id"), "")
    request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    kept = [(name, value) for name, value in headers if name.lower() != b"x-request-id"]
    scope["headers"] = [*kept, (b"x-request-id", request_id.encode())]
    return request_id
