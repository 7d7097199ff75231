"""Large, late and broken bodies: refused while they come in, in memory that stays flat. And the page at `/`."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from raydistill.serve.front import BODY_BYTES
from raydistill.serve.page import policy
from tests.pipelines.views.browser import complaints, look, overflow, violations
from tests.serve.conftest import Service
from tests.waiting import wait_until

LARGE, PIECE = 100_000_000, b"a" * 1_000_000
ROOM = 60_000_000  # what memory may grow by meanwhile
HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def way(service: Service) -> list[psutil.Process]:
    """The processes that a body goes through: Ray's names of them tell what they do just then, so they may change."""
    found = service.processes("Proxy", "LLMServer")
    assert len(found) >= 2, found
    return found


class Peak:
    """The most memory while it is watched."""

    def __init__(self, service: Service) -> None:
        self._processes, self._done = way(service), threading.Event()
        self._before = self._most = self._now()
        self._watch = threading.Thread(target=self._look)

    def _now(self) -> list[int]:
        return [process.memory_info().rss for process in self._processes]

    def _look(self) -> None:
        while not self._done.wait(0.05):
            self._most = [max(pair) for pair in zip(self._most, self._now(), strict=True)]

    def __enter__(self) -> Peak:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    @property
    def growth(self) -> int:
        """Of the process that grew the most, in bytes."""
        return max(most - before for most, before in zip(self._most, self._before, strict=True))


def send(service: Service, head: str, pieces: Iterator[bytes]) -> tuple[int, dict[str, Any]]:
    """The answer to a request whose body is sent to its end whatever the service says meanwhile."""
    host, _, port = service.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(head.encode())
        for piece in pieces:
            connection.sendall(piece)
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            headers = dict(line.decode().lower().strip().split(": ", 1) for line in iter(answer.readline, b"\r\n"))
            return status, json.loads(answer.read(int(headers["content-length"])))


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused_while_it_comes_in(service: Service, chunked: bool) -> None:
    piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if chunked else PIECE
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LARGE}"
    pieces = [*[piece] * (LARGE // len(PIECE)), *([b"0\r\n\r\n"] if chunked else [])]
    with Peak(service) as peak:
        status, problem = send(service, f"{HEAD}{length}\r\n\r\n", iter(pieces))
    assert (status, problem["error"]["code"]) == (413, "body_too_large")
    assert f"{BODY_BYTES:,} bytes" in problem["error"]["message"]
    print(f"memory grew by {peak.growth / 1e6:.1f} MB")
    assert peak.growth < ROOM


def test_a_body_of_just_the_limit_is_read(service: Service) -> None:
    frame = json.dumps({"messages": [{"role": "user", "content": ""}]}).encode()
    body = frame.replace(b'""', b'"%s"' % (b"one " * BODY_BYTES)[: BODY_BYTES - len(frame)])
    assert len(body) == BODY_BYTES
    code, problem = service.request("/v1/chat/completions", body)
    assert (code, problem["error"]["code"]) == (400, "context_length_exceeded")
    assert service.request("/v1/chat/completions", body + b" ")[0] == 413


def test_slow_senders_hold_up_nobody(service: Service) -> None:
    host, _, port = service.url.removeprefix("http://").partition(":")
    slow = [socket.create_connection((host, int(port)), timeout=60) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(f"{HEAD}Content-Length: 1000\r\n\r\n{{".encode())
        asked = {"messages": [{"role": "user", "content": "What is 3 plus 3?"}], "max_tokens": 2}
        for _ in range(3):
            for connection in slow:
                connection.sendall(b" ")
            assert service.request("/v1/chat/completions", asked)[0] == 200
    finally:
        for connection in slow:
            connection.close()
    assert service.request("/healthz")[0] == 200


def test_half_closed_and_pipelined_requests(service: Service) -> None:
    host, _, port = service.url.removeprefix("http://").partition(":")
    for half in (HEAD, f"{HEAD}Content-Length: 50\r\n\r\n{{", f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{{"):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(half.encode())
            connection.shutdown(socket.SHUT_WR)
            assert b" 5" not in connection.recv(1000)[:20]
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(
            b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        with connection.makefile("rb") as answer:
            text = answer.read()
    assert text.count(b"HTTP/1.1 200") == 1 and text.count(b"HTTP/1.1 404") == 1
    assert service.request("/healthz")[0] == 200


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_a_page_asks_and_shows_program_and_votes(browser: Any, service: Service, width: int, theme: str) -> None:
    look(browser, f"{service.url}/", width, theme)
    wait_until(lambda: "answers" in browser.find_element("id", "health").text, 60, "the page to hear of the student")
    samples = browser.find_element("id", "samples")
    samples.clear()
    samples.send_keys("3")
    browser.find_element("id", "go").click()
    wait_until(lambda: browser.find_element("id", "progress").text == "done", 120, "an answer")
    question = browser.find_element("id", "question").get_attribute("value")
    _, answer = service.request("/v1/solve", {"question": question, "n": 3})
    if answer["status"] == "passed":  # by a model that was trained
        shown = {name: browser.find_element("id", name).text for name in ("answer", "program", "votes")}
        assert shown["answer"] == answer["answer"] and shown["program"].startswith("def solution")
        assert answer["answer"] in shown["votes"]
    assert overflow(browser) <= 0 and violations(browser) == [] and complaints(browser) == []


def test_nothing_of_the_page_runs_but_its_own_script(service: Service) -> None:
    with urllib.request.urlopen(f"{service.url}/", timeout=30) as response:
        text, kept = response.read().decode(), response.headers["Content-Security-Policy"]
    assert kept == policy(text) and "default-src 'none'" in kept and "unsafe" not in kept
    assert "innerHTML" not in text and "http:" not in text and "https:" not in text
    assert "/" not in service.request("/openapi.json")[1]["paths"]
