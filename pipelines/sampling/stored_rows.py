"""What an earlier run, or a stage that was lost, has stored of a question: rows of segments, by sample."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from raydistill.actors.segments import read_segment
from raydistill.actors.storage import resolve
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.sampling.segment_index import SegmentIndex, StoredSamples

SEGMENTS_IN_MEMORY = 16


class StoredRows:
    """Rows of a folder's segments by sample id; holds the segments used last in memory.

    Which segments hold a question's samples is in `column` of its row. After an actor restart Ray replays calls whose
    results were lost, though their rows were stored; those are looked up in the folder.
    """

    def __init__(self, folder: str, column: str) -> None:
        self._column = column
        self._left = SegmentIndex(folder) if started_again() else None
        self._segments: OrderedDict[str, dict[str, dict[str, Any]]] = OrderedDict()

    def of(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, dict[str, Any]]]:
        """All rows of the segments that hold samples of a question, for each question's row."""
        left = self._left.of([to_question(row) for row in rows]) if self._left else StoredSamples()
        return [self._find({*row[self._column], *left.segments(row["question_id"])}) for row in rows]

    def _find(self, uris: Iterable[str]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for uri in uris:
            found |= self._segment(uri)
        return found

    def _segment(self, uri: str) -> dict[str, dict[str, Any]]:
        if uri not in self._segments:
            rows = read_segment(*resolve(uri)).to_pylist()
            self._segments[uri] = {row["sample_id"]: row for row in rows}
            if len(self._segments) > SEGMENTS_IN_MEMORY:
                self._segments.popitem(last=False)
        self._segments.move_to_end(uri)
        return self._segments[uri]


def started_again() -> bool:
    """Whether Ray has restarted the actor that this is called in, if it is one."""
    import ray

    context = ray.get_runtime_context()
    return context.get_actor_id() is not None and bool(context.was_current_actor_reconstructed)


def to_question(row: dict[str, Any]) -> Question:
    return Question(row["question_id"], row["text"], row["answer"], row["meta"])
