"""Chat templates: the plain one of models that have none, and what a model's own can say.

    tokenizer --with_template--> the same, with a chat template --chat_text--> text
    template, roles --check_template--> UsageError in one line, before anything is trained

A base model comes without a template, others with one of its own habits: contents as lists of parts, no system turn,
no reply of the assistant at the end. The plain template is stored with the student, so that training, evaluation and
service render the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.actors.errors import UsageError

PLAIN_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ 'Assistant:\\n' + message['content'] + (eos_token or '') + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'User:\\n' + message['content'] + '\\n\\n' }}"
    "{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\\n' }}{% endif %}"
)
"""Of a model without a template of its own: ``User:``, ``Assistant:`` and the end-of-sequence token behind a reply."""

SENTINEL = "SENTINEL-7f3a9c2b"
Messages = Sequence[Mapping[str, Any]]


def with_template(tokenizer: Any) -> Any:
    """The tokenizer, with the plain template where it has none; BOS is in front where the tokenizer puts it itself."""
    if not tokenizer.chat_template:
        adds_bos = tokenizer.bos_token_id is not None and tokenizer.encode("?")[:1] == [tokenizer.bos_token_id]
        tokenizer.chat_template = ("{{ bos_token }}" if adds_bos else "") + PLAIN_TEMPLATE
    return tokenizer


def render(tokenizer: Any, messages: Messages, *, add_generation_prompt: bool) -> str:
    """`messages`, whose contents are text, through the tokenizer's template.

    A template that takes contents as lists of parts is given such. Raises UsageError where it refuses the turns.
    """
    from jinja2 import TemplateError

    turns = [dict(message) for message in with_template(tokenizer) and messages]
    if _wants_parts(tokenizer):
        turns = [turn | {"content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt))
    except (TemplateError, TypeError, KeyError, ValueError) as error:
        roles = ", ".join(str(turn.get("role")) for turn in turns)
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{_name(tokenizer)}: its chat template refuses the turns {roles}: {reason}") from None


def check_template(tokenizer: Any, roles: Sequence[str]) -> None:
    """Raise UsageError unless the template says back what each turn of these roles holds, and the reply to them."""
    turns = [{"role": role, "content": f"{SENTINEL}-{place}"} for place, role in enumerate(roles)]
    text = render(tokenizer, turns, add_generation_prompt=True)
    for turn in turns:
        if turn["content"] not in text:
            raise UsageError(
                f"{_name(tokenizer)}: its chat template leaves out what the {turn['role']} says; expected a template "
                "that shows all turns (set the tokenizer's chat_template)"
            )


def reply_tail(tokenizer: Any) -> str:
    """What the template puts behind an assistant's reply. Raises UsageError where it doesn't say the reply back."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": SENTINEL}]
    before, said, tail = render(tokenizer, turns, add_generation_prompt=False).rpartition(SENTINEL)
    if not said:
        raise UsageError(
            f"{_name(tokenizer)}: its chat template leaves out what the assistant says; expected a template that shows "
            "the last reply (set the tokenizer's chat_template)"
        )
    return tail


def _wants_parts(tokenizer: Any) -> bool:
    """Whether the template shows a list of parts and not a text; asked once of each template."""
    asked = getattr(tokenizer, "_raydistill_parts", None)
    if asked is None or asked[0] != tokenizer.chat_template:
        asked = (tokenizer.chat_template, not _shows(tokenizer, SENTINEL) and _shows(tokenizer, _parts(SENTINEL)))
        tokenizer._raydistill_parts = asked
    return bool(asked[1])


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _shows(tokenizer: Any, content: Any) -> bool:
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
    except Exception:  # a template is a program of whoever made the model
        return False
    return SENTINEL in str(text) and "'type'" not in str(text)


def _name(tokenizer: Any) -> str:
    return str(getattr(tokenizer, "name_or_path", "") or "tokenizer")
