"""Bodies are read strictly, by every route alike: half of a surrogate pair, numbers that are none, depth."""

from __future__ import annotations

from typing import Any

import pytest

from raydistill.serve.problems import Refused
from raydistill.serve.reading import DEPTH, read_json


@pytest.mark.parametrize(("path", "code"), [("/v1/chat/completions", 400), ("/v1/solve", 422)])
@pytest.mark.parametrize("text", [r"a \ud83d b", r"a \ude00 b", r"a \ud83d\ude00 b", r"a \u00e9 \\ud83d b", "a"])
def test_half_of_a_surrogate_pair_is_refused(path: str, code: int, text: str) -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from raydistill.serve.admission.gate import Gate, Rules
    from raydistill.serve.problems import report_problems
    from raydistill.serve.reading import JsonRoute

    app = FastAPI()
    app.router.route_class = JsonRoute
    app.state.gate = Gate(Rules())
    report_problems(app)

    @app.post(path)
    async def said(body: dict[str, Any]) -> dict[str, Any]:
        return {"answer": body}

    body = f'{{"messages": [{{"content": "{text}"}}]}}'
    response = TestClient(app).post(path, content=body, headers={"Content-Type": "application/json"})
    if text.count("\\ud83d") + text.count("\\ude00") == 1 and "\\\\" not in text:
        assert response.status_code == code
        assert "half of a surrogate pair" in response.json()["error"]["message"]
    else:
        assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "value"),
    [(b"[1, 1.0, -0.0, 1e3, 1.5]", [1, 1, 0, 1000, 1.5]), (b'"\\u00e9"', "é"), (b"[" * DEPTH + b"]" * DEPTH, None)],
)
def test_what_is_json_is_read(body: bytes, value: Any) -> None:
    read = read_json(body)
    assert value is None or read == value and list(map(type, read)) == list(map(type, value))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[NaN]", "NaN is no JSON"),
        (b"-Infinity", "-Infinity is no JSON"),
        (b"1e400", "1e400: a number out of range"),
        (b"1" * 61, "11111111111111111111...: a number of more than 60 digits"),
        (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), "nested more than 64 deep"),
        (b"[" * 10**6, "nested more than 64 deep"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"[1,]", "JSON decode error at character"),
        (b'{"\\ud800": 1}', "the request holds half of a surrogate pair"),
    ],
)
def test_what_is_not_is_refused_in_one_line(body: bytes, message: str) -> None:
    with pytest.raises(Refused) as refused:
        read_json(body)
    assert (refused.value.status_code, refused.value.detail.startswith(f"body: {message}")) == (400, True)
