"""The program as a user meets it: its help, its files, and one clear line for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ROOT


def raydistill(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raydistill", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def write_run(folder: Path, rows: list[str], **teacher: str) -> Path:
    (folder / "questions.jsonl").write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    settings = {"model": str(folder / "no-model")} | teacher
    config = {
        "run_dir": str(folder / "run"),
        "questions": {"task": "table", "path": str(folder / "questions.jsonl")},
        "teacher": settings,
    }
    path = folder / "run.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


RECORDED = ["teacher.engine=recorded", "teacher.model=questions.jsonl"]
GOOD = '{"question": "1+1?", "answer": "2"}'


@pytest.mark.parametrize(
    ("rows", "overrides", "code", "message"),
    [
        ([GOOD], ["teacher.temprature=1"], 2, "teacher.temprature: unknown key"),
        ([GOOD], ["questions.path=nowhere.jsonl", *RECORDED], 2, "nowhere.jsonl"),
        ([GOOD, "{broken"], RECORDED, 2, "questions.jsonl:2"),
        ([GOOD, '{"question": "2+2?"}'], RECORDED, 2, "answer"),
        ([GOOD], [], 2, "teacher.model"),
        ([GOOD], ["teacher.engine=recorded"], 2, "no such file of recorded completions"),
        ([GOOD], ["teacher.model=."], 2, "no config.json"),
    ],
)
def test_bad_input_is_one_clear_line_and_leaves_nothing(
    tmp_path: Path, rows: list[str], overrides: list[str], code: int, message: str
) -> None:
    done = raydistill("synth", str(write_run(tmp_path, rows)), *overrides, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert not list((tmp_path / "run").rglob("*.json")) and not list((tmp_path / "run").rglob("*.parquet"))


def test_a_cluster_that_does_not_answer_is_named_at_once(tmp_path: Path) -> None:
    path = write_run(tmp_path, [GOOD], engine="recorded", model="questions.jsonl", completion_column="answer")
    done = raydistill("synth", str(path), cwd=tmp_path, RAY_ADDRESS="127.0.0.1:1")
    assert done.returncode == 2
    assert "RAY_ADDRESS=127.0.0.1:1: no cluster answers there" in done.stderr and "Traceback" not in done.stderr


def test_a_ray_that_does_not_start_is_one_clear_line(tmp_path: Path) -> None:
    path = write_run(
        tmp_path, [GOOD], engine="recorded", model=str(tmp_path / "questions.jsonl"), completion_column="answer"
    )
    done = raydistill("synth", str(path), "--quiet", cwd=tmp_path, RAY_ADDRESS="", RAY_TMPDIR="/dev/null/nowhere")
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("raydistill: Ray did not start on this machine (")
    assert "run the same command again" in done.stderr and "Traceback" not in done.stderr


def test_a_missing_configuration_is_usage(tmp_path: Path) -> None:
    done = raydistill("run", "absent.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "absent.yaml: no such configuration file" in done.stderr


def test_help_teaches_and_is_quick(tmp_path: Path) -> None:
    started = time.monotonic()
    done = raydistill("--help", cwd=tmp_path)
    assert done.returncode == 0 and time.monotonic() - started < 10
    for verb in ("run", "synth", "train", "eval", "exec", "grade", "serve"):
        assert verb in done.stdout
    assert "key.path=value" in raydistill("run", "--help", cwd=tmp_path).stdout


def test_exec_writes_one_verdict_per_line_in_order(tmp_path: Path) -> None:
    programs = ["def solution():\n    return 6 * 7", "def solution():\n    return 1 / 0", "nothing to run ("]
    lines = [json.dumps({"item": {"code": program}}) for program in programs]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = raydistill("exec", "in.jsonl", "--field", "item.code", "--out", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [verdict["reason"] for verdict in verdicts] == ["ok", "exception:ZeroDivisionError", "syntax"]
    assert verdicts[0]["value"] == 42


def test_exec_names_a_missing_field_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"code": "1"}\n', encoding="utf-8")
    done = raydistill("exec", "in.jsonl", "--field", "program", "--out", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 2 and "no field 'program'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_grade_writes_one_verdict_per_line(tmp_path: Path) -> None:
    rows = [{"a": "The answer is 1,000.", "g": "1000"}, {"a": "no idea", "g": "3"}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    fields = ("--task", "numeric", "--answer-field", "a", "--gold-field", "g", "--out", "out.jsonl")
    done = raydistill("grade", "in.jsonl", *fields, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    verdicts = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(verdict["status"], verdict["reason"]) for verdict in verdicts] == [
        ("passed", "ok"),
        ("failed", "no_answer"),
    ]
