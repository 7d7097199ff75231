"""Whatever is sent, the service answers 2xx or one clear 4xx line, at once, and is healthy afterwards.

Bodies are made by rule: each field of a good body replaced by each odd value, of which a fixed draw is sent; and bodies
that are no JSON, or JSON that goes too far.
"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import BaseModel

from raydistill.pipelines.recipes.registry import default_recipe, make_recipe
from raydistill.serve.openai.requests import ChatRequest, CompletionRequest
from raydistill.serve.problems import INSIDE
from raydistill.serve.schema import ProblemReport, request_model
from tests.serve.conftest import Service

CLIENTS = 8
DRAWN = 300  # of some thousand
SLOW_S = 30.0  # on cores that others use, too

TURN = {"role": "user", "content": "What is 3 plus 3?"}
GOOD: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [TURN], "max_tokens": 2},
    "/v1/completions": {"prompt": "def", "max_tokens": 2},
    "/v1/solve": {"question": "What is 3 plus 3?", "max_tokens": 2},
}
MODELS: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/solve": request_model(make_recipe(default_recipe()).options),
}
SCHEMAS = [{"type": "string"}, {"type": "odd"}, {"$ref": "#/nowhere"}, {"pattern": "(("}, {"enum": []}, {"anyOf": 5}]
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 1.5, -0.5, 1e300, 2**31, 2**53, 2**63, -(2**63), 10**30),
    *("", " ", "x", "5", "none", "auto", "text", "\0", "\u2028", "😀" * 50, "a" * 3000, "{{ 1/0 }}", "<|endoftext|>"),
    *([], [None], [[]], [0], [-1], [2**31 - 1], [2**40], ["x"], [""], ["x"] * 300, [{}], [[1], [2]], [["x"]], ["x", 1]),
    *({}, {"x": 1}, {"5": 5}, {"999999999": 1}, {"type": "text"}, {"type": "json_object"}, {"type": "json_schema"}),
    *({"include_usage": True}, {"include_usage": 5}, {"choice": ["a"]}, {"json": {"type": "object"}}, {"width": 10**9}),
    *([TURN, TURN], [TURN | {"role": "tool"}], [TURN | {"content": None}], [TURN | {"content": [{"type": "text"}]}]),
    *([TURN | {"content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}], [{"role": "user"}]),
    *([TURN | {"role": role} for role in ("system", "assistant", "developer")],),
    *({"type": "json_schema", "json_schema": {"name": "n", "schema": schema}} for schema in SCHEMAS),
    [{"type": "function", "function": {"name": "f", "parameters": {}}}],
]
RAW = [
    *(
        b"",
        b"null",
        b"[]",
        b"5",
        b'"x"',
        b"{",
        b"}",
        b'{"a":1}x',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"{'a': 1}",
        b"a=1&b=2",
    ),
    *(
        b'{"n": NaN}',
        b'{"n": Infinity}',
        b'{"n": -Infinity}',
        b'{"temperature": 1e999}',
        b'{"seed": %s}' % (b"9" * 5000),
    ),
    *(
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"messages":' + b"[" * 70 + b"]" * 70 + b"}",
    ),
    *(b'{"%s": 1}' % (b"k" * 5000), b'{"prompt": "\\ud83d"}', b'{"\\ude00": 1}', '{"question": "é"}'.encode("utf-16")),
    *(b"\x1f\x8b\x08\x00", b"--x\r\nContent-Disposition: form-data\r\n", b"{" + b'"a":1,' * 3000 + b'"a":1}'),
]


def mutations() -> Iterator[tuple[str, bytes]]:
    """Good bodies with one field made odd, with one that is streamed in pairs, and with a field that nobody knows."""
    for path, good in GOOD.items():
        for name in [*MODELS[path].model_fields, "nothing"]:
            for value in ODD:
                yield path, json.dumps(good | {name: value}).encode()
        if path != "/v1/solve":
            for name in MODELS[path].model_fields:
                yield path, json.dumps(good | {"stream": True, name: random.Random(name).choice(ODD)}).encode()


def ask(service: Service, path: str, body: bytes | None, **headers: str) -> tuple[int, bytes, float]:
    """Status and text of the answer, and how long it took."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
    started = time.monotonic()
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET" if body is None else "POST", path, body, sent)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, text, time.monotonic() - started


def wrong(answer: tuple[int, bytes, float]) -> str:
    """What is wrong with an answer; empty where nothing is."""
    status, text, seconds = answer
    if status >= 500 or seconds > SLOW_S:
        return f"{status} after {seconds:.1f} s: {text[:300]!r}"
    if status < 400:
        failed = b'"error"' in text and b'"choices"' not in text
        return f"{status} with an error: {text[:300]!r}" if failed else ""
    error = ProblemReport.model_validate_json(text).error
    inside = INSIDE.search(error.message.replace(" /v1/", " ")) or "\n" in error.message or not error.message
    return f"{status}: {error.message}" if inside or error.type != "invalid_request_error" else ""


def found(service: Service, asked: list[tuple[str, bytes]], **headers: str) -> list[str]:
    def one(path_and_body: tuple[str, bytes]) -> str:
        path, body = path_and_body
        fault = wrong(ask(service, path, body, **headers))
        return fault and f"{path} {body[:200]!r}: {fault}"

    with ThreadPoolExecutor(CLIENTS) as clients:
        return [fault for fault in clients.map(one, asked) if fault]


def test_odd_fields_are_answered_in_one_line(service: Service) -> None:
    drawn = random.Random(7).sample(list(mutations()), DRAWN)
    assert found(service, drawn) == []
    assert service.request("/healthz")[0] == 200


def test_what_is_no_json_is_answered_in_one_line(service: Service) -> None:
    asked = [(path, body) for path in GOOD for body in RAW]
    assert found(service, asked) == []
    assert all(400 <= ask(service, path, body)[0] < 500 for path, body in asked[:: len(RAW) + 1])
    assert service.request("/healthz")[0] == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "a/b/c", "application/json; charset=x"]
)
def test_bodies_that_do_not_say_that_they_are_json_are_refused(service: Service, kind: str) -> None:
    for path, body in GOOD.items():
        status, text, _ = ask(service, path, json.dumps(body).encode(), Content_Type=kind)
        assert status == 415 and wrong((status, text, 0)) == "", text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "unknown_url"),
        ("GET", "/v1", 404, "unknown_url"),
        ("POST", "/v1/embeddings", 404, "unknown_url"),
        ("GET", "/v1/models/nobody", 404, "model_not_found"),
        ("GET", "/v1/models/%ff%00", 404, "model_not_found"),
        ("GET", "/v1/solve/", 404, "unknown_url"),
        ("GET", "/v1/solve", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("PROPFIND", "/v1/chat/completions", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/completions", 405, "method_not_allowed"),
    ],
)
def test_other_routes_and_methods(service: Service, method: str, path: str, status: int, code: str) -> None:
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
    connection.request(method, path)
    answer = connection.getresponse()
    assert answer.status == status
    error = json.load(answer)["error"]
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    if status == 405:
        assert answer.headers["Allow"] in error["message"]
