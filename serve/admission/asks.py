"""How much a request may use at most, from what it says; and what a key's limits for one request make of it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from raydistill.pipelines.data.records import Question
from raydistill.serve.admission.keys import Key
from raydistill.serve.admission.windows import Amounts
from raydistill.serve.openai.requests import ChatRequest, CompletionRequest, EngineRequest
from raydistill.serve.problems import Refused
from raydistill.serve.schema import SolveRequest

Body = TypeVar("Body", bound=BaseModel)
WRITTEN = 16  # by /v1/completions where a request says nothing


def within(key: Key | None, body: Body) -> Body:
    """The request, with at most the key's `max_tokens` where it names none. Raises Refused where it asks for more."""
    if key is None:
        return body
    limits = key.limits
    if limits.n is not None and (getattr(body, "n", None) or 1) > limits.n:
        raise _above("n", limits.n)
    if limits.max_tokens is None:
        return body
    names = [name for name in ("max_completion_tokens", "max_tokens") if name in body.model_fields_set]
    asked = {name: value for name in names if (value := getattr(body, name)) is not None}
    for name, value in asked.items():
        if value > limits.max_tokens:
            raise _above(name, limits.max_tokens)
    unsaid = WRITTEN if isinstance(body, CompletionRequest) else getattr(body, "max_tokens", None) or limits.max_tokens
    return body if asked else body.model_copy(update={"max_tokens": min(unsaid, limits.max_tokens)})


def counts_tokens(key: Key | None) -> bool:
    return key is not None and key.limits.tokens is not None


def asked_of_engine(body: EngineRequest, size: int, context: int) -> Amounts:
    """Of a request of `size` bytes to OpenAI's routes: a prompt has no more tokens than bytes, or than a context."""
    prompts, most = 1, context
    if isinstance(body, ChatRequest):
        most = body.max_completion_tokens or body.max_tokens or context
    elif isinstance(body, CompletionRequest):
        most = WRITTEN if body.max_tokens is None else body.max_tokens
        prompts = 1 if isinstance(body.prompt, str) or isinstance(body.prompt[0], int) else len(body.prompt)
    written = prompts * (body.n or 1) * min(most, context)
    return Amounts(1, min(prompts * context, size) + written)


def asked_of_solver(recipe: Any, body: SolveRequest, context: int, wall_s: float) -> Amounts:
    """Of a question: each sample may be followed by as many as the recipe lets, each with a prompt of its own."""
    options = recipe.options(**{name: getattr(body, name) for name in recipe.options.model_fields})
    answerer = recipe.answerer(options)
    prompts = len(answerer.prompter.prompts(Question("", body.question, "")))
    firsts, later = prompts * body.n, prompts * body.n * answerer.limit
    executed = firsts + later
    if body.beam:
        firsts, later = body.beam.width * body.beam.candidates * body.beam.max_lines, 0
        executed = firsts if body.beam.execution else 1
    tokens = prompts * context + firsts * min(body.max_tokens, context) + later * context
    return Amounts(1, tokens, executed * wall_s)


def _above(name: str, limit: int) -> Refused:
    message = f"{name}: this key may ask for at most {limit:,}"
    return Refused(400, message, code="over_limit", param=name)
