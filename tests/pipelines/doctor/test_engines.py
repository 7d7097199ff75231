"""One real engine: it starts, sees the tokens of training, has the weights on disk; other weights are found."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import Any

import pytest

from raydistill.actors.pool import Pool
from raydistill.pipelines.doctor import engines
from tests.pipelines.doctor.conftest import Make
from tests.tiny import make_opinionated


def on(pool: Pool, checkup: Any) -> Any:
    """The checkup, whose engines are those of `pool`, whatever it asks for."""
    checkup.engines = SimpleNamespace(use=lambda config: pool.client, release=lambda: None)
    return checkup


def statuses(findings: Any) -> dict[str, str]:
    return {one.about: one.status for one in findings}


def test_an_engine_of_the_weights_on_disk(pool: Pool, make: Make) -> None:
    checkup = on(pool, make())
    assert statuses(engines.teacher(checkup)) == {
        "teacher's engine": "ok",
        "teacher's engine, log-probabilities": "ok",
        "teacher's text": "ok",
    }
    assert statuses(engines.student(checkup)) == {
        "student's engine": "ok",
        "student's engine, log-probabilities": "ok",
        "student's end of turn": "skipped",
    }


def test_an_engine_with_other_weights(pool: Pool, make: Make, other_weights: str) -> None:
    checkup = on(pool, make(teacher={"model": other_weights}))
    started, compared = (one for one in engines.teacher(checkup) if "engine" in one.about)
    assert started.status == "ok" and compared.status == "fail" and "has other weights" in compared.remedy


def test_an_engine_with_another_template(pool: Pool, make: Make, tiny_model: str, tmp_path: Path) -> None:
    own = make_opinionated(Path(copytree(tiny_model, tmp_path / "own")))
    checkup = on(pool, make(train={"student": str(own)}))
    found = {one.about: one for one in engines.student(checkup)}["student's engine, log-probabilities"]
    assert found.status == "fail" and "other tokens than training" in found.said


def test_a_student_that_does_not_stop(pool: Pool, make: Make, tiny_model: str, tmp_path: Path) -> None:
    copytree(tiny_model, tmp_path / "run" / "student")
    checkup = on(pool, make())
    assert checkup.student.model == str(tmp_path / "run" / "student")
    found = {one.about: one for one in engines.student(checkup)}["student's end of turn"]
    assert found.status == "fail" and "none of 2 answers ends within 8 tokens" in found.said


def test_without_memory_the_forward_pass_is_skipped_aloud(
    pool: Pool, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "free_bytes", lambda: 0)
    found = {one.about: one for one in engines.student(on(pool, make()))}["student's engine, log-probabilities"]
    assert found.status == "skipped" and "a forward pass beside the engine needs" in found.said
