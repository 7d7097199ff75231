"""Rows of files (JSONL, CSV, Parquet; paths or URIs) and of datasets on the Hugging Face hub, one at a time.

    path --read_file--> Row("train.jsonl:5", 5, {"question": {"stem": "Where?"}}) --field("question.stem")--> "Where?"

What cannot be read ends the reading with a UsageError that names the place: the line of a file, or the row of a table
counted from 1. A caller that passes `dropped` goes on without it instead, and finds there how many rows were

    malformed   a line that is no JSON object, a CSV line with too many fields or too few
    not_utf8    a row of Parquet with text that is no UTF-8; in lines, such bytes are then read as halves of surrogates
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import resolve

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 256  # of a Parquet file, as Python objects


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands; ``Row("train.jsonl:5", 5, {"question": "...", "answer": "7"})``."""

    where: str
    number: int  # the line of a text file, the row of a table; counted from 1
    data: Mapping[str, Any]
    record: int | None = None  # the row of a CSV file, whose rows may have several lines

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


def read_file(path: str, dropped: Counter[str] | None = None) -> Iterator[Row]:
    """The rows of a file by its suffix. Raises UsageError for one that is not there or not of its kind at all."""
    suffix = PurePosixPath(path).suffix
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: unknown kind of file; expected one of {', '.join(SUFFIXES)}")
    try:
        filesystem, name = resolve(path)
        with filesystem.open_input_file(name) as stream:
            yield from _READERS[suffix](path, stream, dropped)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def hub_rows(
    name: str, split: str, options: Mapping[str, Any], *, complaint: str, label_names: bool = False
) -> Iterator[Row]:
    """The rows of a hub dataset (`options` of load_dataset), with `label_names` for the ids of ClassLabel columns.

    Raises UsageError, which begins with `complaint`, where it cannot be had.
    """
    from datasets import ClassLabel, load_dataset

    try:
        dataset = load_dataset(name, split=split, **options)
        kinds = (dataset.features or {}) if label_names else {}
        labels = {column: kind.names for column, kind in kinds.items() if isinstance(kind, ClassLabel)}
        for number, data in enumerate(dataset, start=1):
            for column, names in labels.items():
                if isinstance(data[column], int):
                    data[column] = names[data[column]] if 0 <= data[column] < len(names) else None
            yield Row(f"{name} ({split}) row {number}", number, data)
    except Exception as error:  # whatever the hub client raises: no network, no such dataset, split or config
        raise UsageError(f"{complaint}: {' '.join(str(error).split())}") from None


def is_unicode(value: Any) -> bool:
    """Whether no text in `value` has a lone surrogate, which is what undecodable bytes were read as."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(is_unicode(key) and is_unicode(item) for key, item in value.items())
    return all(map(is_unicode, value)) if isinstance(value, list | tuple) else True


def _json_rows(path: str, stream: pa.NativeFile, dropped: Counter[str] | None) -> Iterator[Row]:
    for number, line in enumerate(_text(stream, dropped), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            _leave_out(dropped, "malformed", f"{where}: not valid JSON: {error}")
            continue
        if isinstance(data, dict):
            yield Row(where, number, data)
        else:
            _leave_out(dropped, "malformed", f"{where}: expected a JSON object, got {type(data).__name__}")


def _csv_rows(path: str, stream: pa.NativeFile, dropped: Counter[str] | None) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # else one long value ends the file
    reader = csv.DictReader(_text(stream, dropped, newline=""), restkey="", strict=dropped is None)
    try:
        for record, data in enumerate(reader, start=1):
            where = f"{path}:{reader.line_num}"
            if "" in data or None in data.values():
                _leave_out(dropped, "malformed", f"{where}: expected {len(reader.fieldnames or ())} columns")
            else:
                yield Row(where, reader.line_num, data, record)
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _parquet_rows(path: str, stream: pa.NativeFile, dropped: Counter[str] | None) -> Iterator[Row]:
    from pyarrow import ArrowInvalid
    from pyarrow.parquet import ParquetFile

    try:
        batches = ParquetFile(stream).iter_batches(BATCH_ROWS)
    except ArrowInvalid as error:
        raise UsageError(f"{path}: not a Parquet file: {error}") from None
    for number, data in enumerate((data for batch in batches for data in _decoded(batch)), start=1):
        where = f"{path} row {number}"
        if data is None:
            _leave_out(dropped, "not_utf8", f"{where}: cannot be read: its text is no UTF-8")
        else:
            yield Row(where, number, data)


def _decoded(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | None]:
    """The rows of a batch; None for one whose text is no UTF-8."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for offset in range(batch.num_rows):
            try:
                yield batch.slice(offset, 1).to_pylist()[0]
            except UnicodeDecodeError:
                yield None


_READERS: Mapping[str, Callable[[str, Any, Counter[str] | None], Iterator[Row]]] = {
    ".jsonl": _json_rows,
    ".json": _json_rows,
    ".parquet": _parquet_rows,
    ".csv": _csv_rows,
}
SUFFIXES = tuple(_READERS)


def _text(stream: Any, dropped: Counter[str] | None, newline: str | None = None) -> TextIOWrapper:
    errors = "strict" if dropped is None else "surrogateescape"
    return TextIOWrapper(stream, encoding="utf-8-sig", errors=errors, newline=newline)


def _leave_out(dropped: Counter[str] | None, kind: str, complaint: str) -> None:
    """Count a row that cannot be read. Raises UsageError where nobody counts."""
    if dropped is None:
        raise UsageError(complaint)
    dropped[kind] += 1


def _names(data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names that `Row.field` would find, nested ones with dots."""
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
