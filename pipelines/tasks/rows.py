"""Rows of a local file (JSONL, Parquet, CSV) or of a dataset on the Hugging Face hub, and fields in them.

    path --expand--> file or hub id --read_rows--> Row --field("question.stem")--> value

Every complaint names the place: the line of a file, or the row of a table counted from 1.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands; ``Row("train.jsonl:5", 5, {"question": "...", "answer": "7"})``."""

    where: str
    number: int  # the line of a text file, the row of a table; counted from 1
    data: Mapping[str, Any]

    def field(self, name: str) -> Any:
        """The field `name`, where dots lead into nested objects; UsageError if the row has none."""
        if name in self.data:
            return self.data[name]
        value: Any = self.data
        for key in name.split("."):
            if not isinstance(value, Mapping) or key not in value:
                there = ", ".join(_names(self.data)) or "none"
                raise UsageError(f"{self.where}: no field {name!r}; the fields there are: {there}")
            value = value[key]
        return value


def expand(path: str) -> str:
    """`path` with each ``${VAR}`` replaced by that environment variable; UsageError if it is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise UsageError(f"{path}: the environment variable {match[1]} is not set; export {match[1]}=...")
        return os.environ[match[1]]

    return os.path.expanduser(re.sub(r"\$\{(\w+)\}", value, path))


def read_rows(path: str, *, split: str, size: int | None, options: Mapping[str, Any]) -> Iterator[Row]:
    """The first `size` rows of a local file, or of the `split` of a hub dataset (`options` of load_dataset).

    Raises UsageError for a file that is missing, empty or malformed, and for a dataset that cannot be had.
    """
    source = expand(path)
    if Path(source).is_file():
        rows = read_file(Path(source))
    elif source.endswith(SUFFIXES) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source):
        raise UsageError(f"{source}: no such file; expected one of {', '.join(SUFFIXES)}, or a hub dataset id")
    else:
        rows = _hub_rows(source, split, options)
    row = None
    for row in islice(rows, size):
        yield row
    if row is None:
        raise UsageError(f"{source}: no rows in it")


def read_file(path: Path) -> Iterator[Row]:
    """The rows of a file by its suffix; raises UsageError at the first one that is malformed."""
    readers = {".jsonl": _jsonl_rows, ".json": _jsonl_rows, ".csv": _csv_rows, ".parquet": _parquet_rows}
    if path.suffix not in readers:
        raise UsageError(f"{path}: unknown kind of file; expected one of {', '.join(SUFFIXES)}")
    try:
        yield from readers[path.suffix](path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                data = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"{path}:{number}: not valid JSON: {error}") from None
            if not isinstance(data, dict):
                raise UsageError(f"{path}:{number}: expected a JSON object, got {type(data).__name__}")
            yield Row(f"{path}:{number}", number, data)


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, restkey="", strict=True)
        try:
            for data in reader:
                if "" in data or None in data.values():
                    raise UsageError(f"{path}:{reader.line_num}: expected {len(reader.fieldnames or ())} columns")
                yield Row(f"{path}:{reader.line_num}", reader.line_num, data)
        except csv.Error as error:
            raise UsageError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        batches = ParquetFile(path).iter_batches()
    except ArrowInvalid as error:
        raise UsageError(f"{path}: not a Parquet file: {error}") from None
    rows = (data for batch in batches for data in batch.to_pylist())
    for number, data in enumerate(rows, start=1):
        yield Row(f"{path} row {number}", number, data)


def _hub_rows(name: str, split: str, options: Mapping[str, Any]) -> Iterator[Row]:
    from datasets import load_dataset

    try:
        dataset = load_dataset(name, split=split, **options)
    except Exception as error:  # whatever the hub client raises: no network, no such dataset, split or config
        reason = " ".join(str(error).split())
        raise UsageError(f"{name}: neither a local file nor a hub dataset that can be loaded: {reason}") from None
    for number, data in enumerate(dataset, start=1):
        yield Row(f"{name} ({split}) row {number}", number, data)


def _names(data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names that `Row.field` would find, nested ones with dots."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
