"""A small run to plant faults in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.run_config import Run

Make = Callable[..., Checkup]
ASKED = [f"What is {i} plus {i}?" for i in range(12)]


def write_table(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"question": text, "answer": "6"}) + "\n" for text in texts), encoding="utf-8")
    return str(path)


@pytest.fixture
def make(tmp_path: Path, tiny_model: str) -> Iterator[Make]:
    """Makes a checkup of a run over twelve questions with a tiny teacher and student; keywords change its sections."""
    made: list[Checkup] = []

    def checkup(held_out: list[str] | None = None, **sections: dict[str, Any]) -> Checkup:
        questions = {"task": "table", "path": write_table(tmp_path / "questions.jsonl", ASKED)}
        other = write_table(tmp_path / "held_out.jsonl", held_out or ["Who is it?", "Where is it?"])
        base: dict[str, Any] = {
            "run_dir": str(tmp_path / "run"),
            "teacher": {"model": tiny_model, "dtype": "float32", "max_model_len": 256, "kv_cache_gb": 0.25},
            "recipe": {"recipe": "pad"},
            "train": {"student": tiny_model, "max_length": 256},
            "evaluation": {"questions": {"task": "table", "path": other}, "max_tokens": 8},
        }
        changed = {name: base[name] | sections.pop(name, {}) for name in base if name != "run_dir"}
        made.append(Checkup(Run.model_validate(base | {"questions": questions} | changed | sections)))
        return made[-1]

    yield checkup
    for one in made:
        one.close()


@pytest.fixture
def behind_url() -> Callable[..., dict[str, Any]]:
    """The section of a teacher at an address."""

    def section(url: str, **endpoint: Any) -> dict[str, Any]:
        reached = {"base_url": url, "api_key_env": None} | endpoint
        local = {"dtype": "auto", "max_model_len": None, "kv_cache_gb": 4}
        return {"engine": "openai", "model": "model", "endpoint": reached} | local

    return section
