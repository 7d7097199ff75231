"""An engine that answers from files: completions of a batch API, of an earlier run, of another tool.

It stands where an `Engine` stands. What the files do not hold fails alone, with a reason.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.actors.engine.recording import read_recording
from raydistill.actors.engine.requests import Completion, Request

NAME = "recorded"
"""What completions of recordings have for an engine."""


class RecordedEngine:
    """Answers requests by their ids, or by their `key` (the question), from the rows of files or folders.

    Raises UsageError when a file or one of the columns is missing.
    """

    def __init__(
        self,
        paths: Sequence[str],
        key_column: str = "question",
        text_column: str = "completion",
        reason_column: str = "finish_reason",
    ) -> None:
        self._recording = read_recording(paths, key_column, text_column, reason_column)

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """All wanted samples of all requests, in the order of the requests, then by index."""
        return [self._answer(request, index) for request in requests for index in sorted(set(request.indices))]

    def _answer(self, request: Request, index: int) -> Completion:
        seed = request.seed + index
        said = self._recording.find(request.id, request.key, index)
        if said is None:
            error = self._recording.missing(request.id, index)
            return Completion(request.id, index, "", "", "error", 0, 0, seed, NAME, error=error)
        tokens = said.prompt_tokens, said.completion_tokens
        return Completion(request.id, index, said.text, said.reasoning, said.finish_reason, *tokens, seed, NAME)

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Nothing to change: a recording has no weights."""

    def describe(self) -> dict[str, Any]:
        path = self._recording.path
        return {"name": NAME, "model": path, "weights": path, "pid": os.getpid()}
