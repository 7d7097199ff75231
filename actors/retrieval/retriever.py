"""The retriever: from an instruction and a few examples to the most useful rows of an index (arXiv 2407.05463).

    Lookup(instruction, examples, count) --encode--> Query --best_rows--> Hits --read the records--> [RetrievedRow, ...]

It lives in a pool like the engines (`pipelines.datastore.retrieval`). Three levels: `row` is the method; `dataset`
scores descriptions instead of values, as the published code does by mistake, and `random` draws rows: its two controls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from raydistill.actors.errors import UsageError
from raydistill.actors.retrieval.encoder import SentenceEncoder
from raydistill.actors.retrieval.row_index import EncoderId, RowIndex
from raydistill.actors.retrieval.row_matrix import RowMatrix, open_matrix
from raydistill.actors.retrieval.scoring import Hits, Query, Values, best_rows, cosines, rescored

RECORDS_AT_ONCE = 20_000  # read from the index in one go

Level = Literal["row", "dataset", "random"]


@dataclass(frozen=True, slots=True)
class Lookup:
    """What is looked for; ``Lookup("Answer the question.", ({"input": "Who ...?", "output": "Ann"},), 3000)``.

    Raises UsageError without an instruction, without examples, or where one has no input or output.
    """

    instruction: str
    examples: tuple[Mapping[str, str], ...]
    count: int = 3000
    level: Level = "row"
    banned: tuple[str, ...] = ()  # names of sources whose rows must not be returned
    seed: int = 0  # of level random

    def __post_init__(self) -> None:
        if not self.instruction.strip():
            raise UsageError("lookup: the instruction is empty; say in a sentence what the task asks for")
        if not self.examples:
            raise UsageError("lookup: no examples; give at least one with input and output")
        for number, example in enumerate(self.examples, start=1):
            for name in ("input", "output"):
                if not str(example.get(name) or "").strip():
                    raise UsageError(f"lookup: example {number} has no {name}; give every example input and output")
        if self.count < 1:
            raise UsageError(f"lookup: {self.count} rows asked for; expected 1 or more")


@dataclass(frozen=True, slots=True)
class RetrievedRow:
    """A row, why it was found, and where it comes from. `s` is the mean of `s_in`, `s_out` and `s_ds`."""

    row_id: str  # hash of its content
    source: str  # the dataset's name
    row: int  # its number in the dataset
    values: Mapping[str, str]  # by column
    s: float
    s_in: float
    s_out: float
    s_ds: float
    column_in: str  # which column won S_in, and which one S_out
    column_out: str


class Retriever:
    """Answers lookups over one index. Raises UsageError for an index that is missing, empty or of another encoder."""

    def __init__(self, index: str, encoder: str | None = None) -> None:
        opened = RowIndex.open(index)
        self._encoder = SentenceEncoder(encoder or opened.encoder.name)
        opened.check_encoder(encoder_id(self._encoder))
        self._matrix = open_matrix(opened)

    def version(self) -> str:
        """The version of the index that lookups see: the latest one when this was made."""
        return self._matrix.version

    def retrieve(self, lookup: Lookup) -> list[RetrievedRow]:
        """The rows of a lookup, best first."""
        values, query = self._matrix.values, self._query(lookup)
        hits = best_rows(values, query, lookup.count) if lookup.level == "row" else _control(values, query, lookup)
        return _read(self._matrix, hits)

    def _query(self, lookup: Lookup) -> Query:
        import numpy as np

        inputs, outputs = ([str(example[name]) for example in lookup.examples] for name in ("input", "output"))
        distinct = list(dict.fromkeys([lookup.instruction, *inputs, *outputs]))
        vector_of = dict(zip(distinct, self._encoder.encode(distinct), strict=True))
        return Query(
            np.stack([vector_of[text] for text in inputs]),
            np.stack([vector_of[text] for text in outputs]),
            vector_of[lookup.instruction],
            np.array([source.name not in lookup.banned for source in self._matrix.sources]),
        )


def encoder_id(encoder: SentenceEncoder) -> EncoderId:
    """What an index records of its encoder."""
    return EncoderId(encoder.name, encoder.version, encoder.dimension)


def _control(values: Values, query: Query, lookup: Lookup) -> Hits:
    """The rows of the datasets whose descriptions score best, or random rows; with their row-level scores.

    Rows of one dataset have the same score: which of them are taken is drawn.
    """
    import numpy as np

    rows = np.random.default_rng(lookup.seed).permutation(np.flatnonzero(query.allowed[values.dataset]))
    if lookup.level == "dataset":
        like_values = np.vstack([query.means(), query.instruction])
        scores = cosines(values.descriptions, like_values).mean(axis=1)
        rows = rows[np.argsort(-scores[values.dataset[rows]], kind="stable")]
    return rescored(values, query, rows[: lookup.count], lookup.count)


def _read(matrix: RowMatrix, hits: Hits) -> list[RetrievedRow]:
    """The rows of `hits` with their values, from the index."""
    starts = matrix.values.starts
    wanted = [int(matrix.record[place]) for row in hits.rows for place in range(starts[row], starts[row + 1])]
    records: dict[int, dict[str, object]] = {}
    for start in range(0, len(wanted), RECORDS_AT_ONCE):
        part = matrix.records.take_row_ids(wanted[start : start + RECORDS_AT_ONCE])
        for record in part.select(["row_id", "column", "value"]).with_row_id().to_list():
            records[record["_rowid"]] = record
    return [_row(matrix, hits, number, records) for number in range(len(hits.rows))]


def _row(matrix: RowMatrix, hits: Hits, number: int, records: Mapping[int, Mapping[str, object]]) -> RetrievedRow:
    row, starts = int(hits.rows[number]), matrix.values.starts
    own = [records[int(matrix.record[place])] for place in range(starts[row], starts[row + 1])]
    return RetrievedRow(
        row_id=str(own[0]["row_id"]),
        source=matrix.sources[matrix.values.dataset[row]].name,
        row=int(matrix.row_number[row]),
        values={str(record["column"]): str(record["value"]) for record in own},
        s=float(hits.s[number]),
        s_in=float(hits.s_in[number]),
        s_out=float(hits.s_out[number]),
        s_ds=float(hits.s_ds[number]),
        column_in=str(records[int(matrix.record[hits.value_in[number]])]["column"]),
        column_out=str(records[int(matrix.record[hits.value_out[number]])]["column"]),
    )
