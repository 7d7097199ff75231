"""What an endpoint is reached with, and the client that reaches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_S = 10.0
NO_KEY = "none"  # the client insists on a key, servers without keys do not look at it


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where a model is, and how it is asked; `sampling` holds settings that OpenAI's own API does not have."""

    model: str
    base_url: str
    api_key: str = field(default=NO_KEY, repr=False)
    api: str = "chat"  # or completions: prompts are sent as token ids of `tokenizer`
    headers: Mapping[str, str] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, float] = field(default_factory=dict)
    most_choices: int = 64  # of one request
    most_requests: int = 256  # under way at a time
    timeout_s: float = 600.0  # of one answer
    attempts: int = 6  # at a request that fails otherwise than by being too many
    patience_s: float = 900.0  # with a server that says it is busy, for one request
    tokenizer: str | None = None
    ledger: str | None = None  # folder for what was spent; local path or URI


def make_client(settings: EndpointSettings) -> AsyncOpenAI:
    """The client of an endpoint. It tries nothing twice: what was sent is counted by who sends it."""
    from openai import AsyncOpenAI, Timeout

    return AsyncOpenAI(
        base_url=settings.base_url,
        api_key=settings.api_key,
        max_retries=0,
        timeout=Timeout(settings.timeout_s, connect=min(CONNECT_S, settings.timeout_s)),
        default_headers=dict(settings.headers),
    )
