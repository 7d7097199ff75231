"""vLLM's streamed outputs as plain values: prompt log-probabilities, and the pieces of each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EnginePrompt:
    """What vLLM says of the prompt."""

    ids: tuple[int, ...]
    logprobs: Sequence[Any] | None


@dataclass(slots=True)
class Output:
    """What has arrived of one sample so far."""

    texts: list[str] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    finish_reason: str | None = None

    def add(self, piece: Any) -> None:
        """Append one of vLLM's `CompletionOutput`s, which holds what is new."""
        self.texts.append(piece.text)
        self.token_ids.extend(piece.token_ids)
        self.logprobs.extend(piece.logprobs or ())
        self.finish_reason = piece.finish_reason or self.finish_reason


def plain(entry: Mapping[int, Any]) -> dict[int, float]:
    """The log-probabilities of one position by token id."""
    return {token: logprob.logprob for token, logprob in entry.items()}
