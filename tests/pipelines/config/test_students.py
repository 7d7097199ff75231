"""A run's student in a model's place: its folder is found, an adapter brings its base."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.run_config import Run, load_config
from tests import ROOT
from tests.actors.engine.test_engine import write_adapter


def test_the_folder_of_a_run_stands_for_its_student(tiny_model: str, tmp_path: Path) -> None:
    student = copytree(tiny_model, tmp_path / "run" / "student")
    for given in (tmp_path / "run", student):
        assert EngineConfig(model=str(given)).model == str(student)
    assert EngineConfig(model=tiny_model).model == tiny_model
    assert EngineConfig(model="runs/none", engine="recorded").model == "runs/none"
    (tmp_path / "run" / "config.json").write_text("{}")  # a model with a folder of that name in it
    assert EngineConfig(model=str(tmp_path / "run")).model == str(tmp_path / "run")


def test_an_adapter_is_its_base_with_an_adapter(tiny_model: str, tmp_path: Path) -> None:
    adapter = write_adapter(tiny_model, tmp_path / "run" / "student")
    found = EngineConfig(model=str(tmp_path / "run"))
    assert (found.model, found.adapter, found.max_lora_rank) == (tiny_model, adapter, 4)
    assert EngineConfig(model=adapter, max_lora_rank=16).max_lora_rank == 16
    assert EngineConfig.model_validate(found.model_dump()) == found  # as a run writes it down


def test_the_shipped_mentor_writes_programs_and_gives_soft_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = load_config("configs/demo-mentor.yaml")
    assert config.train and config.train.soft_targets
    assert config.soft_teacher == config.teachers[1] and config.teachers[1].weight == 3 * config.teachers[0].weight
    weight = config.train.soft_targets.weight
    assert weight / (1 + weight) == pytest.approx(0.3, abs=1e-3) and config.train.soft_targets.temperature == 2


def test_soft_targets_are_of_a_teacher_that_is_named(tiny_model: str) -> None:
    named = [{"name": "a", "model": tiny_model}, {"name": "b", "engine": "recorded", "model": "x"}]
    run: dict[str, Any] = {"questions": {"task": "gsm8k"}, "teacher": {}, "teachers": named}

    def soft(**settings: Any) -> Run:
        return Run.model_validate(run | {"train": {"student": tiny_model, "soft_targets": settings}})

    assert soft(teacher="a").soft_teacher.model == tiny_model
    with pytest.raises(ValueError, match="train.soft_targets.teacher is None: expected one of several teachers, a, b"):
        soft()
    with pytest.raises(ValueError, match="not of recorded answers: expected engine vllm"):
        soft(teacher="b")
    with pytest.raises(ValueError, match="teacher is c: expected one of several teachers, a"):
        soft(teacher="c")
