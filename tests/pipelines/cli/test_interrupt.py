"""Ctrl-C while engines start, in synthesis, training and evaluation: ten seconds, and a line on how to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import ROOT
from tests.endpoint import Endpoint
from tests.pipelines.test_run_remote import program
from tests.processes import described
from tests.rows import write_rows
from tests.waiting import wait_until

PATIENCE_S, GRACE_S = 240, 10


class Command:
    """`raydistill run` of a configuration, in a folder of its own."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder, self.out = folder, folder / "out.txt"
        (folder / "run.yaml").write_text(json.dumps({"run_dir": str(folder / "run")} | config))
        self._stdout = self.out.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "raydistill", "run", "run.yaml"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_ADDRESS": ""},
            stdout=self._stdout,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def interrupted(self, when: Callable[[], object], what: str) -> str:
        """What it says when it gets SIGINT once `when()` is true."""
        try:
            wait_until(lambda: when() or self.process.poll() is not None, PATIENCE_S, what)
            assert self.process.poll() is None, self.said()
            family = psutil.Process(self.process.pid).children(recursive=True)
            os.killpg(self.process.pid, signal.SIGINT)  # as a terminal does
            started = time.monotonic()
            said = self.process.communicate(timeout=60)[1]
            assert time.monotonic() - started < GRACE_S, time.monotonic() - started
            assert self.process.returncode == 130 and said.count("\n") == 1, said
            assert psutil.wait_procs(family, 30)[1] == []
            return said
        finally:
            self.process.kill()
            self._stdout.close()

    def said(self) -> str:
        return self.out.read_text()

    def names(self) -> list[str]:
        return [described(process) for process in psutil.Process(self.process.pid).children(recursive=True)]


def config(folder: Path, **teacher: Any) -> dict[str, Any]:
    rows = [{"question": f"What is {i} plus 20?", "answer": str(i + 20)} for i in range(60)]
    return {
        "questions": {"task": "table", "path": str(write_rows(folder / "asked.jsonl", rows[:40]))},
        "teacher": teacher,
        "evaluation": {
            "questions": {"task": "table", "path": str(write_rows(folder / "held.jsonl", rows[40:]))},
            "models": ["teacher"],
        },
    }


def behind(url: str) -> dict[str, Any]:
    return {"engine": "openai", "model": "model", "endpoint": {"base_url": url, "api_key_env": None}}


@pytest.mark.parametrize("stage", ["synthesis", pytest.param("evaluation", marks=pytest.mark.slow)])
def test_while_answers_are_awaited(tmp_path: Path, stage: str) -> None:
    hangs = "What is 20 plus 20?" if stage == "synthesis" else "What is 41 plus 20?"
    with Endpoint(lambda asked: "hang" if hangs in asked else "", say=program) as server:
        command = Command(tmp_path, config(tmp_path, **behind(server.url)))
        wanted = 40 if stage == "synthesis" else 60
        said = command.interrupted(
            lambda: len([one for one in server.received if one.whole]) == wanted - 1, "all answers but one"
        )
    assert said.startswith(f"raydistill: interrupted; stored in {tmp_path}/run: ")
    assert said.endswith("Go on with: raydistill run run.yaml\n")
    if stage == "evaluation":
        assert "1 sets of examples" in said


def test_while_an_engine_starts(tmp_path: Path, tiny_model: str) -> None:
    command = Command(tmp_path, config(tmp_path, model=tiny_model, kv_cache_gb=1, dtype="float32", max_model_len=256))

    def member() -> bool:
        return "starting engine" in command.said() and any("-engines:member" in name for name in command.names())

    assert "nothing yet" in command.interrupted(member, "an engine that starts")


@pytest.mark.slow
def test_while_a_student_is_trained(tmp_path: Path, tiny_model: str) -> None:
    train = {"student": tiny_model, "epochs": 3000, "validation_fraction": 0, "max_length": 256, "save_steps": 20}
    with Endpoint(say=program) as server:
        command = Command(tmp_path, config(tmp_path, **behind(server.url)) | {"train": train, "evaluation": None})
        steps = f"{tmp_path.name}/run/training/*/checkpoints/step_*"
        said = command.interrupted(lambda: list(tmp_path.parent.glob(steps)), "a checkpoint")
    assert "checkpoints" in said


def test_within_a_task_s_own_step() -> None:
    program = """
        import asyncio, os, signal, time
        from raydistill.pipelines.cli.interrupt import Interrupts

        async def one(number):
            try:
                await asyncio.sleep(0.01 if number == 3 else 600)
                os.kill(os.getpid(), signal.SIGINT)
            finally:
                ended.append(number)

        async def main():
            await asyncio.gather(*map(one, range(5)))

        ended = []
        interrupts = Interrupts(lambda: f"ended {sorted(ended)}")
        interrupts.watch()
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            interrupts.say()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "raydistill: ended [0, 1, 2, 3, 4]\n"
