"""Completions that were made elsewhere, in files: answers of a batch API, rows of another tool, of an earlier run.

Rows are found by what they are keyed with: a question (with or without its options), its id, a request's id, or a
sample's. Rows with one key are its samples, in the order of the file; a row may hold several in a list, and one without
text is none. Answers of a batch (`remote.batches`) are known by their form, whatever the columns are called.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raydistill.actors.engine.remote.batches import Said, batch_answers, is_batch_line, request_of
from raydistill.actors.engine.remote.replies import CUT_OFF, MalformedReply
from raydistill.actors.engine.requests import Request
from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row, folder_rows, read_file

OPTIONS = "\nOptions:\n(A) "


@dataclass(slots=True)
class Recording:
    """The completions of some files by their keys; `failures` says of requests why they have none."""

    path: str
    said: defaultdict[str, list[Said]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, str] = field(default_factory=dict)

    def find(self, request_id: str, question: str, index: int) -> Said | None:
        """Sample `index` of a request (``<question id>/<context>``) about a question."""
        sample = self.said.get(f"{request_id}/{index}")
        if sample:
            return sample[0]
        keys = request_id, request_id.partition("/")[0], question.strip(), plain_question(question)
        samples = next((found for key in keys if (found := self.said.get(key))), ())
        return samples[index] if index < len(samples) else None

    def lacks(self, request: Request) -> tuple[int, ...]:
        """The samples of a request that are not here."""
        return tuple(index for index in request.indices if self.find(request.id, request.key, index) is None)

    def found_by_plain_question(self, question: str) -> bool:
        """Whether a question is here without its options alone."""
        return question.strip() not in self.said and plain_question(question) in self.said

    def missing(self, request_id: str, index: int) -> str:
        """Why there is no such sample."""
        told = f": {self.failures[request_id]}" if request_id in self.failures else ""
        return f"no completion {index} of this question in {self.path}{told}"

    def take(self, row: Row) -> None:
        """Add what a line of a batch's answers says."""
        try:
            for key, said in batch_answers(row.data):
                self.said[key].append(said)
        except MalformedReply as error:
            self.failures[request_of(str(row.data["custom_id"]))] = str(error)


def plain_question(text: str) -> str:
    """The question without the options that a task has written behind it."""
    return text.partition(OPTIONS)[0].strip()


def read_recording(paths: Iterable[str], *columns: str) -> Recording:
    """All completions of these files or folders; `columns` as those of `read_columns`, which are three here.

    Raises UsageError for a file that cannot be read, and for rows without one of the first two columns.
    """
    paths = list(paths)
    recording = Recording(", ".join(paths))
    for path in paths:
        columned = _Columned(path, *columns)
        for row in _rows(path):
            if is_batch_line(row.data):
                recording.take(row)
            else:
                for key, text, reason in columned.read(row):
                    recording.said[key.strip()].append(Said(text, reason))
        columned.check()
    if not recording.said and not recording.failures:
        raise UsageError(f"{recording.path}: no column {columns[0]!r}; it has no rows")
    return recording


def read_columns(path: str, question: str, completion: str, *reason: str) -> Iterator[tuple[str, ...]]:
    """Question and completion of each sample, and its finish reason (length or stop) if that has a column, too.

    Names lead into objects and lists (``choices.0.message.content``). A row without one of the two is no sample, one
    with a list of completions is several. Without the column `reason`, that beside the completion is taken, else stop.
    Raises UsageError where no row has one of the other columns.
    """
    columned = _Columned(path, question, completion, *reason)
    for row in _rows(path):
        yield from columned.read(row)
    columned.check()


def _rows(path: str) -> Iterator[Row]:
    return folder_rows(path, "train", {}) if Path(path).is_dir() else read_file(path)


class _Columned:
    """Reads rows by columns, and knows in the end which of them no row had."""

    def __init__(self, path: str, question: str, completion: str, *reason: str) -> None:
        self._path, self._question, self._completion, self._reason = path, question, completion, reason
        self._there: dict[str, None] = {}
        self._missing = {question, completion}

    def read(self, row: Row) -> Iterator[tuple[str, ...]]:
        question, completion = self._question, self._completion
        self._there |= dict.fromkeys(row.data)
        key, value = row.get(question), row.get(completion)
        self._missing -= {name for name, found in ((question, key), (completion, value)) if found is not None}
        if key is None:
            return
        texts = value if isinstance(value, list) else [value]
        for text, ended in zip(texts, _reasons(row, completion, self._reason, len(texts)), strict=True):
            if text is not None:
                yield (_text(row, question, key), _text(row, completion, text), ended)[: 2 + len(self._reason)]

    def check(self) -> None:
        """Raise UsageError where there were rows, and none with one of the columns."""
        for name in (self._question, self._completion):
            if self._there and name in self._missing:
                raise UsageError(f"{self._path}: no column {name!r}; it has {', '.join(self._there)}")


def _reasons(row: Row, completion: str, columns: Sequence[str], count: int) -> list[str]:
    """The finish reason of each of a row's completions."""
    found = [row.get(name) for name in (*columns, _beside(completion))]
    said = next((reason for reason in found if reason is not None), None)
    reasons = said if isinstance(said, list) and len(said) == count else [said] * count
    return ["length" if isinstance(one, str) and one.lower() in CUT_OFF else "stop" for one in reasons]


def _beside(column: str) -> str:
    """Where the finish reason of ``choices.0.message.content`` stands: ``choices.0.finish_reason``."""
    return f"{column.removesuffix('.text').removesuffix('.content').removesuffix('.message')}.finish_reason"


def _text(row: Row, column: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        inner = next(iter(value), 0) if isinstance(value, dict) else 0
        raise UsageError(
            f"{row.where}: the field {column!r} is no text but {type(value).__name__}; expected a text, a number or "
            f"a list of texts: name the field in it, such as {column}.{inner}"
        )
    return str(value)
