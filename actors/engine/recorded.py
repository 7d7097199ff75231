"""An engine that answers from a file: completions of a batch API, of an earlier run, of another tool.

It stands where an `Engine` stands. The rows of one question are its samples, in the order of the file; a row may hold
several of them in a list, and one without text is none. What the file does not hold fails alone, with a reason.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raydistill.actors.engine.requests import Completion, Request
from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row, folder_rows, read_file

CUT_OFF = frozenset({"length", "max_tokens", "max_output_tokens", "max_new_tokens", "model_length", "token_limit"})
"""What APIs call it when the token limit ended a completion, without case."""
OPTIONS = "\nOptions:\n(A) "

Texts = Mapping[str, Sequence[tuple[str, str]]]  # completions with their finish reasons, by question


class RecordedEngine:
    """Answers requests by their `key` (the question, with or without its options) from the rows of `path`.

    Raises UsageError when the file or one of the columns is missing.
    """

    def __init__(
        self,
        path: str,
        key_column: str = "question",
        text_column: str = "completion",
        reason_column: str = "finish_reason",
    ) -> None:
        self.path = path
        self._texts = read_recording(path, key_column, text_column, reason_column)

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """All wanted samples of all requests, in the order of the requests, then by index."""
        return [self._answer(request, index) for request in requests for index in sorted(set(request.indices))]

    def _answer(self, request: Request, index: int) -> Completion:
        texts = find_texts(self._texts, request.key)
        if index < len(texts):
            text, reason = texts[index]
            return Completion(request.id, index, text, "", reason, 0, 0, request.seed + index, "recorded")
        error = f"no completion {index} of this question in {self.path}"
        return Completion(request.id, index, "", "", "error", 0, 0, request.seed, "recorded", error=error)

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Nothing to change: a recording has no weights."""

    def describe(self) -> dict[str, Any]:
        return {"name": "recorded", "model": self.path, "weights": self.path, "pid": os.getpid()}


def find_texts(texts: Texts, question: str) -> Sequence[tuple[str, str]]:
    """The completions of a question; one with options is also found without them."""
    key = question.strip()
    return texts.get(key) or texts.get(plain_question(key)) or ()


def plain_question(text: str) -> str:
    """The question without the options that a task has written behind it."""
    return text.partition(OPTIONS)[0].strip()


def read_recording(path: str, *columns: str) -> Texts:
    """All completions by question; `columns` as those of `read_columns`, which are three here."""
    texts: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, text, reason in read_columns(path, *columns):
        texts[key.strip()].append((text, reason))
    return dict(texts)


def read_columns(path: str, question: str, completion: str, *reason: str) -> Iterator[tuple[str, ...]]:
    """Question and completion of each sample, and its finish reason (length or stop) if that has a column, too.

    Names lead into objects and lists (``choices.0.message.content``). A row without one of the two is no sample, one
    with a list of completions is several. Without the column `reason`, that beside the completion is taken, else stop.
    Raises UsageError where no row has one of the other columns.
    """
    there: dict[str, None] = {}
    missing = {question, completion}
    for row in folder_rows(path, "train", {}) if Path(path).is_dir() else read_file(path):
        there |= dict.fromkeys(row.data)
        key, value = row.get(question), row.get(completion)
        missing -= {name for name, found in ((question, key), (completion, value)) if found is not None}
        if key is None:
            continue
        texts = value if isinstance(value, list) else [value]
        for text, ended in zip(texts, _reasons(row, completion, reason, len(texts)), strict=True):
            if text is not None:
                yield (_text(row, question, key), _text(row, completion, text), ended)[: 2 + len(reason)]
    for name in (question, completion):
        if name in missing:
            raise UsageError(f"{path}: no column {name!r}; it has {', '.join(there) or 'no rows'}")


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
