"""Requests whose replica dies: handed on again where no answer was begun, else ended so that a client can tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from raydistill.serve import front
from raydistill.serve.front import Front

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
PIECE = {"type": "http.response.body", "body": b'data: {"n":1}\n\n', "more_body": True}
WHOLE = [START, PIECE | {"more_body": False}]

PATIENCE_S = 1.0


class Proxy:
    """An application that answers each time with the next messages, as Ray Serve's proxy ends without a replica."""

    def __init__(self, *answers: Sequence[Message]) -> None:
        self.answers, self.bodies = list(answers), list[bytes]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append((await receive())["body"])
        for message in self.answers.pop(0):
            if message["type"] == "never":
                with suppress(asyncio.CancelledError):  # as Ray Serve's proxy does
                    await asyncio.Event().wait()
            elif message["type"] == "slow":
                await asyncio.sleep(1.5 * PATIENCE_S)  # what it does takes longer than requests are waited for
            elif message["type"] == "left":
                assert (await receive())["type"] == "http.disconnect"
            else:
                await send({**message})


def ask(proxy: Proxy, path: str = "/v1/solve", again_s: Sequence[float] = (0, 0)) -> list[Message]:
    """What a client is sent."""
    given: list[Message] = [{"type": "http.request", "body": b"{}"}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return given.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": []}
    asyncio.run(Front(proxy, again_s=again_s, patience_s=PATIENCE_S)(scope, receive, send))
    return sent


def told(sent: Sequence[Message]) -> tuple[int, Any]:
    return sent[0]["status"], json.loads(b"".join(message["body"] for message in sent[1:]))


def test_another_replica_is_asked_the_same() -> None:
    proxy = Proxy([], [], WHOLE)
    assert [message.get("body") for message in ask(proxy)] == [None, PIECE["body"]]
    assert proxy.bodies == [b"{}"] * 3


@pytest.mark.parametrize(("path", "times"), [("/v1/solve", 3), ("/admin/students", 1)])
def test_where_none_answers_that_is_said(path: str, times: int) -> None:
    proxy = Proxy([], [], [])
    status, problem = told(ask(proxy, path))
    assert status == 503 and problem["error"]["code"] == "unavailable" and len(proxy.bodies) == times


def test_a_stream_that_has_begun_ends_with_an_error() -> None:
    proxy = Proxy([START, PIECE], WHOLE)
    *_, piece, last = ask(proxy)
    assert piece["body"] == PIECE["body"] and not last.get("more_body") and len(proxy.bodies) == 1
    assert json.loads(last["body"].removeprefix(b"data: "))["error"]["code"] == "unavailable"


def test_a_client_that_has_left_is_not_asked_for_again() -> None:
    proxy = Proxy([{"type": "left"}], WHOLE)
    assert ask(proxy) == [] and len(proxy.bodies) == 1


@pytest.mark.parametrize(("path", "status"), [("/admin/students", 200), ("/healthz", 503)])
def test_what_changes_the_service_is_waited_for_and_probes_are_not_kept(
    path: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "HEALTH_S", PATIENCE_S / 10)
    slow = {"type": "slow"}
    assert ask(Proxy([slow, *WHOLE]), path)[0]["status"] == status


def test_patience_ends_before_an_answer_begins() -> None:
    proxy = Proxy([{"type": "never"}], WHOLE)
    status, problem = told(ask(proxy))
    assert status == 503 and problem["error"]["code"] == "deadline_exceeded" and len(proxy.bodies) == 1
