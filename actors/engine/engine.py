"""Inference engines: a batch of requests in, completions out, each with its ids.

`Engine` hosts vLLM's asynchronous engine in whatever process it is made in; the pool spawns it as a Ray actor.
It knows nothing of recipes. One bad request fails alone (its completions carry `error`); an engine that has
died ends its process at once, so that the pool sees a dead actor and replaces it instead of a living one that
answers nothing. Sample i of a request has the seed `seed + i` (vLLM's own rule), whichever other samples of it
are asked for, so a resumed run draws the samples that are missing and no others.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from raydistill.actors.engine.in_process import EXECUTOR
from raydistill.actors.engine.ledger import Ledger, LedgerEntry
from raydistill.actors.engine.outputs import EnginePrompt, Output, plain
from raydistill.actors.engine.rendering import prompt_ids, stop_token_id
from raydistill.actors.engine.requests import Completion, Request, Sampling, Scored, ScoreRequest
from raydistill.actors.engine.scoring import MOST_TOP_K, Scorer
from raydistill.actors.errors import EngineError, UsageError

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.lora.request import LoRARequest

DEAD_ENGINE_EXIT_CODE = 70  # EX_SOFTWARE
# What vLLM 0.29 needs to be told where there is no GPU. A prefill in chunks rewinds the generators of seeded
# requests, which torch's CPU generator cannot; compilation costs minutes and gains nothing there.
CPU_ARGUMENTS = {"enable_chunked_prefill": False, "enforce_eager": True}
# And where one process computes. In the executor that "uni" stands for on a CPU, the engine's core has a worker
# process, and waits for each of its steps in a loop that takes a whole core. Threads are set by the environment here.
LONE_CPU_ARGUMENTS = {"distributed_executor_backend": EXECUTOR}

# Where vLLM reads the size of the cache without a GPU: in whole gigabytes, and before its argument for it.
CACHE_VARIABLE = "VLLM_CPU_KVCACHE_SPACE"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine is started with; `options` are further arguments of vLLM's `AsyncEngineArgs`."""

    model: str
    revision: str | None = None
    dtype: str = "auto"
    max_model_len: int | None = None
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float = 0.9
    max_num_seqs: int = 256
    reasoning_parser: str | None = None
    max_lora_rank: int = 0  # 0: no adapters
    kv_cache_gb: float | None = None  # of the key-value cache without a GPU; None: as CACHE_VARIABLE says
    ledger: str | None = None  # folder for what was spent; local path or URI
    options: Mapping[str, Any] = field(default_factory=dict)


def adapter_room(rank: int) -> int:
    """The least of the ranks that vLLM makes room for which holds adapters of this rank.

    Raises UsageError where it has none.
    """
    from vllm.config.lora import MaxLoRARanks

    rooms = get_args(MaxLoRARanks)
    if rank > max(rooms):
        raise UsageError(
            f"an adapter of rank {rank}: expected a rank of at most {max(rooms)}, the most that vLLM takes"
        )
    return min(room for room in rooms if room >= rank)


def end_of_turn(tokenizer: Any) -> list[int]:
    """The token that ends an assistant's turn in the template, where it is not EOS; vLLM knows that one.

    It knows those of the model's files, too, but not of adapters, nor of weights that an engine takes later.
    """
    try:
        stop = stop_token_id(tokenizer)
    except UsageError:  # a template without such turns; a base that is asked with plain text has none
        return []
    return [stop] if stop != tokenizer.eos_token_id else []


def consecutive(indices: Sequence[int], most: int = sys.maxsize) -> Iterator[tuple[int, int]]:
    """(first, count) of each run of at most `most` consecutive sample indices: (0, 1, 3) gives (0, 2), (3, 1)."""
    ordered = sorted(set(indices))
    start = 0
    for position in range(1, len(ordered) + 1):
        ends = position == len(ordered) or ordered[position] != ordered[position - 1] + 1
        if ends or position - start == most:
            yield ordered[start], position - start
            start = position


class Engine:
    """vLLM behind one coroutine. Make it, `await start()`, then `await generate(requests)`."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.name = f"engine-{uuid.uuid4().hex[:8]}"
        self.weights = settings.model
        self._engine: Any = None
        self._adapters: dict[str, int] = {}
        self._ledger = Ledger(settings.ledger) if settings.ledger else None
        self._lifecycle = asyncio.Lock()

    async def start(self) -> None:
        """Load the model. Raises EngineError with vLLM's own reason if it cannot be loaded."""
        from vllm import AsyncEngineArgs
        from vllm.config import StructuredOutputsConfig
        from vllm.v1.engine.async_llm import AsyncLLM

        settings = self.settings
        arguments: dict[str, Any] = {
            "model": settings.model,
            "revision": settings.revision,
            "dtype": settings.dtype,
            "max_model_len": settings.max_model_len,
            "tensor_parallel_size": settings.tensor_parallel_size,
            "gpu_memory_utilization": settings.gpu_memory_utilization,
            "max_num_seqs": settings.max_num_seqs,
            "enable_prefix_caching": True,
            "max_logprobs": MOST_TOP_K,
            "stream_interval": 8,  # tokens between two notes in the ledger
            "enable_log_requests": False,
            "disable_log_stats": True,
            "worker_extension_cls": "raydistill.actors.engine.worker.WorkerExtension",
            # vLLM 0.29 reads this of the engine, not of a request; a weak model would fill its answer with blanks
            "structured_outputs_config": StructuredOutputsConfig(backend="xgrammar", disable_any_whitespace=True),
        }
        if settings.max_lora_rank:
            arguments |= {"enable_lora": True, "max_lora_rank": adapter_room(settings.max_lora_rank)}
        arguments |= {**_platform_arguments(settings), **settings.options}
        try:
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except Exception as error:
            raise EngineError(f"{settings.model}: vLLM cannot load this model: {_reason(error)}") from error
        self._tokenizer, self._scorer = self._engine.get_tokenizer(), Scorer(self._engine, self.name)
        self._stops = end_of_turn(self._tokenizer)
        self._reasoning_parser = self._make_reasoning_parser()
        if settings.max_lora_rank:
            await self._engine.collective_rpc("score_beside_adapters")

    def _make_reasoning_parser(self) -> Any:
        if self.settings.reasoning_parser is None:
            return None
        from vllm.reasoning import ReasoningParserManager

        return ReasoningParserManager.get_reasoning_parser(self.settings.reasoning_parser)(self._tokenizer)

    async def reconfigure(self, config: Mapping[str, Any]) -> None:
        """Start with, or change in place to, the weights of ``config["weights"]`` (same architecture).

        Ray Serve calls this on every replica, new ones included, when the pool's configuration changes.
        """
        async with self._lifecycle:
            if self._engine is None:
                await self.start()
            weights = config.get("weights") or self.settings.model
            if weights != self.weights:
                await self._engine.collective_rpc("change_weights", kwargs={"weights_path": weights})
                await self._engine.reset_prefix_cache()
                self.weights = weights

    async def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """All wanted samples of all requests, in the order of the requests, then by index."""
        return [completion for batch in await asyncio.gather(*map(self._answer, requests)) for completion in batch]

    async def score(self, requests: Sequence[ScoreRequest]) -> list[Scored]:
        """The log-probabilities of the requests' completions, in the order of the requests."""
        return await asyncio.gather(*map(self._score, requests))

    async def _score(self, request: ScoreRequest) -> Scored:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return await self._scorer.score(request, self._lora(request.adapter))
        except EngineDeadError:
            os._exit(DEAD_ENGINE_EXIT_CODE)
        except Exception as error:  # as in _answer
            return Scored(request.id, self.name, error=_reason(error))

    async def _answer(self, request: Request) -> list[Completion]:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            runs = [self._sample(request, first, count) for first, count in consecutive(request.indices)]
            batches = await asyncio.gather(*runs)
        except EngineDeadError:
            os._exit(DEAD_ENGINE_EXIT_CODE)
        except Exception as error:  # whatever vLLM refuses about this request concerns this request alone
            return [self._failure(request, index, _reason(error)) for index in sorted(set(request.indices))]
        return sorted((c for batch in batches for c in batch), key=lambda completion: completion.index)

    async def _sample(self, request: Request, first: int, count: int) -> list[Completion]:
        """Samples `first` .. `first + count - 1` of a request; the prompt is computed once for all of them."""
        outputs: dict[int, Output] = {}
        attempts = [self._note_start(request, first + i) for i in range(count)]
        result, prompt_logprobs = None, None
        try:
            ids = prompt_ids(self._tokenizer, request)
            if attempts[0]:
                attempts[0].prompt_tokens = len(ids)  # it is computed once for all of them
            async for result in self._engine.generate(
                {"prompt_token_ids": ids},
                self._sampling_params(request, first, count),
                request_id=f"{request.id}/{first}-{uuid.uuid4().hex[:8]}",
                lora_request=self._lora(request.adapter),
            ):
                prompt_logprobs = prompt_logprobs or result.prompt_logprobs  # comes once
                for piece in result.outputs:
                    output = outputs.setdefault(piece.index, Output())
                    output.add(piece)
                    if attempt := attempts[piece.index]:
                        attempt.tokens = len(output.token_ids)
        finally:
            for attempt in attempts:
                if attempt:
                    attempt.finish()
        assert result is not None
        prompt = EnginePrompt(tuple(result.prompt_token_ids), prompt_logprobs)
        return [self._completion(request, first + i, outputs[i], prompt) for i in range(count)]

    def _sampling_params(self, request: Request, first: int, count: int) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        sampling = request.sampling
        if sampling.temperature == 0 and count > 1:
            raise UsageError("n > 1 needs a temperature above 0: greedy samples are all the same")
        schema = sampling.json_schema
        return SamplingParams(
            n=count,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop=list(sampling.stop),
            stop_token_ids=None if isinstance(request.prompt, str) else self._stops,
            seed=request.seed + first,
            logprobs=sampling.logprobs,
            prompt_logprobs=sampling.prompt_logprobs,
            output_kind=RequestOutputKind.DELTA,
            structured_outputs=None if schema is None else StructuredOutputsParams(json=dict(schema)),
        )

    def _lora(self, path: str | None) -> LoRARequest | None:
        from vllm.lora.request import LoRARequest

        if path is None:
            return None
        if not self.settings.max_lora_rank:
            raise UsageError(f"adapter {path}: the engine was started without max_lora_rank")
        return LoRARequest(path, self._adapters.setdefault(path, len(self._adapters) + 1), path)

    def _completion(self, request: Request, index: int, output: Output, prompt: EnginePrompt) -> Completion:
        reasoning, text = self._split_reasoning("".join(output.texts))
        return Completion(
            request_id=request.id,
            index=index,
            text=text,
            reasoning=reasoning,
            finish_reason=output.finish_reason or "error",
            prompt_tokens=len(prompt.ids),
            completion_tokens=len(output.token_ids),
            seed=request.seed + index,
            engine=self.name,
            token_ids=tuple(output.token_ids),
            logprobs=None if request.sampling.logprobs is None else tuple(map(plain, output.logprobs)),
            prompt_logprobs=None
            if request.sampling.prompt_logprobs is None
            else tuple(entry and plain(entry) for entry in prompt.logprobs or ()),
            prompt_ids=() if request.sampling.logprobs is None else prompt.ids,
        )

    def _split_reasoning(self, text: str) -> tuple[str, str]:
        if self._reasoning_parser is None:
            return "", text
        reasoning, answer = self._reasoning_parser.extract_reasoning(text, None)
        return reasoning or "", answer or ""

    def _failure(self, request: Request, index: int, error: str) -> Completion:
        return Completion(request.id, index, "", "", "error", 0, 0, request.seed + index, self.name, error=error)

    def _note_start(self, request: Request, index: int) -> LedgerEntry | None:
        return self._ledger.start(f"{request.id}/{index}", request.purpose) if self._ledger else None

    async def check_health(self) -> None:
        """Generate one token. Raises EngineError (or ends the process) when the engine cannot."""
        (completion,) = await self.generate([Request("health", "1", Sampling(temperature=0, max_tokens=1))])
        if completion.error:
            raise EngineError(f"{self.name} cannot generate: {completion.error}")

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "model": self.settings.model, "weights": self.weights, "pid": os.getpid()}

    async def stop(self) -> None:
        """Shut vLLM down and make the ledger durable."""
        if self._engine:
            self._engine.shutdown()
        if self._ledger:
            self._ledger.close()


def cache_arguments(gigabytes: float | None) -> dict[str, Any]:
    """vLLM's argument for a cache of this size without a GPU; {} for whole gigabytes, which CACHE_VARIABLE says."""
    if gigabytes is None or gigabytes == int(gigabytes):
        return {}
    return {"kv_cache_memory_bytes": int(gigabytes * 2**30)}


def _platform_arguments(settings: EngineSettings) -> dict[str, Any]:
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return {}
    if cache := cache_arguments(settings.kv_cache_gb):
        os.environ.pop(CACHE_VARIABLE, None)  # inherited from whoever started this process
    return CPU_ARGUMENTS | cache | (LONE_CPU_ARGUMENTS if settings.tensor_parallel_size == 1 else {})


def _reason(error: BaseException) -> str:
    """The end of an error's message, on one line."""
    return " ".join(str(error).split())[-400:] or type(error).__name__
