"""Prompts as token ids: the one rendering that engines, the service and training have.

chat messages --chat template--> text + prefix --tokenizer--> ids + prefix_ids
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.actors.engine.requests import Request
from raydistill.actors.engine.templates import render


def prompt_ids(tokenizer: Any, request: Request) -> list[int]:
    """The tokens that a model completes for `request`: its prompt, then its prefix, then its prefix's ids.

    Chat messages have their special tokens from the template; a prompt that is plain text gets those that the
    tokenizer puts around any text.
    """
    templated = not isinstance(request.prompt, str)
    text = request.prompt if isinstance(request.prompt, str) else chat_text(tokenizer, request.prompt)
    ids = tokenizer.encode(f"{text}{request.prefix}", add_special_tokens=not templated)
    return [*ids, *request.prefix_ids]


def chat_text(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> str:
    """Chat messages through the tokenizer's template; a model without one has the plain one of `templates`.

    Students are trained on the same text (`pipelines.training.tokens`).
    """
    return render(tokenizer, messages, add_generation_prompt=True)
