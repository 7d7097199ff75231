"""Log-probabilities of given token ids, in one prefill: the score that one model gives to what another has written.

vLLM makes the logits of a whole prompt at once for it, beside the memory that it has planned with; so only as many
tokens are in work at a time as have `LOGITS_BYTES` of logits. It skips the prefix cache for such requests: of cached
tokens there would be none.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.requests import Scored, ScoreRequest
from raydistill.actors.errors import UsageError

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest

LOGITS_BYTES = 2**30
MOST_TOP_K = 64
"""Tokens whose log-probabilities are told at each place, at most."""


class Room:
    """Lets callers in, in turn, as long as what they bring fits together; one that is too large goes alone."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    @asynccontextmanager
    async def take(self, share: int) -> AsyncIterator[None]:
        share = min(share, self._size)
        async with self._turn:
            while self._free < share:
                self._left.clear()
                await self._left.wait()
            self._free -= share
        try:
            yield
        finally:
            self._free += share
            self._left.set()


def adapts_output(adapter: str) -> bool:
    """Whether a LoRA adapter has weights for the output layer."""
    from safetensors import safe_open

    file = Path(adapter, "adapter_model.safetensors")
    if not file.is_file():
        return False
    with safe_open(file, "numpy") as weights:
        return any("lm_head" in name for name in weights.keys())  # noqa: SIM118


class Scorer:
    """Scores with the weights that an engine (vLLM's `AsyncLLM`) has at the time."""

    def __init__(self, engine: Any, name: str) -> None:
        model = engine.vllm_config.model_config
        self._engine, self._name, self._context = engine, name, model.max_model_len
        self._room = Room(max(1, LOGITS_BYTES // (4 * model.get_vocab_size())))

    async def score(self, request: ScoreRequest, lora: LoRARequest | None) -> Scored:
        """Raises UsageError for ids that the engine cannot score, and what vLLM raises."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        ids = [*request.prompt, *request.completion]
        self._check(request, len(ids))
        parameters = SamplingParams(
            max_tokens=1,  # vLLM takes no less
            prompt_logprobs=request.top_k,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        name = f"{request.id}-{uuid.uuid4().hex[:8]}"
        async with self._room.take(len(ids)):
            told = self._engine.generate({"prompt_token_ids": ids}, parameters, request_id=name, lora_request=lora)
            [result] = [output async for output in told]
        return self._scored(request, result.prompt_logprobs)

    def _check(self, request: ScoreRequest, tokens: int) -> None:
        if not request.prompt or not request.completion:
            raise UsageError("a score needs at least one token of a prompt and one of a completion")
        if tokens >= self._context:
            raise UsageError(
                f"{tokens} tokens to score, but the context has {self._context}; expected one more than the text: "
                f"set max_model_len to at least {tokens + 1}"
            )
        if request.adapter and adapts_output(request.adapter):
            raise UsageError(f"adapter {request.adapter} changes the output layer, and scores would be without that")
        if request.top_k > MOST_TOP_K:
            raise UsageError(f"top_k {request.top_k}: expected at most {MOST_TOP_K}")

    def _scored(self, request: ScoreRequest, told: Any) -> Scored:
        """Of vLLM's `FlatLogprobs`: at each place the token itself, then the most likely ones."""
        starts = told.start_indices[len(request.prompt) :]
        tops = [slice(start + 1, start + 1 + request.top_k) for start in starts] if request.top_k else []
        return Scored(
            request.id,
            self._name,
            tuple(told.logprobs[start] for start in starts),
            tuple(tuple(told.token_ids[top]) for top in tops),
            tuple(tuple(told.logprobs[top]) for top in tops),
        )
