"""Prompts as token ids: the one rendering that engines, the service and training have.

chat messages --chat template--> text + prefix --tokenizer--> ids + prefix_ids
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.actors.engine.requests import Request


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
    """Chat messages through the tokenizer's template or, without one, their contents joined by newlines.

    Without a template the tokenizer's BOS goes in front where the tokenizer itself would put it. Students are trained
    on the same text (`pipelines.training.tokens`).
    """
    if tokenizer.chat_template:
        turns = [dict(message) for message in messages]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    first = tokenizer.encode("?")[0]
    bos = tokenizer.bos_token if first == tokenizer.bos_token_id else ""
    return bos + "\n".join(message["content"] for message in messages)
