"""What OpenAI's routes answer with, for the page at /docs; clients of OpenAI's read it as theirs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Exactly(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Usage(Exactly):
    prompt_tokens: int = Field(description="of each prompt once, however many answers it has")
    completion_tokens: int = Field(description="of all answers together")
    total_tokens: int
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None


class TokenLogprob(Exactly):
    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprobs(TokenLogprob):
    top_logprobs: list[TokenLogprob] = []


class ChatLogprobs(Exactly):
    content: list[TokenLogprobs] | None


class Reply(Exactly):
    role: Literal["assistant"]
    content: str | None
    reasoning: str | None = None
    refusal: None = None
    annotations: None = None
    audio: None = None
    function_call: None = None


class ChatChoice(Exactly):
    index: int
    message: Reply
    logprobs: ChatLogprobs | None
    finish_reason: str | None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None


class Answer(Exactly):
    id: str
    created: int
    model: str
    usage: Usage


class ChatCompletion(Answer):
    """A student's replies."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: list[dict[str, Any] | None] | None = None


class TextLogprobs(Exactly):
    text_offset: list[int]
    token_logprobs: list[float | None]
    tokens: list[str]
    top_logprobs: list[dict[str, float | None] | None]


class TextChoice(Exactly):
    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: str | None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: list[dict[str, Any] | None] | None = None


class Completion(Answer):
    """A student's texts."""

    object: Literal["text_completion"]
    choices: list[TextChoice]


UNTOLD = {
    "service_tier": True,
    "system_fingerprint": True,
    "kv_transfer_params": True,
    "ec_transfer_params": True,
    "metrics": True,
    "prompt_text": True,
    "choices": {"__all__": {"routed_experts"}},
}
"""What engines say beside it, of themselves."""


class ModelCard(Exactly):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "raydistill"


class ModelList(Exactly):
    object: Literal["list"] = "list"
    data: list[ModelCard]
