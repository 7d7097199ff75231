"""Files of rows for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def recorded_run(rows: Path, teacher: dict[str, Any] | None = None, **execution: Any) -> dict[str, Any]:
    """The configuration of a synthesis of `rows` (question, answer, program), whose programs are recorded there."""
    return {
        "questions": {"task": "table", "path": str(rows), "grader": "numeric"},
        "teacher": {"engine": "recorded", "model": str(rows), "completion_column": "program", **(teacher or {})},
        "execution": {"cpus": 0.5, **execution},
    }
