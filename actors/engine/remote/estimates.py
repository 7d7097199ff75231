"""Tokens that a server has worked for and not told: of answers that broke off, hung, made no sense, had no count.

Texts are counted by the model's tokenizer where that is at hand; else by their characters, as many to a token as in
what the server has counted so far (4 before). An answer that never came is as long as those that came are on average.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from raydistill.actors.engine.remote.replies import Choice, Usage
from raydistill.actors.engine.rendering import prompt_ids
from raydistill.actors.engine.requests import Request

CHARACTERS_PER_TOKEN = 4.0
FIRST_SHARE = 0.25  # of max_tokens, for an answer before any has come


class Estimates:
    """What is known of an endpoint's tokens from what it has counted."""

    def __init__(self, tokenizer: Any = None) -> None:
        self._tokenizer = tokenizer
        self._prompts, self._answers = _Rate(), _Rate()
        self._choices = 0

    def learn(self, request: Request, texts: Sequence[str], usage: Usage) -> None:
        """Take account of an answer that the server has counted itself."""
        self._prompts.add(prompt_characters(request), usage.prompt_tokens)
        self._answers.add(sum(map(len, texts)), usage.completion_tokens)
        self._choices += len(texts)

    def lost(self, request: Request, count: int) -> Usage:
        """The price of `count` choices that did not come."""
        each = self._answers.tokens / self._choices if self._choices else request.sampling.max_tokens * FIRST_SHARE
        return Usage(self._prompt(request), round(each * count), estimated=True)

    def counted(self, request: Request, texts: Sequence[str]) -> Usage:
        """The price of an answer with these texts, which came without a count."""
        return Usage(self._prompt(request), sum(map(self.text, texts)), estimated=True)

    def text(self, text: str) -> int:
        if self._tokenizer is not None:
            return len(self._tokenizer.encode(text, add_special_tokens=False)) + 1  # and the end of the turn
        return self._answers.tokens_of(len(text))

    def _prompt(self, request: Request) -> int:
        if self._tokenizer is not None:
            return len(prompt_ids(self._tokenizer, request))
        return self._prompts.tokens_of(prompt_characters(request))


class _Rate:
    """Characters and the tokens that they were."""

    def __init__(self) -> None:
        self.characters = self.tokens = 0

    def add(self, characters: int, tokens: int) -> None:
        self.characters += characters
        self.tokens += tokens

    def tokens_of(self, characters: int) -> int:
        known = self.characters and self.tokens
        return round(characters * self.tokens / self.characters if known else characters / CHARACTERS_PER_TOKEN)


def prompt_characters(request: Request) -> int:
    if isinstance(request.prompt, str):
        return len(request.prompt) + len(request.prefix)
    return sum(len(str(message["content"])) for message in request.prompt) + len(request.prefix)


def divide(usage: Usage, choices: Sequence[Choice], length: Callable[[str], int]) -> list[tuple[int, int]]:
    """Prompt and written tokens of each of the choices that `usage` is of, by their lengths."""
    if all(choice.tokens is not None for choice in choices):
        lengths = [len(choice.tokens or ()) for choice in choices]
    else:
        lengths = [length(choice.reasoning + choice.text) for choice in choices]
    prompts = shares(usage.prompt_tokens, [1] * len(choices))
    return list(zip(prompts, shares(usage.completion_tokens, lengths), strict=True))


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts as these weights stand to each other; their sum is `total`: 10 by 1 and 2 is 3 and 7."""
    whole = sum(weights) or len(weights)
    ends, sum_ = [0], 0
    for weight in weights:
        sum_ += weight if sum(weights) else 1
        ends.append(round(total * sum_ / whole))
    return [end - start for start, end in zip(ends, ends[1:], strict=False)]
