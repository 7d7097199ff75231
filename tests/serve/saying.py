"""A model whose words are given: for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from raydistill.actors.engine.requests import Completion, Request
from raydistill.actors.executor import Executor, Program, Verdict

PROMPT_TOKENS, TOKENS = 5, 7  # of each request's prompt, and of each sample


class Saying:
    """A completer that gives, per request, the texts of its samples; it keeps what it was asked."""

    def __init__(self, say: Callable[[Request], Sequence[str]]) -> None:
        self._say = say
        self.asked: list[Request] = []

    async def call(self, method: str, requests: Sequence[Request]) -> list[Completion]:
        assert method == "generate"
        self.asked += requests
        said = [
            (request, text) for request in requests for text in zip(request.indices, self._say(request), strict=True)
        ]
        return [
            Completion(request.id, index, text, "", "stop", PROMPT_TOKENS, TOKENS, request.seed + index, "saying")
            for request, (index, text) in said
        ]


class LocalExecutor:
    """An executor of this process, called as a pool is."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def call(self, method: str, programs: Sequence[Program]) -> list[Verdict]:
        assert method == "run"
        return self._executor.run(programs)
