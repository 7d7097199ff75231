"""Claims as data: docs/results/claims.json, one row for each claim and setting, which other pages are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raydistill.actors.storage import write_atomic

COLUMNS = ("id", "paper", "claim", "setting", "ours", "other", "gain", "ci95", "seeds", "n", "holds", "command")


def write_claims(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put `rows` into the file, in the places of those with the same id, else at its end."""
    path = out / "claims.json"
    known = {row["id"]: row for row in (json.loads(path.read_text(encoding="utf-8")) if path.exists() else [])}
    known |= {row["id"]: {name: row[name] for name in COLUMNS} for row in rows}
    lines = ",\n".join(json.dumps(row) for row in known.values())
    write_atomic(str(path), f"[\n{lines}\n]\n".encode())
