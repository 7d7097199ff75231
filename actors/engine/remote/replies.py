"""What an endpoint's answers hold: choices with their reasoning kept apart, and what the server says that they cost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CUT_OFF = frozenset({"length", "max_tokens", "max_output_tokens", "max_new_tokens", "model_length", "token_limit"})
"""What APIs call it when the token limit ended a completion, without case."""
OPENED = re.compile(r"\A\s*<think(?:ing)?>", re.IGNORECASE)
CLOSED = re.compile(r"</think(?:ing)?>\s*", re.IGNORECASE)
REASONING = ("reasoning_content", "reasoning", "thinking")
"""What servers call the part of a message that is not the answer."""
NAMED_BY_ID = "token_id:"  # how vLLM writes a token where it is asked for ids


class MalformedReply(Exception):
    """An answer that cannot be read. `paid` says whether the server has worked for it."""

    def __init__(self, reason: str, *, paid: bool = True) -> None:
        super().__init__(reason)
        self.paid = paid


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; `estimated` where they are not the server's own count."""

    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One sample of an answer. `withheld` is why the server keeps it to itself, if it does."""

    text: str
    reasoning: str
    finish_reason: str  # stop | length
    withheld: str = ""
    tokens: tuple[tuple[str, Mapping[str, float]], ...] | None = (
        None  # as named, with the likeliest's log-probabilities
    )


@dataclass(frozen=True, slots=True)
class Reply:
    choices: Sequence[Choice]
    usage: Usage | None


def read_reply(body: bytes) -> Reply:
    """The answer in the body of a response, of chat or completions. Raises MalformedReply."""
    try:
        told = json.loads(body)
    except ValueError:
        raise MalformedReply(f"no JSON: {body[:60].decode(errors='replace')!r}") from None
    return reply_of(told)


def reply_of(told: Any) -> Reply:
    """The answer in a response's JSON. Raises MalformedReply."""
    if isinstance(told, dict) and told.get("error") and not told.get("choices"):
        raise MalformedReply(f"an error in place of an answer: {_short(told['error'])}", paid=False)
    if not isinstance(told, dict) or not isinstance(told.get("choices"), list):
        raise MalformedReply(f"JSON without choices: {_short(told)}")
    try:
        choices = sorted(told["choices"], key=lambda choice: choice.get("index") or 0)
        return Reply([_choice(choice) for choice in choices], _usage(told.get("usage")))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedReply(f"choices of another form ({type(error).__name__}: {error}): {_short(told)}") from None


def split_reasoning(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a text that begins with a think tag, or ends one that the prompt had begun."""
    opened = OPENED.match(text)
    closed = CLOSED.search(text)
    if closed:
        return text[opened.end() if opened else 0 : closed.start()].strip(), text[closed.end() :]
    return (text[opened.end() :].strip(), "") if opened else ("", text)


def _choice(told: Mapping[str, Any]) -> Choice:
    reason = str(told.get("finish_reason") or "stop").lower()
    withheld = "the server withheld this answer (content_filter)" if reason == "content_filter" else ""
    message = told.get("message")
    if message is None:
        reasoning, text = "", str(told["text"])
    else:
        reasoning, text = _parts(message)
    if not reasoning:
        reasoning, text = split_reasoning(text)
    return Choice(text, reasoning, "length" if reason in CUT_OFF else "stop", withheld, _tokens(told.get("logprobs")))


def _parts(message: Mapping[str, Any]) -> tuple[str, str]:
    """(reasoning, answer) of a chat message; its content may come in parts of several types."""
    content = message.get("content") or message.get("refusal") or ""
    reasoning = next((str(message[name]) for name in REASONING if message.get(name)), "")
    if isinstance(content, str):
        return reasoning, content
    texts = [str(part["text"]) for part in content if part.get("type") == "text"]
    thoughts = [_short(part["thinking"], 10**6) for part in content if part.get("type") == "thinking"]
    return reasoning or "".join(thoughts), "".join(texts)


def _tokens(told: Any) -> tuple[tuple[str, Mapping[str, float]], ...] | None:
    """Each token with log-probabilities by name: the likeliest ones', and its own."""
    if not told:
        return None
    if "content" in told:
        return tuple(
            (step["token"], {one["token"]: one["logprob"] for one in [*(step.get("top_logprobs") or ()), step]})
            for step in told["content"] or ()
        )
    likeliest = told.get("top_logprobs") or [None] * len(told["tokens"])
    steps = zip(told["tokens"], told["token_logprobs"], likeliest, strict=True)
    return tuple((token, dict(others or {}) | {token: value}) for token, value, others in steps)


def _usage(told: Any) -> Usage | None:
    """The server's count; None where it has none, or counts nothing."""
    if not isinstance(told, dict):
        return None
    prompt, completion = told.get("prompt_tokens"), told.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int) or not prompt + completion:
        return None
    return Usage(prompt, completion)


def _short(told: Any, most: int = 200) -> str:
    text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
    return " ".join(text.split())[:most]
