"""Prompts as token ids: the one rendering that engines, the service and training have.

chat messages --chat template--> text + prefix --tokenizer--> ids + prefix_ids
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.actors.engine.requests import Request
from raydistill.actors.errors import UsageError

PLAIN_TURNS = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
)
SENTINEL = "raydistill-sentinel"
ANOTHER = "expected one that takes such turns with contents as text: give the model another chat_template"


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
    """Chat messages through the tokenizer's template, or through the plain one where it has none.

    Students are trained on the same text (`pipelines.training.tokens`). Raises UsageError where the template refuses
    these turns, or leaves out what one of them says.
    """
    roles = ", ".join(message["role"] for message in messages)
    said = f"the chat template of {tokenizer.name_or_path} "
    try:
        text = str(render(tokenizer, messages, add_generation_prompt=True))
    except Exception as error:  # a template is a program: what it raises, and what Jinja raises about it
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{said}refuses the turns {roles}: {reason}; {ANOTHER}") from None
    for message in messages:
        if message["role"] != "assistant" and message["content"].strip() not in text:
            raise UsageError(f"{said}leaves out what the turn of the {message['role']} says ({roles}); {ANOTHER}")
    return text


def render(tokenizer: Any, messages: Sequence[Mapping[str, str]], *, add_generation_prompt: bool) -> Any:
    """What the tokenizer's template makes of the messages, or the plain one; raises whatever that raises."""
    return tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        chat_template=None if tokenizer.chat_template else plain_template(tokenizer),
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
    )


def plain_template(tokenizer: Any) -> str:
    """The template of a model that has none: contents joined by newlines, EOS behind what the assistant says.

    The tokenizer's BOS goes in front where the tokenizer itself would put it. Students keep it as their own.
    """
    first = tokenizer.encode("?")[:1]
    return ("{{ bos_token }}" if first == [tokenizer.bos_token_id] else "") + PLAIN_TURNS


def stop_token_id(tokenizer: Any) -> int:
    """The token that ends an assistant turn: the first special one that the chat template puts there, else EOS.

    Raises UsageError where the template does not say such a turn back, and where there is no such token.
    """
    stop = template_stop(tokenizer)
    if stop is None and tokenizer.eos_token_id is None:
        raise UsageError(f"tokenizer {tokenizer.name_or_path}: no end-of-turn token in its template and no EOS")
    return tokenizer.eos_token_id if stop is None else stop


def template_stop(tokenizer: Any) -> int | None:
    """The first special token that the chat template puts behind what an assistant says; None where it puts none.

    Raises UsageError where the template does not say such a turn back.
    """
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]
    tail, refused = "", ""
    try:
        _, said, tail = str(render(tokenizer, turns, add_generation_prompt=False)).rpartition(SENTINEL)
        refused = "" if said else "leaves it out"
    except Exception as error:  # a template is a program: what it raises, and what Jinja raises about it
        refused = f"refuses it: {' '.join(str(error).split()) or type(error).__name__}"
    if refused:
        raise UsageError(
            f"the chat template of {tokenizer.name_or_path} does not say a last turn of the assistant back, but "
            f"{refused}; {ANOTHER}"
        )
    return next((token for token in tokenizer(tail, add_special_tokens=False).input_ids if token in special), None)
