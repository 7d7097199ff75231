"""Runs whose teacher is behind a URL: real HTTP, real Ray, real sandbox; and what is wrong with a URL in one line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.models import base_model
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.endpoints import check_endpoint
from tests import ROOT
from tests.endpoint import Endpoint

KEY = "RAYDISTILL_TEST_KEY"


def program(asked: str, seed: int) -> str:
    """Adds what it is asked to add; every third seed it is wrong."""
    words = asked.split("What is ")[1].split()
    return f"```python\ndef solution():\n    return {words[0]} + {words[2].rstrip('?')} + {seed % 3 == 0:d}\n```"


def config(root: Path, questions: Path, url: str, **teacher: Any) -> Run:
    endpoint = {"base_url": url, "api_key_env": KEY} | teacher.pop("endpoint", {})
    table = {"task": "table", "path": str(questions)}
    return Run.model_validate(
        {
            "run_dir": str(root),
            "questions": table | {"size": 8},
            "teacher": {"engine": "openai", "model": "model", "n": 3, "endpoint": endpoint, **teacher},
            "evaluation": {"questions": table, "models": ["teacher"]},
        }
    )


def synthesized(config: Run, *, evaluated: bool = False) -> tuple[dict[str, Any], str]:
    """The report after a synthesis, and an evaluation of the teacher, and what was said."""
    said = StringIO()
    runner = Runner(config, Console(file=said, soft_wrap=True))
    try:
        runner.start().synthesize()
        if evaluated:
            runner.evaluate(["teacher"])
    finally:
        runner.close()
    return runner.report, said.getvalue()


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def apart(tmp_path: Path) -> Path:
    """Questions of which none is held out, as those of the evaluation are."""
    path = tmp_path / "mine.jsonl"
    asked = [{"question": f"What is {i} plus 20?", "answer": str(i + 20)} for i in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    return path


def test_a_run_resumes_at_another_address_and_knows_its_cost(
    cluster: None, key: None, tmp_path: Path, questions_file: Path
) -> None:
    mine = {"path": str(apart(tmp_path))}

    def made(url: str, **teacher: Any) -> Run:
        run = config(tmp_path / "run", questions_file, url, **teacher)
        assert run.questions
        return run.model_copy(update={"questions": run.questions.model_copy(update=mine)})

    broken = iter(["cut"])
    with Endpoint(lambda asked: next(broken, ""), say=program, choices=1) as server:
        report, said = synthesized(made(server.url), evaluated=True)
        received = list(server.received)
    teacher, verification = report["teacher"], report["verification"]
    assert f"asking model at {server.url}" in said and said.count("each sample is a request of its own") == 1
    assert verification["passed"] + verification["failed"] == 24 and verification["unknown"] == 0
    assert verification["passed"] > 8 and report["evaluation"]["teacher"]["n"] == 12
    whole = [one for one in received if one.whole and one.body["temperature"] == 1]
    assert teacher["generated_tokens"] == sum(one.completion_tokens for one in whole)
    assert teacher["prompt_tokens"] == sum(one.prompt_tokens for one in whole)
    assert teacher["wasted_tokens"] == teacher["wasted_tokens_estimated"] == teacher["estimated_tokens"] > 0
    assert teacher["wasted_prompt_tokens"] > 0 and teacher["http_requests"] == len(whole) + 1
    assert len(teacher["not_taken"]) == 1
    assert not any(b"secret" in path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    with Endpoint(say=program) as moved:
        again, _ = synthesized(made(moved.url))
        assert moved.received == [] and again["resumed"]["new_samples"] == 0
        assert again["teacher"]["wasted_tokens"] == teacher["wasted_tokens"]
        more, _ = synthesized(made(moved.url, n=4))
        assert more["resumed"]["new_samples"] == 8 == len(moved.received)
    gone, _ = synthesized(made(moved.url))
    assert gone["resumed"]["new_samples"] == 0


def raydistill(path: Path, *overrides: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raydistill", "synth", str(path), *overrides]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **variables}
    return subprocess.run(command, cwd=path.parent, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def silent() -> Any:
    """The address of a socket that listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def test_what_is_wrong_with_a_url_is_one_line(tmp_path: Path, questions_file: Path, silent: str) -> None:
    run = config(tmp_path / "run", questions_file, "http://127.0.0.1:9/v1").model_dump(mode="json")
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(run | {"evaluation": None}), encoding="utf-8")

    def refused(message: str, *overrides: str, **variables: str) -> None:
        done = raydistill(path, *overrides, **({KEY: "secret"} | variables))
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1 and "starting" not in done.stdout

    refused(f"the environment variable {KEY} is not set", **{KEY: ""})
    refused("teacher.endpoint.base_url: http://127.0.0.1:9/v1: nothing answers there")
    with Endpoint(
        models=("small", "large"), refuse=lambda body: (404, {"error": {"message": "no such model"}})
    ) as server:
        refused("has no model 'model'; it has small, large", f"teacher.endpoint.base_url={server.url}")
        wrong = server.url.removesuffix("/v1")
        refused("it says 404: 404: Not Found; a base_url usually ends with /v1", f"teacher.endpoint.base_url={wrong}")


def engine(url: str, **settings: Any) -> EngineConfig:
    endpoint = {"base_url": url, "api_key_env": None}
    return EngineConfig.model_validate({"engine": "openai", "model": "model", "endpoint": endpoint, **settings})


def test_a_server_that_says_nothing_is_named_within_ten_seconds(silent: str) -> None:
    started = time.monotonic()
    with pytest.raises(UsageError, match=f"{silent}: no answer within 8 s"):
        check_endpoint(engine(silent))
    assert time.monotonic() - started < 10 + 5  # of a busy machine


def test_a_server_that_does_not_go_on_with_an_answer_is_refused_at_start() -> None:
    def counts_turns(body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
        reply["usage"]["prompt_tokens"] += 3 * body.get("add_generation_prompt", True)
        return reply

    with Endpoint(answer=counts_turns) as server:
        check_endpoint(engine(server.url), prefixes=True)
    refuse = (400, {"error": {"message": "Unrecognized request argument supplied: continue_final_message"}})
    for server in (Endpoint(), Endpoint(refuse=lambda body: refuse if "continue_final_message" in body else None)):
        with server:
            check_endpoint(engine(server.url))
            with pytest.raises(UsageError, match="does not go on with an assistant's turn"):
                check_endpoint(engine(server.url), prefixes=True)


def test_a_model_that_is_not_listed_may_answer_all_the_same() -> None:
    with Endpoint(models=None) as server:
        check_endpoint(engine(server.url))
    with Endpoint(models=("provider/model", "other")) as server:
        check_endpoint(engine(server.url))
        assert not server.received
    keyless = pytest.raises(UsageError, match="refuses requests without a key: name its variable: none given")
    with Endpoint(refuse=lambda body: (401, {"error": {"message": "none given"}}), models=None) as server, keyless:
        check_endpoint(engine(server.url))
    with Endpoint(refuse=lambda body: (400, {"error": {"message": "max_tokens is unknown"}}), models=None) as server:
        check_endpoint(engine(server.url))


def test_a_student_takes_nothing_from_a_teacher_behind_a_url(tmp_path: Path, questions_file: Path) -> None:
    run = config(tmp_path, questions_file, "http://h/v1", max_num_seqs=3, health_timeout_s=5)
    student = base_model(run.model_validate(run.model_dump() | {"train": {"student": "a/b"}}))
    assert student == EngineConfig(model="a/b")
    with pytest.raises(ValueError, match="teacher.dtype says nothing of a model behind a URL: write student.dtype"):
        config(tmp_path, questions_file, "http://h/v1", dtype="float32")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"endpoint": None}, "belong together"),
        ({"engine": "vllm"}, "belong together"),
        ({"replicas": [1, 2]}, "replicas stay"),
        ({"endpoint": {"base_url": "api.openai.com/v1"}}, "expected a URL"),
        ({"endpoint": {"base_url": "http://h/v1", "api": "completions"}}, "needs endpoint.tokenizer"),
        ({"endpoint": {"base_url": "http://h/v1", "key": "x"}}, "Extra inputs"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine("http://h/v1", **settings)
