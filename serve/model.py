"""The student's engines, called by handle: a completer as a pool of engines is one.

    Request --prompt_ids--> token ids --handle--> LLMServer (vLLM) --> Completion

Token ids are sent, not messages: those that an engine of a run sends. What a model's generation_config.json says of
sampling does not count, as it does not in a run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from raydistill.actors.engine.engine import consecutive
from raydistill.actors.engine.outputs import plain
from raydistill.actors.engine.rendering import prompt_ids
from raydistill.actors.engine.requests import Completion, Request
from raydistill.actors.errors import EngineError, UsageError
from raydistill.serve.calls import ReplicaLost, parts_of
from raydistill.serve.student import Student

NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}


class Model:
    """Completes requests with a served student; ``Model(student, handle)``. Requests' adapters are not looked at.

    `handle` is that of the deployment that `serve.deployment` makes of the student.
    """

    def __init__(self, student: Student, handle: Any) -> None:
        from transformers import AutoTokenizer

        self._student, self._handle = student, handle.options(stream=True)
        self._tokenizer = AutoTokenizer.from_pretrained(student.tokenizer, revision=student.revision)
        self._context: int | None = None

    async def call(self, method: str, *arguments: Any) -> list[Completion]:
        """``generate`` and a list of requests give all their samples, in the order of the requests, then by index.

        Where the context has less room than `max_tokens`, samples end there. Raises UsageError where it has none, or
        vLLM refuses a request, EngineError where the engines cannot answer.
        """
        if method != "generate":
            raise UsageError(f"{method}: a served student only generates")
        (requests,) = arguments
        batches = await asyncio.gather(*map(self._answer, requests))
        return [completion for batch in batches for completion in batch]

    async def context(self) -> int:
        """How many tokens a prompt and its answer have room for."""
        if self._context is None:
            self._context = int(await self._send("context_length"))
        return self._context

    async def stream(self, request: Request) -> AsyncIterator[list[Completion]]:
        """The samples 0 .. n - 1 of a request, each as it ends, without log-probabilities. Raises as `call` does."""
        from ray.serve.llm.openai_api_models import CompletionRequest

        ids = prompt_ids(self._tokenizer, request)
        settings = {"model": self._student.asked_as, "n": len(request.indices), "seed": request.seed}
        body = CompletionRequest.model_validate(_body(request, ids, await self._room(len(ids))) | settings)
        missing = {*range(len(request.indices))}
        for last in (False, True):
            try:
                async with aclosing(parts_of(self._handle.samples, body, *self._student.later)) as samples:
                    async for sample in samples:
                        if sample.index in missing:
                            missing.remove(sample.index)
                            yield [replace(sample, request_id=request.id)]
                return
            except ReplicaLost:  # another one draws the same samples again
                if last:
                    raise

    async def check(self) -> None:
        """Generate one token. Raises EngineError when that fails."""
        await self._complete({"prompt": "1", "max_tokens": 1})

    async def _answer(self, request: Request) -> list[Completion]:
        ids = prompt_ids(self._tokenizer, request)
        body = _body(request, ids, await self._room(len(ids)))
        runs = [self._sample(request, body, first, count) for first, count in consecutive(request.indices)]
        return [completion for batch in await asyncio.gather(*runs) for completion in batch]

    async def _room(self, length: int) -> int:
        """How many tokens may follow a prompt of this length."""
        context = await self.context()
        if length >= context:
            raise UsageError(
                f"the prompt has {length} tokens, which leaves no room for an answer in this student's maximum "
                f"context length of {context}: ask a shorter question"
            )
        return context - length

    async def _sample(self, request: Request, body: dict[str, Any], first: int, count: int) -> list[Completion]:
        """Samples `first` .. `first + count - 1`; of n samples vLLM gives each the seed of the one before plus 1."""
        response = await self._complete(body | {"n": count, "seed": request.seed + first})
        return [self._completion(request, first + place, choice) for place, choice in enumerate(response.choices)]

    def _completion(self, request: Request, index: int, choice: Any) -> Completion:
        sampling = request.sampling
        return Completion(
            request_id=request.id,
            index=index,
            text=choice.text,
            reasoning="",
            finish_reason=choice.finish_reason or "error",
            prompt_tokens=len(choice.prompt_token_ids),
            completion_tokens=len(choice.token_ids),
            seed=request.seed + index,
            engine=self._student.name,
            token_ids=tuple(choice.token_ids),
            logprobs=None if sampling.logprobs is None else tuple(_steps(choice)),
            prompt_logprobs=None
            if sampling.prompt_logprobs is None
            else tuple(entry and plain(entry) for entry in choice.prompt_logprobs or ()),
        )

    async def _complete(self, body: dict[str, Any]) -> Any:
        from ray.serve.llm.openai_api_models import CompletionRequest

        asked = CompletionRequest.model_validate(body | {"model": self._student.asked_as})
        return await self._send("completions", asked, *self._student.later)

    async def _send(self, method: str, *body: Any) -> Any:
        """The one response to a request that does not stream. UsageError where vLLM refuses the request."""
        from vllm.entrypoints.serve.engine.protocol import ErrorResponse

        (response,) = [part async for part in parts_of(getattr(self._handle, method), *body)]
        if isinstance(response, ErrorResponse):
            refused = response.error.code in (400, 422)
            raise (UsageError if refused else EngineError)(response.error.message)
        return response


def _body(request: Request, ids: Sequence[int], room: int) -> dict[str, Any]:
    """vLLM's request for samples of these ids, without how many, and from which seed."""
    sampling = request.sampling
    schema = sampling.json_schema
    return NEUTRAL | {
        "prompt": list(ids),
        "max_tokens": min(sampling.max_tokens, room),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stop": list(sampling.stop),
        "logprobs": sampling.logprobs,
        "prompt_logprobs": sampling.prompt_logprobs,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "structured_outputs": None if schema is None else {"json": dict(schema)},
    }


def _steps(choice: Any) -> list[dict[int, float]]:
    """Per token the log-probabilities by token id: those of the likeliest, and the chosen one's."""
    told = choice.logprobs
    return [
        {int(name.removeprefix("token_id:")): value for name, value in (likeliest or {}).items()} | {token: chosen}
        for token, chosen, likeliest in zip(choice.token_ids, told.token_logprobs, told.top_logprobs, strict=True)
    ]
