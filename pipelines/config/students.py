"""A run's student in a model's place: ``teacher.model: runs/demo`` is the student that the run there has left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError


def student_folder(path: str | Path) -> Path:
    """The student in a run's folder; any other folder as it is."""
    given = Path(path).expanduser()
    return given / "student" if (given / "student").is_dir() and not (given / "config.json").is_file() else given


def adapter_base(folder: Path) -> dict[str, Any] | None:
    """Base, revision and rank of the adapter in a folder, by fields of EngineConfig; None where there is none.

    Raises UsageError for a file that is not what PEFT writes.
    """
    told = folder / "adapter_config.json"
    if not told.is_file() or (folder / "config.json").is_file():
        return None
    try:
        adapter = json.loads(told.read_text(encoding="utf-8"))
        base, rank = str(adapter["base_model_name_or_path"]), int(adapter["r"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{told}: not the settings of a LoRA adapter: {error!r}") from None
    return {"model": base, "revision": adapter.get("revision"), "max_lora_rank": rank}


def hosted_student(path: str) -> dict[str, Any]:
    """The engine settings of the student in a run's folder, or of an adapter in its own; {} for any other model.

    A student that was trained with LoRA is its base with an adapter.
    """
    folder = student_folder(path)
    if base := adapter_base(folder):
        return base | {"adapter": str(folder)}
    return {"model": str(folder)} if folder != Path(path).expanduser() else {}
