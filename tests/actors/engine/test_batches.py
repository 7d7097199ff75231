"""Files of the Batch API: a line is what a live request would be, and answers are read in whatever form they come."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.engine.recorded import RecordedEngine
from raydistill.actors.engine.recording import read_recording
from raydistill.actors.engine.remote.batches import batch_lines
from raydistill.actors.engine.remote.dialect import Dialect
from raydistill.actors.engine.remote.settings import EndpointSettings
from raydistill.actors.engine.requests import Request, Sampling
from raydistill.actors.errors import UsageError
from tests.actors.engine.test_remote import ASKED, NEUTRAL, TURNS, ask
from tests.endpoint import Endpoint
from tests.rows import write_rows

REQUEST = Request("0123456789abcdef/plain", TURNS, Sampling(0.7, 0.9, 33), (0, 1, 2, 5), seed=7, key=ASKED)
COLUMNS = "question", "completion", "finish_reason"


def lines(request: Request, **settings: Any) -> list[dict[str, Any]]:
    asked = EndpointSettings("model", **{"base_url": "http://h/v1", "sampling": NEUTRAL, **settings})
    return list(batch_lines(request, asked, Dialect(asked)))


def answer(custom_id: str, *texts: str, **usage: int) -> dict[str, Any]:
    """A line of a batch's answers, as OpenAI writes it."""
    choices = [
        {"index": place, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for place, text in enumerate(texts)
    ]
    body = {"choices": choices, "usage": usage or None}
    return {"id": "b", "custom_id": custom_id, "response": {"status_code": 200, "body": body}, "error": None}


def test_a_line_is_what_a_live_request_would_be() -> None:
    with Endpoint() as server:
        ask(server, REQUEST)
    sent = sorted((one.body for one in server.received), key=lambda body: int(body["seed"]))
    written = lines(REQUEST)
    assert [line["body"] for line in written] == sent
    assert [line["custom_id"].rpartition("/")[2] for line in written] == ["0", "5"]
    assert {(line["method"], line["url"]) for line in written} == {("POST", "/v1/chat/completions")}
    assert [line["body"].get("n", 1) for line in lines(REQUEST, most_choices=2)] == [2, 1, 1]


def test_greedy_samples_beyond_one_are_refused() -> None:
    with pytest.raises(UsageError, match="n > 1 needs a temperature above 0"):
        lines(Request("0123456789abcdef/plain", TURNS, Sampling(0), (0, 1)))


def test_openai_is_not_asked_for_what_it_refuses() -> None:
    [line, _] = lines(REQUEST, base_url="https://api.openai.com/v1")
    assert not NEUTRAL.keys() & line["body"].keys() and line["body"]["max_completion_tokens"] == 33
    assert "max_tokens" not in line["body"]


def test_answers_come_unordered_and_errors_in_a_file_of_their_own(tmp_path: Path) -> None:
    refused = {"status_code": 400, "body": {"error": {"message": "no such  setting"}}}
    answers = write_rows(
        tmp_path / "out.jsonl",
        [
            answer("0123456789abcdef/plain/5", "f"),
            answer("0123456789abcdef/plain/0", "a", "bb", completion_tokens=9, prompt_tokens=5),
        ],
    )
    errors = write_rows(
        tmp_path / "errors.jsonl",
        [
            {"custom_id": "0123456789abcdef/plain/2", "response": refused, "error": None},
            {"custom_id": "f123456789abcdef/x/0", "response": None, "error": {"code": "expired", "message": "late"}},
        ],
    )  # fmt: skip
    engine = RecordedEngine([str(errors), str(answers)])
    came = asyncio.run(engine.generate([REQUEST]))
    assert [one.text for one in came] == ["a", "bb", "", "f"]
    assert [(one.prompt_tokens, one.completion_tokens) for one in came[:2]] == [(2, 3), (3, 6)]
    assert [one.seed for one in came] == [7, 8, 9, 12]
    assert came[2].error.endswith("out.jsonl: 400: no such setting")
    [late] = asyncio.run(engine.generate([Request("f123456789abcdef/x", "?")]))
    assert late.error.endswith(": late")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("URL /v1/completions was used.", "400: URL /v1/completions was used."),
        ({"error": {"message": "too long", "type": "BadRequestError", "code": 400}}, "400: too long"),
        (None, "400: a line without an answer"),
    ],
)
def test_errors_of_vllms_run_batch(tmp_path: Path, error: Any, reason: str) -> None:
    response = {"status_code": 400, "request_id": "b", "body": None}
    path = write_rows(tmp_path / "out.jsonl", [{"custom_id": "q/plain", "response": response, "error": error}])
    assert read_recording([str(path)], *COLUMNS).failures == {"q/plain": reason}


def test_lines_that_hold_no_choice_are_no_answer(tmp_path: Path) -> None:
    withheld = answer("q", "secret")
    withheld["response"]["body"]["choices"][0]["finish_reason"] = "content_filter"
    odd = [answer("none"), {"custom_id": "other", "response": {"status_code": 200, "body": {"text": "x"}}}, withheld]
    recording = read_recording([str(write_rows(tmp_path / "out.jsonl", odd))], *COLUMNS)
    assert not recording.said and recording.failures.keys() == {"none", "other", "q"}


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("question", ASKED),
        ("question_id", "0123456789abcdef"),
        ("request", "0123456789abcdef/plain"),
        ("custom_id", "0123456789abcdef"),
    ],
)
def test_rows_are_found_by_questions_and_by_ids(tmp_path: Path, column: str, key: str) -> None:
    rows: list[dict[str, Any]] = [{column: key, "completion": ["a", "b"]}, {column: key, "completion": "c"}]
    if column == "custom_id":
        rows = [answer(key, "a", "b"), answer(key, "c")]
    engine = RecordedEngine([str(write_rows(tmp_path / "said.jsonl", rows))], column)
    came = asyncio.run(engine.generate([Request(REQUEST.id, TURNS, indices=(0, 1, 2, 3), key=ASKED)]))
    assert [one.text for one in came] == ["a", "b", "c", ""] and came[3].error


def test_completions_of_a_run_are_found_by_their_sample_ids(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"sample_id": f"{REQUEST.id}/{index}", "text": str(index)} for index in (5, 1, 0)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "part.parquet")
    engine = RecordedEngine([str(tmp_path / "part.parquet")], "sample_id", "text")
    assert [one.text for one in asyncio.run(engine.generate([REQUEST]))] == ["0", "1", "", "5"]


def test_an_empty_file_of_errors_is_none(tmp_path: Path) -> None:
    answers = write_rows(tmp_path / "out.jsonl", [answer("q/plain", "a")])
    empty = write_rows(tmp_path / "errors.jsonl", [])
    assert (
        json.dumps(read_recording([str(empty), str(answers)], *COLUMNS).said)
        == '{"q/plain": [["a", "stop", "", 0, 0]]}'
    )
    with pytest.raises(UsageError, match="it has no rows"):
        read_recording([str(empty)], *COLUMNS)
