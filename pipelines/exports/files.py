"""Rows as files of a folder: JSONL and Parquet, and dataset_info.json where LLaMA-Factory can read them."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.examples import dataset_info
from raydistill.pipelines.views.text import json_line

ROWS_AT_ONCE = 1000
NEEDED = {
    "messages": "expected one that has made examples",
    "preferences": "expected right and wrong answers to the same question: draw several of each (teacher.n)",
    "prompts": "expected questions with gold answers",
    "steps": "expected a recipe that judges steps",
}


def write_rows(rows: Iterable[dict[str, Any]], folder: Path, name: str) -> int:
    """Write NAME.jsonl and NAME.parquet with the same rows; both appear when they are complete.

    The columns of the Parquet are those of the first rows. Raises UsageError where there is no row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    lines, table = (folder / f"{name}.{kind}.tmp" for kind in ("jsonl", "parquet"))
    iterator, count, writer = iter(rows), 0, None
    with lines.open("w", encoding="utf-8") as file:
        while part := list(itertools.islice(iterator, ROWS_AT_ONCE)):
            batch = pa.Table.from_pylist(part, schema=writer.schema if writer else None)
            writer = writer or pq.ParquetWriter(table, batch.schema)
            writer.write_table(batch)
            file.writelines(map(json_line, part))
            count += len(part)
    if writer is None:
        lines.unlink()
        raise UsageError(f"--to {name}: there is no such row in this run; {NEEDED[name]}")
    writer.close()
    for path in (lines, table):
        os.replace(path, path.with_suffix(""))
    if name == "messages":
        told = json.dumps(dataset_info("messages.jsonl"), indent=2)
        (folder / "dataset_info.json").write_text(told, encoding="utf-8")
    return count
