"""The next round's samples beside this round's training: who waits for whom, and a whole run with one round stale."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event

import pytest
from safetensors.numpy import load_file

from raydistill.actors.errors import EngineError, TrainingError
from raydistill.pipelines.recipes.opd.overlap import meanwhile
from raydistill.pipelines.run import run
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.stages import read_stages
from tests.pipelines.recipes.opd.test_rounds import sections

PATIENCE_S = 30


def test_the_work_is_done_while_the_block_is() -> None:
    asked, answered = Event(), Event()

    def work() -> int:
        assert asked.wait(PATIENCE_S)
        answered.set()
        return 3

    with meanwhile(work) as done:
        asked.set()
        assert answered.wait(PATIENCE_S)
    assert done.result() == 3


def test_an_error_of_the_work_comes_to_who_asks_for_its_result() -> None:
    def work() -> None:
        raise EngineError("no engine")

    with meanwhile(work) as done:
        trained = True
    with pytest.raises(EngineError, match="no engine"):
        done.result()
    assert trained


def test_an_error_of_the_block_waits_for_the_work() -> None:
    failing, stored = Event(), Event()

    def work() -> None:
        assert failing.wait(PATIENCE_S)
        stored.set()

    with pytest.raises(TrainingError, match="diverged"), meanwhile(work):
        failing.set()
        raise TrainingError("diverged")
    assert stored.is_set()


def test_an_interrupt_waits_for_nobody() -> None:
    go = Event()
    with pytest.raises(KeyboardInterrupt), meanwhile(go.wait) as done:
        raise KeyboardInterrupt
    assert not done.done()
    go.set()


@pytest.mark.slow
def test_rounds_overlap_and_give_the_same_without_room_for_it(
    cluster: None, tiny_model: str, other_weights: str, questions_file: Path, tmp_path: Path
) -> None:
    settings = sections(tmp_path / "run", other_weights, tiny_model, questions_file, rounds=3, overlap=True)
    report = run(Run.model_validate(settings))
    assert [told["sampled_by"] for told in report["rounds"]] == [0, 0, 1]
    fresh, *stale = [told["staleness"]["first"] for told in report["rounds"]]
    assert fresh < 1e-3 < min(stale)  # the ratio has it
    assert all(told["trainer_minus_engine"]["largest"] < 1e-3 for told in report["rounds"])
    stages = read_stages(str(tmp_path / "run"))
    training = [told for told in stages if told["kind"] == "training"]
    for number in (2, 3):
        [sampling] = [told for told in stages if told["title"] == f"round {number}: samples"]
        assert sampling["started"] < training[number - 2]["ended"]

    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert run(Run.model_validate(settings))["rounds"] == report["rounds"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")} == stored

    cramped = settings | {"run_dir": str(tmp_path / "cramped")}
    cramped["train"] = settings["train"] | {"cpus_per_worker": 4}  # all that there are
    other = run(Run.model_validate(cramped))
    sampled = [json.dumps(told["advantage"]) for told in other["rounds"]]
    assert sampled == [json.dumps(told["advantage"]) for told in report["rounds"]]
    weights, same = (load_file(tmp_path / name / "student" / "model.safetensors") for name in ("run", "cramped"))
    assert all((weights[name] == same[name]).all() for name in weights)
