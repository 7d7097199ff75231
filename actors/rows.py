"""Rows of files (JSON, CSV, Parquet; paths, URIs or folders) and of datasets on the Hugging Face hub, one at a time.

    path --read_file--> Row("train.jsonl:5", 5, {"question": {"stem": "Where?"}}) --field("question.stem")--> "Where?"

What a file is is told by its content: Parquet by its first bytes, JSON (lines, one array, or objects over several
lines) by its first character, and CSV by its suffix; it may be compressed (.gz, .bz2, .zst). What cannot be read ends
the reading with a UsageError that names the place: the line of a file, or the row of a table counted from 1. A caller
that passes `dropped` goes on without it instead, and finds there how many rows were

    malformed   no JSON object, a CSV line with too many fields or too few
    not_utf8    a row of Parquet with text that is no UTF-8; in lines, such bytes are then read as halves of surrogates
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.actors.json_rows import BLANK, json_rows
from raydistill.actors.storage import is_uri, resolve

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 256  # of a Parquet file, as Python objects
SUFFIXES = (".jsonl", ".json", ".parquet", ".csv", ".tsv")
"""What files of rows are called; JSON and Parquet are read whatever they are called."""
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands; ``Row("train.jsonl:5", 5, {"question": "...", "answer": "7"})``."""

    where: str
    number: int  # the line of a text file, the row of a table; counted from 1
    data: Mapping[str, Any]
    record: int | None = None  # the row of a CSV file, whose rows may have several lines

    def field(self, name: str, setting: str = "") -> Any:
        """The field `name`, where dots lead into objects and lists: ``choices.0.message.content``.

        Raises UsageError if the row has none (`setting` is what names it), or it holds text that is no text: half of a
        surrogate pair, or NUL.
        """
        return self._checked(name, self.as_it_is(name, setting))

    def as_it_is(self, name: str, setting: str = "") -> Any:
        """The same, whatever it holds: what a model wrote is judged, not refused."""
        found, value = self._find(name)
        if not found:
            there = ", ".join(self.names()) or "none"
            remedy = f": name one with {setting}" if setting else ""
            raise UsageError(f"{self.where}: no field {name!r}; the fields there are: {there}{remedy}")
        return value

    def get(self, name: str) -> Any:
        """As `field`, and None for a field that the row does not have."""
        return self._checked(name, self._find(name)[1])

    def names(self) -> Iterator[str]:
        """The names that `field` would find, nested ones with dots."""
        return _names(self.data)

    def _checked(self, name: str, value: Any) -> Any:
        if fault := text_fault(value):
            raise UsageError(f"{self.where}: the field {name!r} holds {fault}: mend or remove that row")
        return value

    def _find(self, name: str) -> tuple[bool, Any]:
        if name in self.data:
            return True, self.data[name]
        value: Any = self.data
        for key in name.split("."):
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                return False, None
        return True, value


def read_file(path: str, dropped: Counter[str] | None = None) -> Iterator[Row]:
    """The rows of a file. Raises UsageError for one that is not there or no file of rows at all."""
    name = PurePosixPath(path)
    suffix = (name.with_suffix("") if name.suffix in COMPRESSED else name).suffix.lower()
    try:
        if not is_uri(path) and Path(path).is_dir():
            raise UsageError(f"{path}: is a folder; expected a file")
        if _starts(path, b"PAR1") or suffix == ".parquet":
            filesystem, place = resolve(path)
            with filesystem.open_input_file(place) as stream:
                yield from _parquet_rows(path, stream, dropped)
        else:
            with _text(path, dropped) as lines:
                yield from _text_rows(path, suffix, lines, dropped)
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


def folder_rows(folder: str, split: str, options: Mapping[str, Any]) -> Iterator[Row]:
    """The rows of the data files in a folder laid out as a hub dataset is; numbers go on from file to file.

    Which files are of which split, `datasets` tells by its own rules. Raises UsageError where there are none.
    """
    try:
        files = _data_files(folder, options)
    except Exception as error:  # whatever the library raises about a folder that is none of its datasets
        raise UsageError(
            f"{folder}: no data files in this folder that `datasets` knows: {' '.join(str(error).split())}; expected "
            f"files that end in one of {', '.join(SUFFIXES)}, such as train.jsonl"
        ) from None
    if split not in files:
        raise UsageError(f"{folder}: no split {split!r} in this folder; it has {', '.join(map(str, files)) or 'none'}")
    number = 0
    for file in files[split]:
        for row in read_file(str(file)):
            number += 1
            yield Row(row.where, number, row.data, row.record)


def _data_files(folder: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data files of each split: as the card or `options` say, else by their names, whatever their kinds."""
    from datasets import load_dataset_builder
    from datasets.data_files import DataFilesDict, get_data_patterns

    card = Path(folder, "README.md")
    if options or (card.is_file() and "data_files" in card.read_text(encoding="utf-8", errors="replace")):
        return load_dataset_builder(folder, **options).config.data_files or {}
    endings = [f"{kind}{packed}" for kind in SUFFIXES for packed in ("", *COMPRESSED)]
    return DataFilesDict.from_patterns(get_data_patterns(folder), base_path=folder, allowed_extensions=endings)


def text_fault(value: Any) -> str:
    """What in `value` is no text: half of a surrogate pair (which undecodable bytes are read as, too), or NUL."""
    if isinstance(value, str):
        if "\0" in value:
            return "the character NUL"
        half = next((c for c in value if "\ud800" <= c <= "\udfff"), "") if not value.isascii() else ""
        return half and f"half of a surrogate pair (\\u{ord(half):04x}), which is no Unicode"
    if isinstance(value, dict):
        return next((fault for item in value.items() for fault in map(text_fault, item) if fault), "")
    return next((f for f in map(text_fault, value) if f), "") if isinstance(value, list | tuple) else ""


def is_unicode(value: Any) -> bool:
    """Whether no text in `value` has a lone surrogate, which is what undecodable bytes were read as."""
    return "surrogate" not in text_fault(value)


def _starts(path: str, magic: bytes) -> bool:
    filesystem, place = resolve(path)
    with filesystem.open_input_stream(place, compression=None) as stream:
        return stream.read(len(magic)) == magic


def _text_rows(path: str, suffix: str, lines: Iterator[str], dropped: Counter[str] | None) -> Iterator[Row]:
    """Rows of JSON where the text begins as JSON does; else by the suffix."""
    leave_out = partial(_leave_out, dropped)
    head: list[str] = []
    while not (head and head[-1].strip(BLANK)) and (line := next(lines, "")):
        head.append(line)
    first, lines = (head or [""])[-1], chain(head, lines)
    if first.lstrip(BLANK)[:1] in ("{", "[") or suffix in (".jsonl", ".json"):
        for number, data in json_rows(path, lines, leave_out):
            yield Row(f"{path}:{number}", number, data)
    elif suffix in (".csv", ".tsv"):
        yield from _csv_rows(path, lines, _delimiter(suffix, first), leave_out, strict=dropped is None)
    elif first:
        raise UsageError(f"{path}: unknown kind of file; expected one of {', '.join(SUFFIXES)}")


def _delimiter(suffix: str, header: str) -> str:
    """A comma, unless the header has none and something else that tables are written with."""
    if suffix == ".tsv":
        return "\t"
    return next((one for one in ",;\t" if one in header), ",")


def _csv_rows(
    path: str, lines: Iterator[str], delimiter: str, leave_out: Callable[[str, str], None], *, strict: bool
) -> Iterator[Row]:
    """Rows by the names in the first line; cells without a name (an index of pandas, a comma too many) are left out."""
    csv.field_size_limit(sys.maxsize)  # else one long value ends the file
    reader = csv.reader(lines, strict=strict, delimiter=delimiter)
    names: list[str] = []
    record = 0
    try:
        for cells in reader:
            if not names:
                names = [cell.strip("\ufeff") for cell in cells]
                continue
            if not cells:
                continue
            record += 1
            while len(cells) > len(names) and not cells[-1]:
                cells.pop()
            if len(cells) != len(names):
                leave_out("malformed", f"{path}:{reader.line_num}: expected {len(names)} columns, got {len(cells)}")
            else:
                data = {name: cell for name, cell in zip(names, cells, strict=True) if name}
                yield Row(f"{path}:{reader.line_num}", reader.line_num, data, record)
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _parquet_rows(path: str, stream: pa.NativeFile, dropped: Counter[str] | None) -> Iterator[Row]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        batches = ParquetFile(stream).iter_batches(BATCH_ROWS)
    except ArrowException as error:
        raise UsageError(f"{path}: not a Parquet file: {' '.join(str(error).split())}") from None
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


def _text(path: str, dropped: Counter[str] | None) -> TextIOWrapper:
    """The file as text, unpacked; UTF-16 where it begins with that mark."""
    filesystem, place = resolve(path)
    wide = _starts(path, b"\xff\xfe") or _starts(path, b"\xfe\xff")
    errors = "strict" if dropped is None else "surrogateescape"
    stream: Any = filesystem.open_input_stream(place)  # which unpacks by the suffix
    return TextIOWrapper(stream, encoding="utf-16" if wide else "utf-8", errors=errors, newline="")


def _leave_out(dropped: Counter[str] | None, kind: str, complaint: str) -> None:
    """Count a row that cannot be read. Raises UsageError where nobody counts."""
    if dropped is None:
        raise UsageError(complaint)
    dropped[kind] += 1


def _names(data: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names that `Row.field` would find, nested ones with dots; of lists those of the first item."""
    for key, value in data.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            yield from _names(value[0], f"{prefix}{key}.0.")
        elif isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
