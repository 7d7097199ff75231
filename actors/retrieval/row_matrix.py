"""The vectors of an index as one memory-mapped matrix, which exact scoring reads from end to end.

Derived from the index and written once per version, next to a local index, or for an index in an object store
into the node's cache folder (``$XDG_CACHE_HOME/raydistill``, by default ``~/.cache/raydistill``). All retrievers of a
node map the same files, so they share the pages.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.actors.retrieval.row_index import RowIndex, Source
from raydistill.actors.retrieval.scoring import Values
from raydistill.actors.storage import is_uri

if TYPE_CHECKING:
    import numpy as np

READ_AT_ONCE = 8192
KEPT_VERSIONS = 2
FORMAT = 2
"""Of the matrix folder's files; raised when they change, so that folders of another raydistill are derived anew."""


@dataclass(frozen=True, slots=True)
class RowMatrix:
    """One version of an index, ready to be scored."""

    version: str
    values: Values
    sources: list[Source]  # by number
    row_number: np.ndarray  # int64 [rows], in the source
    record: np.ndarray  # int64 [values]: LanceDB's id of the record, valid for `records`
    records: Any  # the LanceDB table at this version


def open_matrix(index: RowIndex) -> RowMatrix:
    """The matrix of the index's latest version, derived now if it is not there yet. Raises UsageError if empty."""
    folder = _folder(index)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        version, records = index.version, index.records()
        target = folder / version
        if target.is_dir() and _format(target) != FORMAT:
            shutil.rmtree(target)
        if not target.is_dir():
            _derive(index, records, target)
            _forget_old(folder)
        return _map(target, index, version, records)


def _folder(index: RowIndex) -> Path:
    if not is_uri(index.uri):
        return Path(index.uri, "matrix")
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache, "raydistill", hashlib.sha256(index.uri.encode()).hexdigest()[:16])


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process of the node at a time."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _derive(index: RowIndex, records: Any, target: Path) -> None:
    import numpy as np

    sources = index.sources()
    descriptions = index.descriptions()
    number_of = {source.key: number for number, source in enumerate(sources)}
    if not any(source.records for source in sources):
        raise UsageError(f"index {index.uri}: it is empty; add rows with: raydistill index build CONFIG")
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    parts: dict[str, list[np.ndarray]] = {"source": [], "row": [], "record": []}
    with (temporary / "vectors.f32").open("wb") as file:
        for batch in records.search().select(["source", "row", "vector"]).with_row_id(True).to_batches(READ_AT_ONCE):
            source = np.array([number_of.get(key, -1) for key in batch["source"].to_pylist()], np.int32)
            finished = source >= 0  # records of a source that is being added are left out
            vectors = batch["vector"].flatten().to_numpy().reshape(batch.num_rows, -1)
            file.write(np.ascontiguousarray(vectors[finished]).tobytes())
            parts["source"].append(source[finished])
            parts["row"].append(batch["row"].to_numpy()[finished])
            parts["record"].append(batch["_rowid"].to_numpy().astype(np.int64)[finished])
    columns = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    changes = (np.diff(columns["source"]) != 0) | (np.diff(columns["row"]) != 0)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(columns["row"])]])
    np.save(temporary / "starts.npy", starts)
    np.save(temporary / "dataset.npy", columns["source"][starts[:-1]])
    np.save(temporary / "row.npy", columns["row"][starts[:-1]])
    np.save(temporary / "record.npy", columns["record"])
    np.save(temporary / "descriptions.npy", np.array([descriptions[source.key] for source in sources], np.float32))
    about = {"format": FORMAT, "sources": [source.key for source in sources]}
    (temporary / "matrix.json").write_text(json.dumps(about), encoding="utf-8")
    temporary.rename(target)


def _format(folder: Path) -> int | None:
    """The format of a matrix folder; None if it says none, as the first ones do."""
    about = folder / "matrix.json"
    return json.loads(about.read_text(encoding="utf-8"))["format"] if about.is_file() else None


def _map(folder: Path, index: RowIndex, version: str, records: Any) -> RowMatrix:
    import numpy as np

    starts, dataset, row, record, descriptions = (
        np.load(folder / f"{name}.npy") for name in ("starts", "dataset", "row", "record", "descriptions")
    )
    shape = (len(record), index.encoder.dimension)
    vectors = np.memmap(folder / "vectors.f32", np.float32, "r", shape=shape)
    values = Values(vectors, starts, dataset, descriptions)
    by_key = {source.key: source for source in index.sources()}
    return RowMatrix(
        version,
        values,
        [by_key[key] for key in json.loads((folder / "matrix.json").read_text(encoding="utf-8"))["sources"]],
        row,
        record,
        records,
    )


def _forget_old(folder: Path) -> None:
    """Remove all but the latest versions; who still maps an older one keeps it."""
    versions = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in versions[:-KEPT_VERSIONS]:
        shutil.rmtree(path, ignore_errors=True)
