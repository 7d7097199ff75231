"""What the student is asked for a question, and what that costs: requests to a completer, as a run makes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.actors.errors import EngineError
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.sampling.prompter import Prompt
from raydistill.serve.schema import SolveRequest

Generate = Callable[[Sequence[Request]], Awaitable[list[Completion]]]
"""Requests, and the completions of all of them in their order."""


def completing(model: Completer) -> Generate:
    """Asks `model`. The function raises EngineError where a completion could not be had."""

    async def generate(requests: Sequence[Request]) -> list[Completion]:
        completions: list[Completion] = await model.call("generate", list(requests))
        for completion in completions:
            if completion.error:
                raise EngineError(completion.error)
        return completions

    return generate


def to_request(identity: str, prompt: Prompt, asked: SolveRequest, indices: Sequence[int]) -> Request:
    """The samples `indices` of a prompt, drawn as `asked` says; sample i has the seed ``asked.seed + i``."""
    return Request(
        id=identity,
        prompt=prompt.messages,
        sampling=Sampling(temperature=asked.effective_temperature, max_tokens=asked.max_tokens),
        indices=tuple(indices),
        seed=asked.seed,
        prefix=prompt.prefix,
        key=asked.question,
    )


def count_tokens(completions: Sequence[Completion]) -> tuple[int, int]:
    """Tokens of the prompts, each request's once, and of all completions."""
    prompts = {completion.request_id: completion.prompt_tokens for completion in completions}
    return sum(prompts.values()), sum(completion.completion_tokens for completion in completions)
