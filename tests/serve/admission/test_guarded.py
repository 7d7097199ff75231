"""A service with keys and limits, over HTTP, with 64 clients and more."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.views.browser import complaints, look, violations
from tests.processes import described
from tests.serve.conftest import Guarded
from tests.waiting import wait_until

CLIENTS = 64
SHORT = {"prompt": "def", "max_tokens": 1}
LONG = {"prompt": ["def solution():"] * 16, "n": 64, "max_tokens": 400, "ignore_eos": True, "temperature": 1}
SLACK_S = 6.0  # on cores that others use, too
FREE_S = 1.0
IDLE = 0.4  # of a core


def test_the_page_asks_for_a_key_before_anything_else(browser: Any, guarded: Guarded) -> None:
    look(browser, f"{guarded.url}/", 1400, "light")
    wait_until(lambda: "answers" in browser.find_element("id", "health").text, 60, "the page to hear of the student")
    assert complaints(browser) == [] and violations(browser) == []  # no request without a key was sent
    browser.find_element("id", "key").send_keys(guarded.KEYS["client-60"])
    browser.find_element("id", "go").click()
    wait_until(lambda: browser.find_element("id", "progress").text == "done", 120, "an answer")
    assert complaints(browser) == []


def test_without_a_key_there_is_no_answer(guarded: Guarded) -> None:
    for key, message in (("", "no API key"), ("nobody-has-this-key", "no such API key")):
        for path, body in (("/v1/models", None), ("/v1/completions", SHORT), ("/v1/solve", b"{broken")):
            status, problem, headers = guarded.ask(path, body, key)
            assert (status, problem["error"]["code"], headers["WWW-Authenticate"]) == (401, "invalid_api_key", "Bearer")
            assert message in problem["error"]["message"]
    for path in ("/healthz", "/openapi.json"):
        assert guarded.request(path)[0] == 200


def test_a_hundred_keys_are_known(guarded: Guarded) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert {*pool.map(lambda key: guarded.request("/v1/models", None, key)[0], guarded.KEYS.values())} == {200}


def test_requests_by_the_minute_are_exact(guarded: Guarded) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        told = list(pool.map(lambda _: guarded.answers(1, SHORT), range(3 * CLIENTS)))
    assert Counter(status for status, _, _ in told) == {200: 20, 429: 3 * CLIENTS - 20}
    for status, problem, headers in told:
        if status == 429:
            assert 1 <= int(headers["Retry-After"]) <= 60
            assert re.match(r"client-1 has 20 requests a minute: ask again in \d+ s", problem["error"]["message"])
            assert problem["error"]["type"] == "rate_limit_error"
    assert guarded.answers(5, SHORT)[0] == 200  # others have limits of their own


def test_tokens_by_the_minute_are_exact(guarded: Guarded) -> None:
    body = {"prompt": "def solution():", "max_tokens": 40, "n": 2, "temperature": 1}
    with ThreadPoolExecutor(CLIENTS) as pool:
        told = list(pool.map(lambda _: guarded.answers(2, body), range(2 * CLIENTS)))
    assert {status for status, _, _ in told} == {200, 429}
    while told[-1][0] == 200 or len(told) <= 2 * CLIENTS + 1:  # one after the other, so that nothing is reserved
        told.append(guarded.answers(2, body))
    used = sum(answer["usage"]["total_tokens"] for status, answer, _ in told if status == 200)
    assert 3000 - 2 * 40 - len(json.dumps(body)) <= used <= 3000
    status, problem, headers = guarded.ask("/v1/completions", body | {"stream": True}, guarded.KEYS["client-2"])
    assert status == 429 and "client-2 has 3,000 tokens a minute" in problem["error"]["message"]
    assert 1 <= int(headers["Retry-After"]) <= 60
    status, problem = guarded.request("/v1/completions", LONG, guarded.KEYS["client-2"])
    assert (status, problem["error"]["code"]) == (400, "over_limit") and "lower n" in problem["error"]["message"]


def test_streams_count_their_tokens_and_show_what_was_asked_for(guarded: Guarded) -> None:
    body = json.dumps({"prompt": "def", "max_tokens": 3, "stream": True})
    text = exchange(guarded, "/v1/completions", body, "client-3")
    assert "[DONE]" in text and '"choices":[]' not in text


def test_execution_by_the_minute_is_reserved(guarded: Guarded) -> None:
    status, problem = guarded.request("/v1/solve", {"question": "What is 3 plus 3?", "n": 64}, guarded.KEYS["client-3"])
    assert (status, problem["error"]["code"]) == (422, "over_limit")
    assert "seconds of execution; this key has 30 a minute" in problem["error"]["message"]
    with ThreadPoolExecutor(8) as pool:
        asked = {"question": "What is 3 plus 3?", "max_tokens": 3, "n": 3}
        told = list(pool.map(lambda _: guarded.answers(3, asked, "/v1/solve")[0], range(8)))
    assert told.count(200) >= 1 and {*told} <= {200, 429}
    assert guarded.answers(3, asked, "/v1/solve")[0] == 200  # nothing was executed, and all is given back


def test_a_key_has_limits_for_one_request(guarded: Guarded) -> None:
    key = guarded.KEYS["client-4"]
    for more, param in (({"n": 3, "temperature": 1}, "n"), ({"max_tokens": 9}, "max_tokens")):
        status, problem = guarded.request("/v1/completions", SHORT | more, key)
        assert (status, problem["error"]["param"], problem["error"]["code"]) == (400, param, "over_limit")
    chat = {"messages": [{"role": "user", "content": "hi"}], "ignore_eos": True}
    assert guarded.request("/v1/chat/completions", chat, key)[1]["usage"]["completion_tokens"] == 8


def test_keys_change_without_a_restart(guarded: Guarded) -> None:
    fresh = secrets.token_urlsafe(24)
    gone = guarded.KEYS["client-99"]
    guarded.write({name: key for name, key in guarded.KEYS.items() if key != gone} | {"fresh": fresh})
    try:
        wait_until(lambda: guarded.request("/v1/models", None, fresh)[0] == 200, 10, "the fresh key to count")
        assert guarded.request("/v1/models", None, gone)[0] == 401
    finally:
        guarded.write(guarded.KEYS)
    wait_until(lambda: guarded.request("/v1/models", None, gone)[0] == 200, 10, "the key to be back")


@pytest.mark.slow
def test_a_client_that_leaves_frees_the_engine(guarded: Guarded) -> None:
    for stream in (False, True):
        connection = send(guarded, "/v1/completions", json.dumps(LONG | {"stream": stream}), "client-6")
        wait_until(lambda: engine_load(guarded, 0.5) > 0.5, 10, "the engine to work for the client")
        connection.close()
        time.sleep(FREE_S)  # the time that is promised
        assert engine_load(guarded, 1) < IDLE


@pytest.mark.slow
def test_the_deadline_ends_work_in_the_engine(guarded: Guarded) -> None:
    started = time.monotonic()
    status, problem, headers = guarded.ask("/v1/completions", LONG, guarded.KEYS["client-7"])
    took = time.monotonic() - started
    assert (status, problem["error"]["code"], headers["Retry-After"]) == (503, "deadline_exceeded", "1")
    assert guarded.DEADLINE_S - 0.5 < took < guarded.DEADLINE_S + SLACK_S
    text = exchange(guarded, "/v1/completions", json.dumps(LONG | {"stream": True}), "client-7")
    assert "deadline_exceeded" in text.strip().splitlines()[-1] and "[DONE]" not in text
    time.sleep(FREE_S)  # the time that is promised
    assert engine_load(guarded, 1) < IDLE


@pytest.mark.slow
def test_ten_times_the_load_is_answered_in_time(guarded: Guarded) -> None:
    body = LONG | {"prompt": "def solution():", "n": 4}

    def ask(number: int) -> tuple[int, float, Any]:
        started = time.monotonic()
        status, problem, headers = guarded.ask("/v1/completions", body, guarded.KEYS[f"client-{10 + number % 80}"])
        assert status == 200 or headers["Retry-After"] and problem["error"]["code"], problem
        return status, time.monotonic() - started, problem

    with ThreadPoolExecutor(10 * guarded.QUEUE) as pool:
        told = list(pool.map(ask, range(10 * guarded.QUEUE)))
    counts = Counter(status for status, _, _ in told)
    print(dict(counts), f"slowest {max(took for _, took, _ in told):.1f} s")
    assert {*counts} <= {200, 429, 503} and counts[200] > 0 and counts[503] > 0
    assert max(took for _, took, _ in told) < guarded.DEADLINE_S + SLACK_S
    assert guarded.request("/healthz")[0] == 200


def test_no_key_is_in_a_log(guarded: Guarded) -> None:
    """Last of this file: all others have used theirs."""
    commands = " ".join(map(described, guarded.processes("session_")))
    [folder] = {*re.findall(r"/tmp/ray/session_\d[\w-]*", commands)}
    files = [path for path in Path(folder, "logs").rglob("*") if path.is_file()]
    assert len(files) > 5
    for text in [path.read_text(errors="replace") for path in files] + [guarded.printed]:
        assert not [key for key in guarded.KEYS.values() if key in text]


def engine_load(service: Guarded, seconds: float) -> float:
    """Cores that the engine's processes use."""
    processes = service.processes("LLMServer", "EngineCore", "VLLM")
    assert processes

    def used() -> float:
        return sum(sum(process.cpu_times()[:2]) for process in processes if process.is_running())

    before, started = used(), time.monotonic()
    time.sleep(seconds)  # the time that is measured
    return (used() - before) / (time.monotonic() - started)


def send(service: Guarded, path: str, body: str, client: str) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), timeout=120)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    head += f"Authorization: Bearer {service.KEYS[client]}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall((head + body).encode())
    return connection


def exchange(service: Guarded, path: str, body: str, client: str) -> str:
    """The whole answer, as text."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {service.KEYS[client]}"}
    connection.request("POST", path, body, headers)
    return connection.getresponse().read().decode()
