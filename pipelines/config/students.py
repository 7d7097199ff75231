"""A run's student in a model's place: ``teacher.model: runs/demo`` is the student that the run there has left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def hosted_student(path: str) -> dict[str, Any]:
    """The engine settings of the student in a run's folder, or of an adapter in its own; {} for any other model.

    A student that was trained with LoRA is its base with an adapter.
    """
    given = Path(os.path.expanduser(path))
    is_run = (given / "student").is_dir() and not (given / "config.json").is_file()
    folder = given / "student" if is_run else given
    told = folder / "adapter_config.json"
    if told.is_file() and not (folder / "config.json").is_file():
        adapter = json.loads(told.read_text(encoding="utf-8"))
        base = {"model": str(adapter["base_model_name_or_path"]), "revision": adapter.get("revision")}
        return base | {"adapter": str(folder), "max_lora_rank": int(adapter["r"])}
    return {"model": str(folder)} if is_run else {}
