"""A run of TriPosT: each iteration trains the last student on, with the replay's own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.config import Run
from pipelines.run import Runner
from pipelines.train import train
from tests.test_tripost import loaded, recording, sections

__all__ = ["loaded", "recording"]  # fixtures


def test_each_iteration_goes_on_from_the_last_student(
    cluster: None, tmp_path: Path, recording: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def noted(examples: str, config: Any, folder: str, **rest: Any) -> Any:
        started.append((config.student, config.learning_rate, f"{folder}/student"))
        return train(examples, config, folder, **rest)

    monkeypatch.setattr("pipelines.run.train", noted)
    settings = sections(tmp_path / "run", recording, attempts="teacher", iterations=2, learning_rate=1e-4)
    settings["train"] = {"student": tiny_model, "learning_rate": 1e-3, "epochs": 1, "validation_fraction": 0}
    runner = Runner(Run.model_validate(settings))
    try:
        result = runner.train(runner.synthesise(runner.start()))
    finally:
        runner.close()
    (base, rate, first), (second_base, second_rate, second), (third_base, _, third) = started
    assert (base, second_base, third_base) == (tiny_model, first, second) and result.student == third
    assert (rate, second_rate) == (1e-3, 1e-4)
    assert [account["examples"] for account in runner.report["iterations"]] == [20, 20]
    assert (tmp_path / "run" / "student" / "raydistill.json").is_file()
