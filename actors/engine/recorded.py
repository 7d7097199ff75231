"""An engine that answers from a file: completions of a batch API, of an earlier run, of another tool.

It stands where an `Engine` stands. The file (JSONL, Parquet or CSV) has one completion per row; the rows of one
question are its samples, in the order of the file. What the file does not hold fails alone, with a reason.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raydistill.actors.engine.requests import Completion, Request
from raydistill.actors.errors import UsageError
from raydistill.actors.rows import is_unicode, read_file


class RecordedEngine:
    """Answers requests by their `key` (the plain question) from the rows of `path`.

    Raises UsageError when the file or one of the columns is missing.
    """

    def __init__(self, path: str, key_column: str = "question", text_column: str = "completion") -> None:
        self.path = path
        self._texts: dict[str, list[str]] = defaultdict(list)
        for key, text in read_columns(path, key_column, text_column):
            self._texts[key.strip()].append(text)

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """All wanted samples of all requests, in the order of the requests, then by index."""
        return [self._answer(request, index) for request in requests for index in sorted(set(request.indices))]

    def _answer(self, request: Request, index: int) -> Completion:
        texts = self._texts.get(request.key.strip(), [])
        if index < len(texts):
            return Completion(request.id, index, texts[index], "", "stop", 0, 0, request.seed + index, "recorded")
        error = f"no completion {index} of this question in {self.path}"
        return Completion(request.id, index, "", "", "error", 0, 0, request.seed, "recorded", error=error)

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Nothing to change: a recording has no weights."""

    def describe(self) -> dict[str, Any]:
        return {"name": "recorded", "model": self.path, "weights": self.path, "pid": os.getpid()}


def read_columns(path: str, *columns: str) -> Iterator[tuple[str, ...]]:
    """The named columns of a file as text, row by row. Raises UsageError where no row has one of them."""
    there: dict[str, None] = {}
    for row in read_file(path):
        there |= dict.fromkeys(row.data)
        texts = tuple(str(row.data.get(name)) for name in columns)
        if not is_unicode(texts):
            raise UsageError(f"{row.where}: text with half of a surrogate pair, which is no Unicode")
        yield texts
    for name in columns:
        if name not in there:
            raise UsageError(f"{path}: no column {name!r}; it has {', '.join(there) or 'no rows'}")
