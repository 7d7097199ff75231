"""Claims as data: docs/results/claims.json, one row for each claim and setting, which other pages are made from."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import command
from raydistill.actors.storage import write_atomic

COLUMNS = ("id", "paper", "claim", "setting", "ours", "other", "gain", "ci95", "seeds", "n", "holds", "command")


def claim_rows(
    options: argparse.Namespace, paper: str, claims: Iterable[Mapping[str, Any]], models: str = "demo models"
) -> list[dict[str, Any]]:
    """Rows of what a page says: `claims` have the columns from `ours` to `holds`, `claim`, and `test` where it was.

    The id is made of the page's name, the claim and the test; the setting of models, test and what was changed.
    """
    return [
        {
            **told,
            "id": "-".join([options.name, _slug(told["claim"]), *filter(None, [_slug(told.get("test", ""))])]),
            "paper": paper,
            "setting": ", ".join(filter(None, [models, told.get("test", "").replace("_", "-"), *options.changed])),
            "command": command(),
        }
        for told in claims
    ]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def write_claims(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put `rows` into the file, in the places of those with the same id, else at its end."""
    path = out / "claims.json"
    known = {row["id"]: row for row in (json.loads(path.read_text(encoding="utf-8")) if path.exists() else [])}
    known |= {row["id"]: {name: row[name] for name in COLUMNS} for row in rows}
    lines = ",\n".join(json.dumps(row) for row in known.values())
    write_atomic(str(path), f"[\n{lines}\n]\n".encode())
