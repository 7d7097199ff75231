"""Twelve mistakes of the first hour: each is one line that names cause and remedy, before anything costly starts."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import load_config
from tests import ROOT
from tests.endpoint import Endpoint
from tests.pipelines.cli.test_app import raydistill
from tests.rows import write_rows

ROWS = [{"question": f"What is {i} plus 1?", "answer": str(i + 1)} for i in range(12)]
NO_KEY = {"RAYDISTILL_TEST_KEY": ""}


def configured(folder: Path, student: str, **changed: Any) -> Path:
    """A run of recorded programs whose student is trained."""
    rows = [row | {"program": f"def solution():\n    return {row['answer']}"} for row in ROWS]
    path = write_rows(folder / "rows.jsonl", rows)
    config = {
        "run_dir": str(folder / "run"),
        "questions": {"task": "table", "path": str(path)},
        "teacher": {"engine": "recorded", "model": str(path), "completion_column": "program"},
        "train": {"student": student, "epochs": 1},
    }
    (folder / "run.yaml").write_text(json.dumps(config | changed))
    return folder / "run.yaml"


def refused(folder: Path, *arguments: str, **variables: str) -> str:
    """What a command says that ends as wrong usage, and does not begin."""
    done = raydistill(*arguments, cwd=folder, **variables)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr, done.stderr
    assert not [*folder.glob("run/completions/*"), *folder.glob("run/config.yaml")]
    return done.stderr


def wrong_column(folder: Path, model: str) -> str:
    return refused(folder, "run", str(configured(folder, model)), "questions.answer_column=gold")


def wrong_path(folder: Path, model: str) -> str:
    return refused(folder, "run", str(configured(folder, model)), "questions.path=rowz.jsonl")


def no_gpu(folder: Path, model: str) -> str:
    return refused(folder, "run", str(configured(folder, model)), "train.gpus_per_worker=1", CUDA_VISIBLE_DEVICES="")


def behind(url: str) -> str:
    return (
        "teacher={engine: openai, model: model, endpoint: {base_url: '" + url + "', api_key_env: RAYDISTILL_TEST_KEY}}"
    )


def no_key(folder: Path, model: str) -> str:
    return refused(folder, "run", str(configured(folder, model)), behind("http://127.0.0.1:9/v1"), **NO_KEY)


def key_refused(folder: Path, model: str) -> str:
    told = {"error": {"message": "Incorrect API key provided"}}
    with Endpoint(refuse=lambda body: (401, told), models=None) as server:
        return refused(folder, "run", str(configured(folder, model)), behind(server.url), RAYDISTILL_TEST_KEY="wrong")


def port_taken(folder: Path, model: str) -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return refused(folder, "serve", model, "--port", str(taken.getsockname()[1]))


def too_little_memory(folder: Path, model: str) -> str:
    teacher = f"teacher={{model: {model}, kv_cache_gb: 100000}}"
    return refused(folder, "run", str(configured(folder, model)), teacher, CUDA_VISIBLE_DEVICES="")


def too_little_disk(folder: Path, model: str) -> str:
    (folder / "small").mkdir()
    path = configured(folder, model)
    started = f"{sys.executable} -m raydistill run {path} --run-dir {folder}/small/run"
    script = f"mount -t tmpfs -o size=1m none {folder}/small && exec {started}"
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=folder, env=variables, capture_output=True, text=True
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("no user namespaces here")
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def wrong_python(folder: Path, model: str) -> str:
    """As another Python says it; where this machine has none, pip and make alone would."""
    named = [shutil.which(f"python3.{minor}") for minor in (13, 14, 10)]
    kept = sorted(Path("~/.pyenv/versions").expanduser().glob("3.1[034]*/bin/python"))
    for other in filter(None, [*named, *map(str, kept)]):
        command = [other, "-c", "import runpy; runpy.run_module('raydistill', run_name='__main__')"]
        done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
        if "raydistill" in done.stderr:  # else the command of a version manager that has none of it
            assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
            return done.stderr
    pytest.skip("no other Python here")


def said(config: Path) -> str:
    """The line of a run's that tells of something which may be meant, when it starts; nobody has been asked yet."""
    told = StringIO()
    runner = Runner(load_config(config), Console(file=told, soft_wrap=True))
    try:
        runner.start()
    finally:
        runner.close()
    [line] = [line for line in told.getvalue().splitlines() if "chat template" in line or "several kinds" in line]
    return line


def no_template(folder: Path, model: str) -> str:
    shutil.copytree(model, folder / "bare")
    (folder / "bare" / "chat_template.jinja").unlink()
    return said(configured(folder, str(folder / "bare")))


def several_kinds_of_gold(folder: Path, model: str) -> str:
    path = configured(folder, model)
    rows = [row | {"answer": row["answer"] if i % 3 else "Rome"} for i, row in enumerate(ROWS)]
    write_rows(folder / "rows.jsonl", [row | {"program": "def solution():\n    return 1"} for row in rows])
    return said(path)


def another_version(folder: Path, model: str) -> str:
    path = configured(folder, model)
    (folder / "run").mkdir()
    (folder / "run" / "config.yaml").write_text("questions: {}\n")
    done = raydistill("run", str(path), cwd=folder)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


MISTAKES: dict[Callable[[Path, str], str], tuple[str, str]] = {
    wrong_column: ("no field 'gold'; the fields there are: question, answer", "name one with questions.answer_column"),
    wrong_path: ("rowz.jsonl: no such file", "expected one of .jsonl"),
    no_gpu: ("train.gpus_per_worker is 1, and there is no GPU on this machine", "set it to 0"),
    no_key: ("RAYDISTILL_TEST_KEY is not set", "export it"),
    key_refused: ("refuses the key in RAYDISTILL_TEST_KEY: Incorrect API key", "docs/endpoints.md"),
    port_taken: ("cannot listen on 127.0.0.1:", "--port takes another one"),
    too_little_memory: ("of memory, and this machine has", "lower teacher.kv_cache_gb"),
    too_little_disk: ("a checkpoint and the student want", "choose another folder with --run-dir"),
    wrong_python: ("needs Python 3.11 or 3.12, and this is", "docs/install.md"),
    no_template: ("has no chat template", "put chat_template.jinja beside its tokenizer"),
    several_kinds_of_gold: ("8 number (such as '2', row 2), 4 words (such as 'Rome', row 1)", "split the file"),
    another_version: ("is of an earlier version", "choose another run_dir"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: one.__name__)
def test_a_mistake_is_one_line_with_its_remedy(
    tmp_path: Path, tiny_model: str, mistake: Callable[[Path, str], str]
) -> None:
    cause, remedy = MISTAKES[mistake]
    line = mistake(tmp_path, tiny_model)
    assert cause in line and remedy in line, line
