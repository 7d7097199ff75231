"""The engine settings for the models of a run: its teacher, its base, and students in whatever folder they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.errors import UsageError
from pipelines.config import Engine, Run


def teacher_model(config: Run) -> Engine:
    """The teacher's engine settings without how it is sampled."""
    return Engine(**config.teacher.model_dump(include=set(Engine.model_fields)))


def base_model(config: Run) -> Engine:
    """The teacher's engine settings with the student's base; with LoRA such that its engine takes adapters as well."""
    train = config.train
    if train is None:
        raise UsageError("evaluation.models: base and student need a train section")
    changes: dict[str, Any] = {"engine": "vllm", "model": train.student, "revision": train.revision}
    if train.lora:
        changes["max_lora_rank"] = train.lora.rank
    return teacher_model(config).model_copy(update=changes)


def trained_model(config: Run, folder: str) -> Engine:
    """The base with what training has left in `folder`: its weights, or an adapter."""
    base = base_model(config)
    if config.train and config.train.lora:
        return base.model_copy(update={"adapter": folder})
    return base.model_copy(update={"model": folder, "revision": None})


def named_model(config: Run, name: str, root: str) -> Engine:
    """The teacher, the base or the student of the run in `root`. Raises UsageError where there is no such model."""
    if name == "teacher":
        return teacher_model(config)
    if name == "base":
        return base_model(config)
    folder = f"{root}/student"
    if "://" not in folder and not Path(folder).is_dir():
        raise UsageError(f"no student in {root} yet: run `raydistill train` or `raydistill run` first")
    return trained_model(config, folder)
