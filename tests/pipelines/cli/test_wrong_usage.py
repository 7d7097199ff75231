"""Odd arguments of every command: one line that says what came and what was expected, and exit code 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from raydistill.pipelines.cli.app import main

RUN = """
run_dir: {folder}/run
questions: {{task: table, path: rows.jsonl}}
teacher: {{engine: recorded, model: rows.jsonl, completion_column: program}}
"""
GRADE = ["--task", "numeric", "--answer-field", "answer", "--gold-field", "answer"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of odd things, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "rows.jsonl").write_text(
        '{"question": "q", "answer": "1", "program": "def solution():\\n    return 1"}\n'
    )
    (tmp_path / "run.yaml").write_text(RUN.format(folder=tmp_path))
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00\x80")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "folder"], "folder: is a folder; expected a YAML file"),
        (["run", "rows.jsonl/x"], "rows.jsonl/x: cannot be read"),
        (["run", "list.yaml"], "expected a mapping"),
        (["run", "bytes"], "bytes: not valid YAML"),
        (["run", "empty"], "expected a mapping"),
        (["run"], "run: Missing argument 'config'"),
        (["nope"], "No such command 'nope'"),
        (["run", "run.yaml", "--nope"], "No such option"),
        (["run", "run.yaml", "train.lora={rank:", "16}"], "override 'train.lora={rank:': the value is no YAML"),
        (["run", "run.yaml", "teacher.revision=@main"], "override 'teacher.revision=@main': the value is no YAML"),
        (["run", "run.yaml", "teacher.n=2020-13-45"], "month must be in 1..12"),
        (["run", "run.yaml", "teacher.n=*a"], "the value is no YAML"),
        (["run", "run.yaml", "teacher.n=!!python/object:os.system x"], "the value is no YAML"),
        (["run", "run.yaml", "x"], "expected key.path=value"),
        (["run", "run.yaml", "run_dir="], "run_dir"),
        (["run", "run.yaml", "--run-dir", "rows.jsonl"], "rows.jsonl"),
        (["run", "run.yaml", "--run-dir", "rows.jsonl/x"], "rows.jsonl/x"),
        (["run", "run.yaml", "--run-dir", "/proc/x"], "/proc/x"),
        (["run", "run.yaml", "--run-dir", "x://y/z"], "x://y/z"),
        (["run", "run.yaml", "questions.path=folder"], "folder: no data files in this folder"),
        (["run", "run.yaml", "questions.path=bytes"], "bytes"),
        (["run", "run.yaml", "questions.path=empty"], "empty: no rows in it"),
        (["run", "run.yaml", "teacher.model=empty"], "no column 'question'; it has no rows"),
        (["run", "run.yaml", "teacher.completion_column=nope"], "no column 'nope'; it has question, answer, program"),
        (["grade", "rows.jsonl", *GRADE, "--out", "folder"], "--out folder: is a folder"),
        (["grade", "rows.jsonl", *GRADE, "--out", "rows.jsonl/o"], "is a file, not a folder"),
        (["grade", "rows.jsonl", *GRADE, "--out", ""], "is a folder"),
        (["grade", "folder", *GRADE, "--out", "o"], "folder: is a folder; expected a file"),
        (["grade", "rows.jsonl"], "grade: Missing option"),
        (["exec", "rows.jsonl", "--out", "folder"], "--out folder: is a folder"),
        (["exec", "folder", "--out", "o"], "folder: is a folder; expected a file"),
        (["exec", "rows.jsonl", "--out", "/proc/x/o"], "/proc/x"),
        (["exec", "rows.jsonl", "--out", "o", "--mode", "x"], "--mode x: expected one of solution"),
        (["exec", "rows.jsonl", "--out", "o", "--cpu-s", "x"], "Invalid value for '--cpu-s'"),
        (["exec", "empty", "--out", "o"], "empty: no lines in it"),
        (["index", "build", "folder"], "folder: is a folder; expected a YAML file"),
        (["index", "search", "nope", "folder", "--out", "folder"], "--out folder: is a folder"),
        (["serve", "folder"], "folder"),
        (["serve", "nope"], "nope: no such directory"),
    ],
)
def test_wrong_usage_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["raydistill", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    said = capfd.readouterr()
    assert end.value.code == 2 and message in said.err, said.err
    assert said.err.startswith("raydistill: ") and said.err.count("\n") == 1


def test_the_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    from raydistill.pipelines.run_config import load_config

    monkeypatch.setenv("HOME", str(folder))
    config = load_config("run.yaml", ["run_dir=~/runs/a", "teacher.model=~/rows.jsonl", "train.student=~/model"])
    assert config.run_dir == f"{folder}/runs/a" and config.teacher.model == f"{folder}/rows.jsonl"
    assert config.train and config.train.student == f"{folder}/model"
