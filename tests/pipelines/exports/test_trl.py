"""TRL's trainers take a step on exported rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raydistill.pipelines.exports.export import export
from raydistill.pipelines.views.run_folder import RunFolder
from tests.pipelines.views.written import write_run


@pytest.mark.parametrize(("target", "trainer"), [("messages", "SFT"), ("preferences", "DPO")])
def test_a_trainer_takes_a_step(tmp_path: Path, tiny_model: str, target: str, trainer: str) -> None:
    import trl
    from datasets import load_dataset

    run = RunFolder.open(str(write_run(tmp_path / "run", 48, each=6)))
    export(run, target, tmp_path / "out", "mit", print)
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    settings: dict[str, Any] = {"max_steps": 1, "per_device_train_batch_size": 2, "use_cpu": True, "report_to": []}
    config = getattr(trl, f"{trainer}Config")(output_dir=str(tmp_path / "trl"), save_strategy="no", **settings)
    taken = getattr(trl, f"{trainer}Trainer")(model=tiny_model, args=config, train_dataset=rows).train()
    assert taken.global_step == 1 and taken.training_loss > 0
