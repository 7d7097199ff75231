"""Rows that must survive `kill -9`: small Parquet files, written within seconds, on any pyarrow filesystem.

A writer holds the rows of its current segment in memory and rewrites that one file (a whole PUT, or a
temporary file renamed) until it has `roll` rows; then it starts the next. So a reader at any moment sees
complete files only, and a crash costs at most the rows of the last `interval` seconds. Object stores have no
append, which is why segments are rewritten and not appended to.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raydistill.actors.storage import resolve, write_table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.fs import FileSystem


def list_segments(folder: str) -> list[str]:
    """Paths of the complete Parquet files in `folder`, sorted; empty if the folder does not exist."""
    return [path for path, _ in list_versions(folder)]


def list_versions(folder: str) -> list[tuple[str, tuple[int, int]]]:
    """Paths of the complete Parquet files in `folder`, sorted, each with size and date, which change when it does."""
    from pyarrow.fs import FileSelector

    filesystem, path = resolve(folder)
    infos = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
    return sorted((info.path, (info.size, info.mtime_ns or 0)) for info in infos if info.path.endswith(".parquet"))


def read_segment(filesystem: FileSystem, path: str, columns: Sequence[str] | None = None) -> pa.Table:
    """One segment. It is opened once, so that a rewrite in between is seen as a whole or not at all."""
    import pyarrow.parquet as pq

    with filesystem.open_input_file(path) as file:
        return pq.read_table(file, columns=list(columns) if columns else None)


def read_segments(folder: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The tables of a folder's segments, one at a time."""
    filesystem, _ = resolve(folder)
    for path in list_segments(folder):
        yield read_segment(filesystem, path, columns)


class SegmentWriter:
    """Appends rows to a folder of segments; thread-safe. One writer per process and folder.

    `schema` is an Arrow schema; rows are mappings with its names. `flush` makes everything appended so far
    durable; `append` flushes by itself once `interval` seconds have passed since the last flush.
    """

    def __init__(self, folder: str, schema: pa.Schema, *, interval: float = 1.0, roll: int = 1000) -> None:
        self._folder, self._schema = folder.rstrip("/"), schema
        self._interval, self._roll = interval, roll
        self._lock = threading.Lock()
        self._rows: list[Mapping[str, Any]] = []
        self._dirty = False
        self._flushed = time.monotonic()
        self._start_segment()

    def _start_segment(self) -> None:
        self._path = f"{self._folder}/{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        self._rows = []

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with self._lock:
            self._rows.extend(rows)
            self._dirty = self._dirty or bool(rows)
            if time.monotonic() - self._flushed >= self._interval:
                self._flush()

    def flush(self, tail: Sequence[Mapping[str, Any]] = ()) -> None:
        """Make all rows durable; `tail` rows are written along but not kept (a state that will change)."""
        with self._lock:
            self._flush(tail)

    def _flush(self, tail: Sequence[Mapping[str, Any]] = ()) -> None:
        import pyarrow as pa

        self._flushed = time.monotonic()
        if not self._dirty and not tail:
            return
        write_table(self._path, pa.Table.from_pylist([*self._rows, *tail], schema=self._schema))
        self._dirty = False
        if len(self._rows) >= self._roll:
            self._start_segment()
