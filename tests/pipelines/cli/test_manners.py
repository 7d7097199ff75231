"""How the program behaves: quick help, completion, events as JSON, no reports to anybody, early one-line refusals."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raydistill.actors.pool import Pool, PoolSettings
from raydistill.actors.telemetry import DECLINED, decline
from tests.pipelines.cli.test_app import GOOD, raydistill, write_run
from tests.rows import recorded_run, write_rows

BUSY_S = 15  # for ten seconds on a machine that has other work


def test_help_takes_less_than_half_a_second_and_loads_nothing_heavy(tmp_path: Path) -> None:
    def user_s() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        assert raydistill("--help", cwd=tmp_path).returncode == 0
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before

    assert min(user_s() for _ in range(3)) < 0.5
    heavy = ("ray", "torch", "transformers", "pydantic", "pyarrow", "numpy", "openai", "sympy")
    program = f"import sys, raydistill.pipelines.cli.app\nassert not set(sys.modules) & set({heavy!r})"
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path).returncode == 0


def test_a_shell_completes_commands(tmp_path: Path) -> None:
    asked = {"_RAYDISTILL_COMPLETE": "complete_bash", "COMP_WORDS": "raydistill pl", "COMP_CWORD": "1"}
    assert raydistill(cwd=tmp_path, **asked).stdout.split() == ["plan"]


def test_events_are_json_objects(tmp_path: Path) -> None:
    rows = [
        {"question": f"{i}+1?", "answer": str(i + 1), "program": f"def solution():\n    return {i} + 1"} for i in (1, 2)
    ]
    config = recorded_run(write_rows(tmp_path / "rows.jsonl", rows)) | {"run_dir": str(tmp_path / "run")}
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    done = raydistill("synth", "run.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["event"] == "message" and events[0]["text"].startswith("2 questions of table")
    [report] = [event for event in events if event["event"] == "report"]
    assert report["examples"] == 2 and report["cost"]["generated_tokens"] == 0
    wrong = raydistill("synth", "run.yaml", "teacher.n=0", "--json", cwd=tmp_path)
    [error] = map(json.loads, wrong.stdout.splitlines())
    assert error["event"] == "error" and error["exit_code"] == 2 == wrong.returncode
    assert "teacher.n" in error["message"] and f"raydistill: {error['message']}\n" == wrong.stderr
    graded = raydistill("exec", "rows.jsonl", "--out", "verdicts.jsonl", "--json", cwd=tmp_path)
    assert json.loads(graded.stdout.splitlines()[-1])["counts"] == {"passed": 2}


def test_nothing_is_said_with_quiet(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"program": "def solution():\\n    return 1"}\n')
    done = raydistill("exec", "in.jsonl", "--out", "out.jsonl", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_library_reports_to_its_makers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DECLINED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLLM_NO_USAGE_STATS", "0")  # somebody wants that one
    decline()
    assert {name: os.environ[name] for name in DECLINED} == DECLINED | {"VLLM_NO_USAGE_STATS": "0"}
    options = Pool(PoolSettings("p", dict, environment={"A": "b"}))._deployment_options({})
    assert options["ray_actor_options"]["runtime_env"]["env_vars"] == {**DECLINED, "VLLM_NO_USAGE_STATS": "0", "A": "b"}


def refused(folder: Path, message: str, *arguments: str, code: int = 2, **variables: str) -> None:
    started = time.monotonic()
    done = raydistill(*arguments, cwd=folder, **variables)
    assert time.monotonic() - started < BUSY_S
    assert done.returncode == code and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert "starting" not in done.stdout


def test_an_address_that_is_no_ray_is_named_in_time(tmp_path: Path) -> None:
    path = write_run(tmp_path, [GOOD], engine="recorded", model="questions.jsonl", completion_column="answer")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        refused(tmp_path, f"RAY_ADDRESS={address}: no cluster answers there", "run", str(path), RAY_ADDRESS=address)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = write_run(tmp_path, [GOOD], engine="recorded", model="questions.jsonl", completion_column="answer")
    for command in ("run", "plan"):
        refused(tmp_path, "run_dir /proc/run: ", command, str(path), "--run-dir", "/proc/run")
    mounted = tmp_path / "read-only"
    mounted.mkdir()
    script = (
        f"mount -t tmpfs -o ro none {mounted} && exec {sys.executable} -m raydistill run {path} --run-dir {mounted}/r"
    )
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("no user namespaces here")
    assert done.returncode == 2 and "Read-only file system; choose another with --run-dir" in done.stderr


def test_a_missing_tokenizer_is_named_before_anything_starts(tmp_path: Path, tiny_model: str) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(f"{tiny_model}/{name}", bare)
    path = write_run(tmp_path, [GOOD], model=str(bare))
    refused(tmp_path, f"teacher.model: {bare} holds no tokenizer: none of tokenizer.json", "run", str(path))
    train = f"train={{student: {bare}}}"
    refused(tmp_path, "train.student: ", "run", str(path), f"teacher.model={tiny_model}", train)


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path, tiny_model: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(tmp_path, f"cannot listen on 127.0.0.1:{port}", "serve", tiny_model, "--port", port)
