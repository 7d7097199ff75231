"""An index of stored samples: which there are from earlier runs, and which segment files hold those of a question.

An index of a folder is two columns of text and one of numbers, about 60 bytes a sample, so that a million samples
stay small; it is turned into Python's sets and dictionaries for a portion of the questions at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from raydistill.actors.segments import list_segments, read_segment
from raydistill.actors.storage import resolve, scheme
from raydistill.pipelines.data.records import Question


@dataclass(slots=True)
class StoredSamples:
    """The stored samples of some questions."""

    sample_ids: set[str] = field(default_factory=set)
    _segments: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, sample_ids: Collection[str], question_ids: Collection[str], segment: str) -> None:
        self.sample_ids.update(sample_ids)
        for question_id in set(question_ids):
            self._segments[question_id].add(segment)

    def segments(self, question_id: str) -> list[str]:
        """URIs of the segments that hold samples of a question, sorted."""
        return sorted(self._segments.get(question_id, ()))


class SegmentIndex:
    """Which samples a folder of segments (any pyarrow filesystem) held when this was made."""

    def __init__(self, folder: str) -> None:
        filesystem, _ = resolve(folder)
        columns = ["sample_id", "question_id"]
        paths = list_segments(folder)
        self._tables = [(scheme(folder) + path, read_segment(filesystem, path, columns)) for path in paths]

    def of(self, questions: Sequence[Question]) -> StoredSamples:
        """What is stored of `questions`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        found, wanted = StoredSamples(), pa.array([question.id for question in questions], pa.string())
        for segment, table in self._tables:
            rows = table.filter(pc.is_in(table["question_id"], value_set=wanted))
            if rows.num_rows:
                found.add(rows["sample_id"].to_pylist(), rows["question_id"].to_pylist(), segment)
        return found
