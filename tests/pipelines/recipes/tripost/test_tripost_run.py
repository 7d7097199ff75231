"""A run of TriPosT: each iteration trains the last student on, with the replay's own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.engines import Engines
from raydistill.pipelines.training.train import train
from tests.pipelines.recipes.tripost.test_tripost import loaded, recording, sections

__all__ = ["loaded", "recording"]  # fixtures


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Of each training: what it starts from (model, adapter), its learning rate, and its student."""
    noted = list[tuple[Any, ...]]()

    def note(examples: str, config: Any, folder: str, *, adapter: str | None, **rest: Any) -> Any:
        noted.append((config.student, adapter, config.learning_rate, f"{folder}/student"))
        return train(examples, config, folder, adapter=adapter, **rest)

    monkeypatch.setattr("raydistill.pipelines.context.train", note)
    return noted


def run(tmp_path: Path, recording: Path, student: str, iterations: int, **settings: Any) -> Runner:
    """A run whose teacher attempts; two learning rates."""
    told = sections(tmp_path / "run", recording, attempts="teacher", iterations=iterations, learning_rate=1e-4)
    told["train"] = {"student": student, "learning_rate": 1e-3, "epochs": 1, "validation_fraction": 0, **settings}
    runner = Runner(Run.model_validate(told))
    try:
        runner.train(runner.start().synthesize())
    finally:
        runner.close()
    return runner


@pytest.mark.slow
def test_each_iteration_goes_on_from_the_last_student(
    cluster: None, tmp_path: Path, recording: Path, tiny_model: str, started: list[tuple[Any, ...]]
) -> None:
    runner = run(tmp_path, recording, tiny_model, 2)
    (*base, rate, first), (*second_base, second_rate, second), (*third_base, _, _) = started
    assert (base, second_base, third_base) == ([tiny_model, None], [first, None], [second, None])
    assert (rate, second_rate) == (1e-3, 1e-4)
    assert [account["examples"] for account in runner.report["iterations"]] == [20, 20]
    assert (tmp_path / "run" / "student" / "raydistill.json").is_file()


@pytest.mark.slow
def test_rationales_are_learned_once_whatever_comes_after_them(
    cluster: None, tmp_path: Path, recording: Path, tiny_model: str, started: list[tuple[Any, ...]]
) -> None:
    run(tmp_path, recording, tiny_model, 0)
    run(tmp_path, recording, tiny_model, 1)
    (*_, rationales), (*_, found), (goes_on_from, *_) = started
    assert found == rationales == goes_on_from


@pytest.mark.slow
def test_an_adapter_is_trained_on_over_the_same_base(
    cluster: None, tmp_path: Path, recording: Path, tiny_model: str, started: list[tuple[Any, ...]]
) -> None:
    from safetensors.numpy import load_file

    run(tmp_path, recording, tiny_model, 1, lora={"rank": 4})
    (*base, _, first), (*second_base, _, second) = started
    assert (base, second_base) == ([tiny_model, None], [tiny_model, first])
    before, after = (load_file(f"{folder}/adapter_model.safetensors") for folder in (first, second))
    learned = [name for name in before if "lora_B" in name]  # from 0 at a tenth of the rate they could not come so far
    assert learned and all(abs(after[name] - before[name]).max() < abs(before[name]).max() / 2 for name in learned)
    assert any((after[name] != before[name]).any() for name in learned)


def test_engines_stay_while_adapters_change(cluster: None, tmp_path: Path, recording: Path) -> None:
    config = EngineConfig(engine="recorded", model=str(recording), max_lora_rank=8)
    engines = Engines("test-adapters", str(tmp_path))
    try:
        engines.use(config)
        assert engines.runs(config.model_copy(update={"adapter": str(tmp_path)}))
        assert not engines.runs(config.model_copy(update={"max_lora_rank": 16}))
    finally:
        engines.release()
