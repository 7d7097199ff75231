"""Planted faults of a teacher that is elsewhere: dead, without seed, saying the prompt again."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raydistill.pipelines.doctor import engines
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.findings import Finding
from raydistill.pipelines.doctor.registry import found_by
from raydistill.pipelines.doctor.remote import endpoint, recorded
from tests.endpoint import Endpoint, text_of
from tests.pipelines.doctor.conftest import ASKED, Make

Section = Callable[..., dict[str, Any]]
PROGRAM = "def solution():\n    # {question}\n    return 6"


def look(checkup: Checkup) -> Finding:
    (found,) = found_by("endpoint", endpoint(checkup))
    return found


def test_a_dead_endpoint(make: Make, behind_url: Section) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        found = look(make(teacher=behind_url(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")))
    assert found.status == "fail" and "nothing answers there" in found.said and "start the server" in found.remedy


def holds(body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    """The answer of a server that takes schemas and gives log-probabilities."""
    for choice in reply["choices"]:
        if "response_format" in body:
            choice["message"]["content"] = '{"animal": "cow"}'
    return reply


def test_an_endpoint_that_honours_all(make: Make, behind_url: Section) -> None:
    with Endpoint(answer=holds) as server:
        found = look(make(teacher=behind_url(server.url)))
    assert found.status == "ok" and "takes n, seed, logprobs, schema" in found.said, found


def refuse_seed(body: Any) -> tuple[int, Any] | None:
    return (400, {"error": {"message": "Unsupported parameter: 'seed'", "param": "seed"}}) if "seed" in body else None


def test_an_endpoint_without_seed(make: Make, behind_url: Section) -> None:
    count = itertools.count()
    with Endpoint(refuse=refuse_seed) as refusing, Endpoint(say=lambda a, seed: text_of(a, next(count))) as deaf:
        for server in (refusing, deaf):
            found = look(make(teacher=behind_url(server.url)))
            assert found.status == "warn" and "does not take seed" in found.said, found


def test_an_endpoint_that_gives_one_choice(make: Make, behind_url: Section) -> None:
    with Endpoint(choices=1) as server:
        found = look(make(teacher=behind_url(server.url)))
    assert found.status == "ok" and "does not take n" in found.said, found


@pytest.fixture
def record(make: Make, tmp_path: Path) -> Iterator[Callable[[Callable[[str], str]], list[Finding]]]:
    """What is found of a recording that answers each question so."""

    def findings(answer: Callable[[str], str]) -> list[Finding]:
        rows = [{"question": text, "completion": answer(text)} for text in ASKED]
        path = tmp_path / "recorded.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        local = {"dtype": "auto", "max_model_len": None, "kv_cache_gb": 4}
        return list(recorded(make(teacher={"engine": "recorded", "model": str(path)} | local)))

    yield findings


def test_a_recording_of_prompts_and_answers(record: Callable[..., list[Finding]]) -> None:
    assert [one.status for one in record(lambda text: PROGRAM.format(question=text))] == ["ok", "ok"]
    held, said = record(lambda text: f"{text}\n\ndef solution():\n    return 6")
    assert (held.status, said.status) == ("ok", "fail") and "12 of 12 answers begin with the prompt" in said.said


def test_a_teacher_that_echoes_the_prompt(cluster: None, make: Make, behind_url: Section) -> None:
    with Endpoint(say=lambda asked, seed: f"{asked}\n\n{text_of(asked, seed)}") as echoing:
        (found,) = engines.teacher(make(teacher=behind_url(echoing.url)))
    assert found.status == "fail" and "3 of 3 answers begin with the prompt" in found.said
    with Endpoint() as server:
        (found,) = engines.teacher(make(teacher=behind_url(server.url)))
    assert found.status == "ok"
