"""The rows of a source as they are, with what could not be read counted instead of ending the build.

malformed   a line that is no JSON object, a CSV line with too many fields
not_utf8    a row with bytes that are no UTF-8, or with halves of surrogate pairs
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.datastore.settings import SourceSettings

BATCH_ROWS = 256


def read_rows(source: SourceSettings, dropped: Counter[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number (from 1) and content of each readable row; what is dropped is added to `dropped`.

    Raises UsageError for a source that is not there or not of its kind at all.
    """
    file = source.file()
    if file is None:
        rows = _hub_rows(source)
    else:
        readers = {".jsonl": _json_lines, ".json": _json_lines, ".csv": _csv_rows, ".parquet": _parquet_rows}
        rows = readers[file.suffix](file, dropped)
    for number, row in rows:
        if _is_unicode(row):
            yield number, row
        else:
            dropped["not_utf8"] += 1


def _json_lines(path: Path, dropped: Counter[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict):
                yield number, row
            else:
                dropped["malformed"] += 1


def _csv_rows(path: Path, dropped: Counter[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(sys.maxsize)  # else one long value ends the file
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines, restkey=""), start=1):
            if "" in row or None in row.values():
                dropped["malformed"] += 1
            else:
                yield number, row


def _parquet_rows(path: Path, dropped: Counter[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path)
    except ArrowInvalid as error:
        raise UsageError(f"{path}: not a Parquet file: {error}") from None
    number = 0
    for batch in file.iter_batches(BATCH_ROWS):
        for offset in range(batch.num_rows):
            number += 1
            try:
                [row] = batch.slice(offset, 1).to_pylist()
            except UnicodeDecodeError:
                dropped["not_utf8"] += 1
            else:
                yield number, row


def _hub_rows(source: SourceSettings) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a hub dataset, streamed; ids of a ClassLabel column become names."""
    from datasets import ClassLabel, load_dataset

    try:
        dataset = load_dataset(source.hub, source.config, split=source.split, streaming=True)
        names = {name: kind.names for name, kind in (dataset.features or {}).items() if isinstance(kind, ClassLabel)}
        for number, row in enumerate(dataset, start=1):
            for column, labels in names.items():
                if isinstance(row[column], int):
                    row[column] = labels[row[column]] if 0 <= row[column] < len(labels) else None
            yield number, row
    except Exception as error:  # whatever the hub client raises: no network, no such dataset, split or config
        reason = " ".join(str(error).split())
        raise UsageError(f"source {source.name}: hub dataset {source.hub}: cannot be loaded: {reason}") from None


def _is_unicode(value: Any) -> bool:
    """Whether no text in `value` has a lone surrogate, which is what undecodable bytes were read as."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(_is_unicode(key) and _is_unicode(item) for key, item in value.items())
    return all(map(_is_unicode, value)) if isinstance(value, list | tuple) else True
