"""A request with half of a surrogate pair is refused by every route in one line."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(("path", "code"), [("/v1/chat/completions", 400), ("/v1/solve", 422)])
@pytest.mark.parametrize("text", [r"a \ud83d b", r"a \ude00 b", r"a \ud83d\ude00 b", r"a \u00e9 \\ud83d b", "a"])
def test_half_of_a_surrogate_pair_is_refused(path: str, code: int, text: str) -> None:
    from fastapi import Depends, FastAPI
    from fastapi.testclient import TestClient

    from raydistill.serve.ingress import _report_problems, _text_check

    app = FastAPI(dependencies=[Depends(_text_check())])
    _report_problems(app, ())

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
