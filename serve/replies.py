"""What the student says when it is asked: completions and their cost, and the function that asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from raydistill.serve.schema import SolveRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """One completion of the student; ``Reply("def solution(): ...", "stop")``."""

    text: str
    finish_reason: str


@dataclass(frozen=True, slots=True)
class Replies:
    """All completions of one prompt, with what they cost."""

    replies: Sequence[Reply]
    prompt_tokens: int
    completion_tokens: int


Ask = Callable[[Sequence[dict[str, Any]], SolveRequest], Awaitable[Replies]]
"""Chat messages and how they are sampled; a trailing assistant message is continued (prefill)."""
