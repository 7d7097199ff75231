"""What the log and Prometheus say of requests: the service's own, asked as clients ask."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.serve.records.log import LogSettings
from raydistill.serve.records.record import Record
from tests import ROOT
from tests.processes import described
from tests.serve.conftest import Guarded
from tests.serve.solving.test_solving import SEVEN
from tests.waiting import wait_until

PARTS = ("total", "queue", "first_token", "generation", "execution", "vote")
CHAT = {"messages": [{"role": "user", "content": "secret words"}], "max_tokens": 5}


def lines(folder: Path, request_id: str) -> list[dict[str, Any]]:
    texts = [line for path in folder.glob("requests-*.jsonl") for line in path.read_text().splitlines()]
    return [told for text in texts if (told := json.loads(text))["request_id"] == request_id]


def asked(service: Guarded, path: str, body: object, request_id: str, key: str = "") -> dict[str, Any]:
    """The line in the log on a request with this id; the answer may be one of failure."""
    headers = {"Content-Type": "application/json", "X-Request-Id": request_id, "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(service.url + path, json.dumps(body).encode(), headers)
    opener = urllib.request.build_opener(Silent)
    opener.open(request, timeout=120).read()
    found: list[dict[str, Any]] = []
    wait_until(lambda: found.extend(lines(service.log, request_id)) or bool(found), 10, "the line in the log")
    [told] = found
    return told


class Silent(urllib.request.HTTPErrorProcessor):
    """Failures are answers, too."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response


def test_a_solved_question_is_one_line_with_its_parts_and_without_contents(guarded: Guarded) -> None:
    told = asked(guarded, "/v1/solve", SEVEN | {"n": 3}, "solve-1", guarded.KEYS["client-50"])
    assert (told["route"], told["method"], told["status"], told["code"]) == ("/v1/solve", "POST", 200, "")
    assert (told["key"], told["model"]) == ("client-50", "student") and told["verdicts"]["ok"] >= 2
    assert told["prompt_tokens"] > 0 and told["completion_tokens"] > 0
    assert all(told[f"{part}_s"] >= 0 for part in PARTS)
    assert told["queue_s"] + told["generation_s"] <= told["total_s"] and told["first_token_s"] <= told["generation_s"]
    assert "3 plus 4" not in json.dumps(told) and guarded.KEYS["client-50"] not in json.dumps(told)


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_has_its_tokens_however_it_is_answered(guarded: Guarded, stream: bool) -> None:
    told = asked(
        guarded, "/v1/chat/completions", CHAT | {"stream": stream}, f"chat-{stream}", guarded.KEYS["client-51"]
    )
    assert told["status"] == 200 and 1 <= told["completion_tokens"] <= 5 < told["prompt_tokens"]
    assert 0 < told["first_token_s"] <= told["generation_s"] and "verdicts" not in told
    assert "secret" not in json.dumps(told)


@pytest.mark.parametrize(
    ("path", "body", "key", "status", "code"),
    [
        ("/v1/solve", {"question": ""}, "client-52", 422, "invalid_value"),
        ("/v1/solve", SEVEN | {"model": "nobody"}, "client-52", 404, "model_not_found"),
        ("/v1/solve", SEVEN, "", 401, "invalid_api_key"),
        ("/v1/chat/completions", CHAT | {"n": 3}, "client-4", 400, "over_limit"),
        ("/nowhere", {}, "", 404, "unknown_url"),
    ],
)
def test_failures_have_their_codes(guarded: Guarded, path: str, body: object, key: str, status: int, code: str) -> None:
    told = asked(guarded, path, body, f"failed-{status}-{code}", guarded.KEYS.get(key, ""))
    assert (told["status"], told["code"], told["key"]) == (status, code, key)
    assert told["route"] == ("" if code == "unknown_url" else path)


def test_prometheus_is_told_the_same(guarded: Guarded) -> None:
    asked(guarded, "/v1/solve", SEVEN, "solve-2", guarded.KEYS["client-53"])

    expected = [
        r'requests_total\{.*key="client-53".*\}',
        r'requests_total\{.*route="/v1/solve".*\}',
        r'request_tokens_total\{.*kind="completion".*\}',
        r'request_verdicts_total\{.*reason="ok".*\}',
        *(rf'request_seconds_count\{{.*part="{part}".*\}}' for part in PARTS),
    ]

    def missing() -> list[str]:
        text = exported(guarded)
        return [one for one in expected if not re.search(rf"ray_raydistill_{one} [1-9]", text)]

    wait_until(lambda: not missing(), 120, "Ray's exporter to tell of all")
    drawn = re.findall(r"ray_raydistill_(request\w+)", (ROOT / "deploy" / "grafana.json").read_text(encoding="utf-8"))
    assert drawn and all(f"ray_raydistill_{name}{{" in exported(guarded) for name in drawn)


def exported(guarded: Guarded) -> str:
    """What Ray's exporter on the service's node says."""
    told = [re.search(r"--session-dir=(\S+)", described(process)) for process in guarded.processes("raylet")]
    [session] = {match[1] for match in told if match}
    [file] = Path(session).glob("metrics_export_port_*")
    url = f"http://127.0.0.1:{file.read_text()}/metrics"
    with urllib.request.urlopen(url, timeout=30) as page:
        return page.read().decode()


def test_readiness_and_version(guarded: Guarded) -> None:
    assert guarded.request("/readyz") == (200, {"status": "ok"})
    assert re.fullmatch(r"\d+\.\d+\.\d+", guarded.request("/version")[1]["version"])


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    LogSettings(str(tmp_path / "new" / "log")).check()
    with pytest.raises(UsageError, match="file/log: Not a directory; expected a folder for the requests' log"):
        LogSettings(str(tmp_path / "file" / "log")).check()


def test_parts_are_those_that_a_request_has_come_to() -> None:
    record = Record(marks={"over": 5.0})
    assert record.parts() == {"total": 5.0}
    record.marks |= {"admitted": 1.0, "first": 2.0, "generated": 3.5, "judged": 4.0}
    record.execution_s = 0.25
    expected = {"queue": 1.0, "first_token": 1.0, "generation": 2.5, "execution": 0.25, "vote": 1.0}
    assert record.parts() == {"total": 5.0} | expected
