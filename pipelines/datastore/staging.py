"""The Ray Data job of a build: sources in, files of encoded records out.

    ReadSource    consumes sources      samples, flattens and hashes rows      passes on chunks of rows
    EncodeChunk   consumes chunks       an actor pool with the encoder         writes <staging>/<source>/<chunk>.parquet

A chunk's file is complete or not there, and the same source gives the same chunks: after `kill -9` only chunks without
a file are encoded. Nothing here touches the index.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from random import Random
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.actors.retrieval.encoder import SentenceEncoder
from raydistill.actors.retrieval.retriever import encoder_id
from raydistill.actors.retrieval.row_index import EncoderId, record_schema
from raydistill.actors.segments import list_segments
from raydistill.actors.storage import read_bytes, write_atomic, write_table
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.datastore.flattening import cut, flatten
from raydistill.pipelines.datastore.reading import read_rows
from raydistill.pipelines.datastore.settings import RowLimits, SourceSettings

if TYPE_CHECKING:
    import numpy as np

CHUNK_ROWS = 64
SHORT_VALUE = 40  # characters; labels and the like come again and again, and their vectors are kept
SHORT_VALUES_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Summary:
    """What reading a source gave; written when all of it was read."""

    rows: int
    chunks: int
    dropped: dict[str, int]
    cut: int


@dataclass(slots=True)
class TextRow:
    """A flattened row; ``TextRow(3, "9f0c...", {"question": "Where?", "answer": "here"})``."""

    number: int
    row_id: str
    values: dict[str, str]


def chunk_path(staging: str, key: str, chunk: int) -> str:
    return f"{staging}/{key}/{chunk:06d}.parquet"


def read_summary(staging: str, key: str) -> Summary | None:
    """The summary of a source that was read completely, else None."""
    data = read_bytes(f"{staging}/{key}/summary.json")
    return Summary(**json.loads(data)) if data else None


def is_staged(staging: str, key: str) -> bool:
    """Whether all of a source's chunks are there."""
    summary = read_summary(staging, key)
    return summary is not None and len(list_segments(f"{staging}/{key}")) == summary.chunks


def stage(
    sources: dict[str, SourceSettings], limits: RowLimits, encoder: EncoderId, staging: str, encoders: tuple[int, int]
) -> Iterator[int]:
    """Read and encode sources (by key) into `staging`; yields the number of rows of each chunk as it is done.

    Raises UsageError for a source that cannot be read.
    """
    import ray
    from ray.data import ActorPoolStrategy

    items = [{"key": key, "source": source.model_dump_json()} for key, source in sources.items()]
    flow: Any = ray.data.from_items(items, override_num_blocks=len(items))
    flow = flow.flat_map(ReadSource(limits, staging), num_cpus=0.5)
    pool = ActorPoolStrategy(min_size=encoders[0], max_size=encoders[1])
    flow = flow.map(EncodeChunk, fn_constructor_args=(encoder, staging), compute=pool, num_cpus=1)
    for row in flow.iter_rows():
        if row["error"]:
            raise UsageError(row["error"])
        yield row["done"]


@dataclass(frozen=True)
class ReadSource:
    """Reads a source and passes its chunks on; a source that cannot be read becomes a row that says so."""

    limits: RowLimits
    staging: str

    def __call__(self, item: dict[str, str]) -> list[dict[str, Any]]:
        key, source = item["key"], SourceSettings.model_validate_json(item["source"])
        try:
            rows, summary = text_rows(source, self.limits)
        except UsageError as error:
            return [{"key": key, "chunk": 0, "rows": "[]", "error": str(error)}]
        staged = {PurePosixPath(path).stem for path in list_segments(f"{self.staging}/{key}")}
        chunks = []
        for chunk in range(summary.chunks):
            if f"{chunk:06d}" not in staged:
                part = [asdict(row) for row in rows[chunk * CHUNK_ROWS : (chunk + 1) * CHUNK_ROWS]]
                chunks.append({"key": key, "chunk": chunk, "rows": json.dumps(part), "error": ""})
        write_atomic(f"{self.staging}/{key}/summary.json", json.dumps(asdict(summary)).encode())
        return chunks


def text_rows(source: SourceSettings, limits: RowLimits) -> tuple[list[TextRow], Summary]:
    """A seeded sample of the source's rows, flattened, each content once, and what was dropped or cut."""
    dropped: Counter[str] = Counter()
    kept: dict[str, TextRow] = {}
    shortened = 0
    for number, row in _sample(read_rows(source, dropped), limits.rows_per_source, limits.seed):
        values = flatten(row, source.labels, source.columns)
        row_id = content_hash(values)
        if not values or len(values) > limits.columns_per_row or row_id in kept:
            dropped["no_values" if not values else "duplicate" if row_id in kept else "too_many_columns"] += 1
            continue
        short = {column: cut(value, limits.value_characters) for column, value in values.items()}
        shortened += sum(len(short[column]) < len(value) for column, value in values.items())
        kept[row_id] = TextRow(number, row_id, short)
    rows = list(kept.values())
    return rows, Summary(len(rows), -(-len(rows) // CHUNK_ROWS), dict(dropped), shortened)


def _sample(
    rows: Iterator[tuple[int, Mapping[str, Any]]], count: int, seed: int
) -> list[tuple[int, Mapping[str, Any]]]:
    """At most `count` rows, all equally likely, in their order; holds only these in memory (reservoir sampling)."""
    rng, taken = Random(seed), []
    for seen, row in enumerate(rows):
        if seen < count:
            taken.append(row)
        elif (place := rng.randrange(seen + 1)) < count:
            taken[place] = row
    return sorted(taken, key=lambda row: row[0])


class EncodeChunk:
    """Encodes the values of a chunk and writes its records. Raises UsageError if its node has another encoder."""

    def __init__(self, encoder: EncoderId, staging: str) -> None:
        self._encoder, self._staging, self._id = SentenceEncoder(encoder.name), staging, encoder
        self._short: OrderedDict[str, np.ndarray] = OrderedDict()
        if encoder_id(self._encoder) != encoder:
            raise UsageError(
                f"encoder {encoder.name}: this node has version {self._encoder.version}, not {encoder.version}"
            )

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import pyarrow as pa

        rows = json.loads(row["rows"])
        if rows:
            vectors = self._vectors([value for item in rows for value in item["values"].values()])
            records = [
                {
                    "source": row["key"],
                    "row": item["number"],
                    "row_id": item["row_id"],
                    "column": column,
                    "value": value,
                }
                | {"vector": vectors[value]}
                for item in rows
                for column, value in item["values"].items()
            ]
            table = pa.Table.from_pylist(records, schema=record_schema(self._id))
            write_table(chunk_path(self._staging, row["key"], row["chunk"]), table)
        return {"done": len(rows), "error": row["error"]}

    def _vectors(self, values: Sequence[str]) -> dict[str, np.ndarray]:
        """The vector of each distinct value. Values of like length are encoded together: less padding."""
        found = {value: self._short[value] for value in values if value in self._short}
        fresh = sorted({value for value in values if value not in found}, key=len)
        found |= dict(zip(fresh, self._encoder.encode(fresh), strict=True))
        self._short.update((value, found[value]) for value in fresh if len(value) <= SHORT_VALUE)
        while len(self._short) > SHORT_VALUES_KEPT:
            self._short.popitem(last=False)
        return found
