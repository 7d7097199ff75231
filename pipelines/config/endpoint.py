"""The section of a teacher behind a URL: where it is, with which key, and what its server wants."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from raydistill.pipelines.config.base import Strict


class Endpoint(Strict):
    """A server that answers like OpenAI's. The key is read from the environment and stored nowhere."""

    base_url: str = Field(description="up to where /chat/completions follows: https://api.openai.com/v1")
    api_key_env: str | None = Field(
        "OPENAI_API_KEY", description="environment variable that holds the key; null for a server without keys"
    )
    api: Literal["chat", "completions"] = Field(
        "chat", description="completions sends prompts as token ids, made with `tokenizer`"
    )
    tokenizer: str | None = Field(
        None, description="directory or hub id of the model's own: counts what the server does not"
    )
    name: str = Field("", description="tells apart servers that have different models under one name")
    top_k: int | None = Field(-1, description="-1 takes all tokens; null sends none, as for the two below")
    min_p: float | None = Field(0.0, ge=0, le=1, description="least share of the likeliest token's; 0 takes all")
    repetition_penalty: float | None = Field(1.0, gt=0, description="1 is none")
    extra_body: dict[str, Any] = Field(default_factory=dict, description="added to each request as it stands")
    headers: dict[str, str] = Field(default_factory=dict, description="added to each request; keys belong elsewhere")
    most_choices: int = Field(64, ge=1, description="samples asked for in one request; 1: each by itself")
    timeout_s: float = Field(600, gt=0, description="of one answer, which is then lost and asked for again")
    attempts: int = Field(6, ge=1, description="at a request that is cut off, hangs, or meets a broken server")
    patience_s: float = Field(900, ge=0, description="with a server that has too much to do, for one request")

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError("expected a URL such as https://api.openai.com/v1 or http://127.0.0.1:8000/v1")
        return url.rstrip("/").removesuffix("/chat/completions")


SAMPLED_BY = ("top_k", "min_p", "repetition_penalty")
"""What OpenAI's own API does not have, and other servers fill in from the model's files where it is not sent."""
CHANGES_TEXTS = {"api", "name", "extra_body", *SAMPLED_BY}
"""What completions depend on. Where the server is is not among it: it moves, and the samples stay."""
