"""Many questions in little memory: an Arrow column of JSON texts, 110 bytes a short question instead of 375.

A driver holds all its questions for the length of a run; they become objects where they are looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from itertools import islice
from typing import TYPE_CHECKING, overload

from raydistill.actors.storage import resolve
from raydistill.pipelines.data.records import Question

if TYPE_CHECKING:
    import pyarrow as pa

QUESTIONS_PER_CHUNK = 10_000


class QuestionTable(Sequence[Question]):
    """A sequence that makes its questions anew each time it is asked for them; a slice is a list."""

    def __init__(self, questions: Iterable[Question] = ()) -> None:
        import pyarrow as pa

        self._texts = pa.chunked_array(list(_chunks(questions)), pa.string())

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[Question]:
        for chunk in self._texts.chunks:
            yield from map(_question, chunk.to_pylist())

    @overload
    def __getitem__(self, at: int) -> Question: ...

    @overload
    def __getitem__(self, at: slice) -> list[Question]: ...

    def __getitem__(self, at: int | slice) -> Question | list[Question]:
        if isinstance(at, int):
            return _question(self._texts[at].as_py())
        return [_question(text) for text in self._texts[at].to_pylist()]


def _chunks(questions: Iterable[Question]) -> Iterator[pa.Array]:
    import pyarrow as pa

    texts = (json.dumps(astuple(question)) for question in questions)
    while chunk := list(islice(texts, QUESTIONS_PER_CHUNK)):
        yield pa.array(chunk, pa.string())


def _question(text: str) -> Question:
    return Question(*json.loads(text))


def store_questions(questions: Iterable[Question], folder: str) -> str:
    """Write the questions to a Parquet file of `folder` that is named by their ids, once; returns its name."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow.fs import FileType

    digest = hashlib.sha256()
    for question in questions:
        digest.update(question.id.encode())
    name = f"{digest.hexdigest()[:16]}.parquet"
    filesystem, root = resolve(folder)
    if filesystem.get_file_info(f"{root}/{name}").type != FileType.NotFound:
        return name
    filesystem.create_dir(root, recursive=True)
    schema = pa.schema([(column, pa.string()) for column in ("question_id", "text", "answer", "meta")])
    rows = iter(questions)
    with pq.ParquetWriter(f"{root}/{name}.tmp", schema, filesystem=filesystem) as writer:
        while chunk := list(islice(rows, QUESTIONS_PER_CHUNK)):
            values = zip(*map(astuple, chunk), strict=True)
            writer.write_table(pa.table([pa.array(column, pa.string()) for column in values], schema=schema))
    filesystem.move(f"{root}/{name}.tmp", f"{root}/{name}")
    return name
