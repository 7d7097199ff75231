"""A model behind a URL in the place of an `Engine`: a batch of requests in, completions out, each with its ids.

Samples of a request are choices of one HTTP request where the server gives several, else requests of their own. What
has come of a request is kept when the rest of it fails. The tokens that the server counts for several choices together
are divided among them by what they say, so that all rows of a run add up to what the server has counted.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.actors.engine.engine import consecutive
from raydistill.actors.engine.remote.dialect import Dialect
from raydistill.actors.engine.remote.estimates import Estimates, divide
from raydistill.actors.engine.remote.replies import NAMED_BY_ID, Choice, Usage
from raydistill.actors.engine.remote.sending import Refused, Sender
from raydistill.actors.engine.remote.settings import EndpointSettings
from raydistill.actors.engine.requests import Completion, Request


class RemoteEngine:
    """An endpoint behind the coroutines of an `Engine`."""

    def __init__(self, settings: EndpointSettings) -> None:
        self.settings = settings
        self.name = f"remote-{uuid.uuid4().hex[:8]}"
        self._tokenizer = load_tokenizer(settings.tokenizer)
        self._estimates = Estimates(self._tokenizer)
        self._dialect = Dialect(settings, self._tokenizer)
        self._sender: Sender | None = None

    @property
    def sender(self) -> Sender:
        """Made in the event loop that it is used in."""
        if self._sender is None:
            self._sender = Sender(self.settings, self._dialect, self._estimates)
        return self._sender

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """All wanted samples of all requests, in the order of the requests, then by index."""
        batches = await asyncio.gather(*map(self._answer, requests))
        return [completion for batch in batches for completion in batch]

    async def _answer(self, request: Request) -> list[Completion]:
        most = self.settings.most_choices
        runs = [self._sample(request, first, count) for first, count in consecutive(request.indices, most)]
        batches = await asyncio.gather(*runs)
        return sorted((c for batch in batches for c in batch), key=lambda completion: completion.index)

    async def _sample(self, request: Request, first: int, count: int) -> list[Completion]:
        """Samples `first` .. `first + count - 1`, those that fail with their reason."""
        if count > 1 and not self._dialect.takes_n:
            single = await asyncio.gather(*(self._sample(request, first + i, 1) for i in range(count)))
            return [completion for batch in single for completion in batch]
        try:
            reply, usage = await self.sender.send(request, first, count)
        except Exception as error:  # whatever is wrong with this request concerns this request alone
            reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
            return [self._failure(request, first + i, " ".join(reason.split())[-400:]) for i in range(count)]
        came = self._completions(request, first, reply.choices, usage)[:count]
        if len(came) < count and len(came) == 1:
            self._dialect.leave_out("n", f"1 choice came where {count} were asked for")
        return came + (await self._sample(request, first + len(came), count - len(came)) if len(came) < count else [])

    def _completions(self, request: Request, first: int, choices: Sequence[Choice], usage: Usage) -> list[Completion]:
        divided = divide(usage, choices, self._estimates.text)
        return [
            self._completion(request, first + place, choice, prompt, tokens)
            for place, (choice, (prompt, tokens)) in enumerate(zip(choices, divided, strict=True))
        ]

    def _completion(self, request: Request, index: int, choice: Choice, prompt: int, tokens: int) -> Completion:
        if choice.withheld:
            return self._failure(request, index, choice.withheld)
        text, reason = choice.text, choice.finish_reason
        if "stop" in self._dialect.left_out:
            text, reason = _cut(text, request.sampling.stop, reason)
        asked = request.sampling.logprobs is not None
        steps = self._by_id(choice.tokens) if asked and choice.tokens is not None else None
        return Completion(
            request_id=request.id,
            index=index,
            text=text,
            reasoning=choice.reasoning,
            finish_reason=reason,
            prompt_tokens=prompt,
            completion_tokens=tokens,
            seed=request.seed + index,
            engine=self.name,
            token_ids=tuple(token for token, _ in steps or ()),
            logprobs=None if steps is None else tuple(likeliest for _, likeliest in steps),
        )

    def _by_id(self, tokens: Sequence[tuple[str, Mapping[str, float]]]) -> list[tuple[int, dict[int, float]]] | None:
        """Tokens with their log-probabilities by id; None where the server does not say which tokens they are."""
        steps = []
        for token, likeliest in tokens:
            chosen = self._token_id(token)
            if chosen is None:
                return None
            ids = {self._token_id(name): value for name, value in likeliest.items()}
            steps.append((chosen, {token_id: value for token_id, value in ids.items() if token_id is not None}))
        return steps

    def _token_id(self, token: str) -> int | None:
        if token.startswith(NAMED_BY_ID):
            return int(token.removeprefix(NAMED_BY_ID))
        if self._tokenizer is None:
            return None
        ids = self._tokenizer.encode(token, add_special_tokens=False)
        return ids[0] if len(ids) == 1 else None

    def _failure(self, request: Request, index: int, error: str) -> Completion:
        return Completion(request.id, index, "", "", "error", 0, 0, request.seed + index, self.name, error=error)

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Nothing to change: another model is another pool."""

    async def describe(self) -> dict[str, Any]:
        """Who answers, and what it was found not to take. What it has cost until now is durable then."""
        await asyncio.to_thread(self.sender.flush)
        return {
            "name": self.name,
            "model": self.settings.model,
            "weights": self.settings.model,
            "pid": os.getpid(),
            "notes": list(self._dialect.notes),
            "requests_at_a_time": int(self.sender.limit.places),
        }

    async def stop(self) -> None:
        """Close connections and make the ledger durable."""
        if self._sender:
            await self._sender.close()


def load_tokenizer(name: str | None) -> Any:
    """The tokenizer of a model directory or hub id."""
    if name is None:
        return None
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name)


def _cut(text: str, stops: Sequence[str], reason: str) -> tuple[str, str]:
    """The text before the first of `stops` in it, as a server would have ended it."""
    found = [place for stop in stops if stop and (place := text.find(stop)) >= 0]
    return (text[: min(found)], "stop") if found else (text, reason)
