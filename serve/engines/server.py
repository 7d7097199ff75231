"""The replica around a student's engine: Ray's server of a model, with what the service needs beside it.

LLMServer (Ray) <- StudentServer: samples as they end, the context's length, an end with its engine, and adapters of
                   local folders that the engine was started without, which requests bring along
VLLMEngine (Ray) <- StudentEngine: without a GPU, vLLM's executor in the engine core's process, as runs have it
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.engine import DEAD_ENGINE_EXIT_CODE, LONE_CPU_ARGUMENTS
from raydistill.actors.engine.outputs import Output
from raydistill.actors.engine.requests import Completion

if TYPE_CHECKING:
    from ray.serve.llm.openai_api_models import CompletionRequest

    from raydistill.serve.student import Adapter

LOOK_S = 0.5  # between two looks whether the engine lives


def student_server() -> type:
    """The class of the deployment."""
    from ray.serve.llm.deployment import LLMServer

    class StudentServer(LLMServer):
        def _get_default_engine_class(self) -> type:
            return student_engine()

        async def start(self) -> None:
            await super().start()
            self._watching = asyncio.create_task(_end_with(self.engine))
            self._learning = asyncio.Lock()

        async def learn(self, *later: Adapter) -> None:
            """Load adapters that are not there yet. Raises ValueError with vLLM's reason where one cannot be loaded."""
            from ray.llm._internal.serve.core.configs.llm_config import DiskMultiplexConfig

            engine: Any = self.engine
            for name, path in later:
                told = {"model_id": name, "local_path": path, "max_total_tokens": None, "lora_assigned_int_id": 0}
                async with self._learning:
                    await engine.resolve_lora(DiskMultiplexConfig.model_validate(told))

        async def chat(self, request: Any, *later: Any) -> Any:
            await self.learn(*later)
            return await super().chat(request)

        async def completions(self, request: Any, *later: Any) -> Any:
            await self.learn(*later)
            return await super().completions(request)

        async def context_length(self) -> AsyncIterator[int]:
            engine: Any = self.engine
            yield engine._engine_client.model_config.max_model_len

        async def samples(self, request: CompletionRequest, *later: Adapter) -> AsyncIterator[Completion]:
            """Each sample of a prompt of token ids as it ends, with its place among the request's n as its index."""
            await self.learn(*later)
            async for sample in _samples(self.engine, request):
                yield sample

    return StudentServer


def student_engine() -> type:
    """Ray's engine, which takes a process for the executor, whatever it is told, where there is no GPU."""
    from ray.llm._internal.serve.engines.vllm.vllm_engine import VLLMEngine

    class StudentEngine(VLLMEngine):
        def _prepare_engine_config(self, callback_ctx: Any) -> tuple[Any, Any, Any]:
            from vllm.platforms import current_platform

            arguments, frontend, config = super()._prepare_engine_config(callback_ctx)
            if current_platform.is_cpu() and config.parallel_config.world_size == 1:
                for name, value in LONE_CPU_ARGUMENTS.items():
                    setattr(config.parallel_config, name, value)
            return arguments, frontend, config

    return StudentEngine


async def _end_with(engine: Any) -> None:
    """End this replica's process once its engine is dead: what waits is asked of another one, and Serve starts it."""
    while not engine._engine_client.errored:
        await asyncio.sleep(LOOK_S)
    os._exit(DEAD_ENGINE_EXIT_CODE)


async def _samples(engine: Any, request: CompletionRequest) -> AsyncIterator[Completion]:
    from vllm.sampling_params import RequestOutputKind

    serving = engine._oai_serving_completion  # which knows of the adapter that goes by the student's name
    settings = request.to_sampling_params(request.max_tokens or 0, serving.default_sampling_params)
    settings.output_kind = RequestOutputKind.DELTA
    written: dict[int, Output] = {}
    async for told in engine._engine_client.generate(
        {"prompt_token_ids": request.prompt},
        settings,
        request.request_id,
        lora_request=serving._maybe_get_adapters(request),
    ):
        for piece in told.outputs:
            output = written.setdefault(piece.index, Output())
            output.add(piece)
            if output.finish_reason:
                yield Completion(
                    request_id=request.request_id,
                    index=piece.index,
                    text="".join(output.texts),
                    reasoning="",
                    finish_reason=output.finish_reason,
                    prompt_tokens=len(told.prompt_token_ids),
                    completion_tokens=len(output.token_ids),
                    seed=(request.seed or 0) + piece.index,
                    engine=request.model or "",
                    token_ids=tuple(output.token_ids),
                )
