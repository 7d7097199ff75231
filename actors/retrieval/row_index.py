"""The datastore: rows of many datasets, one record per (row, column), with their sentence vectors.

    <index>/records.lance    source, row, row_id, column, value, vector      the records of a row stand together
    <index>/sources.lance    key, name, description, vector, counts       a source that is not here is not finished

Two LanceDB tables, on a local path or an object store (s3://, gs://). LanceDB commits each write as one version, so a
reader sees a source as a whole or not at all. The encoder's name and version are in the records' schema.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import is_uri

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS, SOURCES = "records", "sources"


@dataclass(frozen=True, slots=True)
class EncoderId:
    """Which encoder made the vectors; ``EncoderId("all-MiniLM-L6-v2", "53aa5117...", 384)``."""

    name: str
    version: str  # changes with its weights
    dimension: int


@dataclass(frozen=True, slots=True)
class Source:
    """One dataset of the index and what became of its rows."""

    key: str  # hash of everything that its records depend on
    name: str
    description: str
    rows: int  # in the index
    records: int
    dropped: Mapping[str, int] = field(default_factory=dict)  # rows by reason
    cut: int = 0  # values that were longer than allowed
    settings: Mapping[str, Any] = field(default_factory=dict)  # where it comes from, to read it again


def record_schema(encoder: EncoderId) -> pa.Schema:
    """Arrow schema of the records, with the encoder in its metadata."""
    import pyarrow as pa

    text = pa.string()
    vector = pa.list_(pa.float32(), encoder.dimension)
    columns = [("source", text), ("row", pa.int64()), ("row_id", text), ("column", text), ("value", text)]
    return pa.schema([*columns, ("vector", vector)], metadata={"encoder": json.dumps(asdict(encoder))})


class RowIndex:
    """An index that exists. `open` and `create` make one. All methods see the latest version."""

    def __init__(self, uri: str, database: Any, encoder: EncoderId) -> None:
        self.uri, self.encoder = uri, encoder
        self._database = database

    @classmethod
    def open(cls, uri: str) -> RowIndex:
        """The index at a path or URI. Raises UsageError if there is none."""
        if not cls.exists(uri):
            raise UsageError(f"index {uri}: no index there; build one with: raydistill index build CONFIG")
        database = _connect(uri)
        metadata = database.open_table(RECORDS).schema.metadata or {}
        if b"encoder" not in metadata:
            raise UsageError(f"index {uri}: its table {RECORDS} is not of raydistill; name another folder")
        return cls(uri, database, EncoderId(**json.loads(metadata[b"encoder"])))

    @staticmethod
    def exists(uri: str) -> bool:
        """Whether there is an index at a path or URI."""
        if not is_uri(uri) and not Path(uri).is_dir():  # connecting would make the folder
            return False
        return RECORDS in _connect(uri).list_tables().tables

    @classmethod
    def create(cls, uri: str, encoder: EncoderId) -> RowIndex:
        """The index at `uri`, made if it is not there; one of another encoder is replaced by an empty one."""
        database = _connect(uri)
        if not cls.exists(uri) or cls.open(uri).encoder != encoder:
            database.create_table(RECORDS, schema=record_schema(encoder), mode="overwrite")
        if SOURCES not in database.list_tables().tables:
            database.create_table(SOURCES, schema=_source_schema())
        return cls(uri, database, encoder)

    def check_encoder(self, encoder: EncoderId) -> None:
        """Raise UsageError unless the vectors were made by `encoder`."""
        if encoder != self.encoder:
            raise UsageError(
                f"index {self.uri}: built with encoder {_shown(self.encoder)}, asked with {_shown(encoder)}; ask with"
                " the first, or build again with: raydistill index build CONFIG --rebuild"
            )

    @property
    def version(self) -> str:
        """Changes with every write; also names the sources, so that an index made anew is not taken for the old one."""
        versions = [str(self._database.open_table(name).version) for name in (RECORDS, SOURCES)]
        keys = " ".join(sorted(source.key for source in self.sources()))
        return "-".join([*versions, hashlib.sha256(keys.encode()).hexdigest()[:8]])

    def records(self) -> Any:
        """The LanceDB table of records, at its latest version."""
        return self._database.open_table(RECORDS)

    def sources(self) -> list[Source]:
        """The finished sources, by name."""
        rows = self._database.open_table(SOURCES).search().limit(None).to_list()
        return sorted((_from_row(row) for row in rows), key=lambda source: (source.name, source.key))

    def descriptions(self) -> dict[str, list[float]]:
        """The vector of each finished source's description, by the source's key."""
        table = self._database.open_table(SOURCES).search().limit(None).select(["key", "vector"]).to_arrow()
        return dict(zip(table["key"].to_pylist(), table["vector"].to_pylist(), strict=True))

    def holds(self, key: str) -> bool:
        """Whether there are records of this source, finished or not."""
        return self.records().count_rows(f"source = {_quoted(key)}") > 0

    def row_ids(self, keys: Sequence[str]) -> set[str]:
        """The content hashes of all rows of these sources."""
        if not keys:
            return set()
        wanted = ", ".join(map(_quoted, keys))
        query = self.records().search().where(f"source IN ({wanted})").limit(None).select(["row_id"])
        return {row_id for batch in query.to_batches() for row_id in batch["row_id"].to_pylist()}

    def add_records(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Append records in one commit; those of a row must follow each other."""
        import pyarrow as pa

        self.records().add(pa.RecordBatchReader.from_batches(record_schema(self.encoder), batches))

    def finish(self, sources: Sequence[Source], vectors: Sequence[Sequence[float]]) -> None:
        """Declare sources finished, with the vectors of their descriptions; from now on their rows are found."""
        if sources:
            rows = [_to_row(source, vector) for source, vector in zip(sources, vectors, strict=True)]
            table = self._database.open_table(SOURCES)
            table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all().execute(
                _source_table(rows)
            )

    def remove(self, keys: Sequence[str]) -> None:
        """Remove sources and their records."""
        if keys:
            wanted = ", ".join(map(_quoted, keys))
            self._database.open_table(SOURCES).delete(f"key IN ({wanted})")
            self.records().delete(f"source IN ({wanted})")


def _connect(uri: str) -> Any:
    try:
        import lancedb
    except ImportError:
        raise UsageError("the datastore needs LanceDB, which is missing; pip install raydistill[datastore]") from None
    try:
        return lancedb.connect(uri)
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"index {uri}: cannot be opened: {str(error).splitlines()[0]}") from None


def _source_schema() -> pa.Schema:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    return pa.schema(
        [("key", text), ("name", text), ("description", text), ("rows", number), ("records", number)]
        + [("dropped", text), ("cut", number), ("settings", text), ("vector", pa.list_(pa.float32()))]
    )


def _source_table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_pylist(rows, schema=_source_schema())


def _to_row(source: Source, vector: Sequence[float]) -> dict[str, Any]:
    settings, dropped = json.dumps(dict(source.settings), sort_keys=True), json.dumps(dict(source.dropped))
    return asdict(source) | {"settings": settings, "dropped": dropped, "vector": list(vector)}


def _from_row(row: Mapping[str, Any]) -> Source:
    values = {name: value for name, value in row.items() if name not in ("vector", "dropped", "settings")}
    return Source(**values, dropped=json.loads(row["dropped"]), settings=json.loads(row["settings"]))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _shown(encoder: EncoderId) -> str:
    return f"{encoder.name} (version {encoder.version}, {encoder.dimension} dimensions)"
