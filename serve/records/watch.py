"""ASGI around the routes: each request has a record from its beginning to its end, which is logged and counted then."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from raydistill.serve.records.log import RequestLog
from raydistill.serve.records.metrics import count
from raydistill.serve.records.record import Record, begin

UNTOLD = ("/healthz", "/readyz", "/version")  # asked every few seconds by machines


class Watch:
    """Around `app`; with a log whose settings say so, contents are kept until the answer is over."""

    def __init__(self, app: ASGIApp, log: RequestLog) -> None:
        self._app, self._log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNTOLD:
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        record = Record(headers.get(b"x-request-id", b"").decode("latin-1"), scope["method"])
        asked, answered = bytearray(), bytearray()

        async def heard() -> Message:
            message = await receive()
            if self._log.contents:
                asked.extend(message.get("body", b""))
            return message

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            elif self._log.contents:
                answered.extend(message.get("body", b""))
            await send(message)

        begin(record)
        try:
            await self._app(scope, heard, told)
        except Exception:  # which becomes an answer further out
            record.status, record.code = 500, "internal_error"
            raise
        finally:
            record.mark("over")
            contents = {"request": asked.decode(errors="replace"), "answer": answered.decode(errors="replace")}
            self._log.write(record, contents if self._log.contents else None)
            count(record)
