"""What engines are asked and what they answer: plain data, which actors and their callers exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn. Temperature 0 is greedy; `json_schema` holds the output to a schema."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 512
    stop: tuple[str, ...] = ()
    logprobs: int | None = None  # log-probabilities of the chosen token and this many alternatives
    prompt_logprobs: int | None = None
    json_schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt, and which samples of it are wanted; ``Request("q1", "2+2=", indices=(0, 1))``.

    `prompt` is plain text or chat messages (rendered with the model's own template). `prefix` starts the
    answer, which the model continues; it is not repeated in the completion. `prefix_ids` does the same token by
    token, for what a model has written before: text encoded again may be cut into other tokens.
    """

    id: str
    prompt: str | Sequence[Mapping[str, str]]
    sampling: Sampling = Sampling()
    indices: tuple[int, ...] = (0,)
    seed: int = 0
    prefix: str = ""
    prefix_ids: tuple[int, ...] = ()
    adapter: str | None = None  # path of a LoRA adapter
    key: str = ""  # what recorded answers are looked up by: the plain question
    purpose: str = ""  # what the tokens are booked on in the ledger


@dataclass(frozen=True, slots=True)
class Completion:
    """One sample of a request. `reasoning` is what a thinking model wrote before its answer, `text` the answer."""

    request_id: str
    index: int
    text: str
    reasoning: str
    finish_reason: str  # stop | length | error
    prompt_tokens: int
    completion_tokens: int
    seed: int
    engine: str
    error: str = ""
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[Mapping[int, float], ...] | None = None  # per token: token id -> natural log-probability
    prompt_logprobs: tuple[Mapping[int, float] | None, ...] | None = None
    prompt_ids: tuple[int, ...] = ()  # what the model was given, where log-probabilities were asked for

    @property
    def sample_id(self) -> str:
        return f"{self.request_id}/{self.index}"

    @property
    def token_logprobs(self) -> tuple[float, ...] | None:
        """The log-probability of each token in `token_ids`, where they were asked for."""
        if self.logprobs is None:
            return None
        return tuple(entry[token] for token, entry in zip(self.token_ids, self.logprobs, strict=True))


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Token ids whose log-probabilities are wanted; ``ScoreRequest("r1", (1, 17), (9, 2))`` scores 9 and 2.

    Ids go in as they are: nothing is rendered or encoded. `top_k` asks for the most likely tokens at each place, too.
    """

    id: str
    prompt: tuple[int, ...]  # at least one token
    completion: tuple[int, ...]
    top_k: int = 0
    adapter: str | None = None  # path of a LoRA adapter


@dataclass(frozen=True, slots=True)
class Scored:
    """The log-probabilities in nats of a request's completion, at temperature 1; or why there are none."""

    request_id: str
    engine: str
    logprobs: tuple[float, ...] = ()  # [tokens]
    top_ids: tuple[tuple[int, ...], ...] = ()  # [tokens, top_k], the most likely first
    top_logprobs: tuple[tuple[float, ...], ...] = ()  # [tokens, top_k]
    error: str = ""
