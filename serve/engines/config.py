"""The engine of one or several students for Ray Serve LLM, with the reservation and environment of a run's engines.

It takes LoRA adapters from cloud storage only: those that an engine begins with are handed to vLLM directly, under
their students' names, and those that come later by `StudentServer.learn`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.engine import CACHE_VARIABLE, CPU_ARGUMENTS, adapter_room, cache_arguments
from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.runtime.pools import engine_pool, has_gpus
from raydistill.serve.student import Student

if TYPE_CHECKING:
    from ray.serve.llm import LLMConfig

LOOK_S = 1.0  # between two looks whether a replica lives; Serve's own are 10 s apart
SEQUENCES_PER_ENGINE = 64
KV_CACHE_GB = float(os.environ.get(CACHE_VARIABLE, 1))  # taken at start, where there is no GPU; may be a fraction
ENGINE_ARGUMENTS = ("max_model_len", "tensor_parallel_size", "gpu_memory_utilization")
CPU_DTYPE = "float32"  # half precision is ten times slower on a CPU that has to emulate it
MOST_AT_ONCE = 8  # adapters in one step of an engine; each has a place of its own beside the weights
MOST_IN_MEMORY = 32  # adapters that come and go; further ones are read again when they are asked for


def engine_config(student: Student, replicas: int = 1) -> EngineConfig:
    """What the student's run says of its engines, and the service's own where it says nothing."""
    hosted = student.hosting.model_dump(include=set(EngineConfig.model_fields), exclude_none=True)
    fallback: dict[str, Any] = {"max_num_seqs": SEQUENCES_PER_ENGINE, "kv_cache_gb": KV_CACHE_GB}
    fallback["dtype"] = "auto" if has_gpus() else CPU_DTYPE
    return EngineConfig(**fallback | hosted | {"model": student.model, "replicas": (1, replicas)})


def llm_config(students: Sequence[Student], replicas: int, changing: bool = False) -> LLMConfig:
    """The engine that these share; `changing` where others may come. Raises UsageError where a rank is too high."""
    from ray.serve.llm import LLMConfig

    first = students[0]
    hosted = first.hosting.model_dump(include=set(ENGINE_ARGUMENTS), exclude_none=True)
    engine = engine_config(first, replicas)
    reserved = engine_pool("", engine, ledger="").settings
    arguments = {
        "tokenizer": first.tokenizer,
        "revision": first.revision,
        **hosted,
        "max_num_seqs": engine.max_num_seqs,
        "generation_config": ends_of_turns(first),
        "structured_outputs_config": {"backend": "xgrammar"},  # others take all memory for some small schemas
        **_adapter_arguments(students, changing),
        **({} if reserved.gpus else CPU_ARGUMENTS | cache_arguments(engine.kv_cache_gb)),
        "dtype": engine.dtype,
        **engine.options,
    }
    config = {
        "model_loading_config": {"model_id": first.engine or first.name, "model_source": first.model},
        "engine_kwargs": arguments,
        "runtime_env": {"env_vars": dict(reserved.environment)},
        "placement_group_config": None if reserved.gpus else {"bundles": [{"CPU": reserved.cpus}]},
        "deployment_config": {
            "health_check_period_s": LOOK_S,
            "ray_actor_options": {"num_cpus": 0},  # the placement group holds the CPU
            "autoscaling_config": {
                "min_replicas": 1,
                "max_replicas": replicas,
                "target_ongoing_requests": max(1, engine.max_num_seqs // 2),
            },
            "max_constructor_retry_count": 1,
        },
        "callback_config": {"callback_class": _before_start()},
    }
    return LLMConfig.model_validate(config)


def _before_start() -> type:
    """What an engine's process does before it starts vLLM.

    It skips Ray's own download step, a process that imports vLLM (10 s, 700 MB) for what vLLM does itself; and where
    the size of the cache is an argument, it forgets the variable that would come before it.
    """
    from ray.llm._internal.common.callbacks.base import CallbackBase

    class BeforeStart(CallbackBase):
        async def on_before_node_init(self) -> None:
            self.ctx.run_init_node = False
            if self.llm_config.engine_kwargs.get("kv_cache_memory_bytes"):
                os.environ.pop(CACHE_VARIABLE, None)

    return BeforeStart


def ends_of_turns(student: Student) -> str:
    """Where vLLM reads which tokens end a turn: with an adapter that came with them, there.

    The word `vllm` has it take nothing else of the model's own, as in a run; an adapter's file holds nothing else.
    """
    own = Path(student.adapter or "", "generation_config.json")
    return str(own.parent) if student.adapter and own.is_file() else "vllm"


def rank_room(students: Sequence[Student]) -> int:
    """The highest rank that the engine of these takes, 0 for none. Raises UsageError where one is above it."""
    adapters = [student for student in students if student.adapter]
    if not adapters:
        return 0
    highest = max(adapters, key=lambda student: student.adapter_rank)
    said = (adapters[0].hosting.options or {}).get("max_lora_rank")
    try:
        room = int(said) if said else adapter_room(highest.adapter_rank)
    except UsageError as error:
        raise UsageError(f"{highest.folder}: {error}") from None
    check_rank(highest, room)
    return room


def check_rank(student: Student, room: int) -> None:
    if student.adapter_rank > room:
        raise UsageError(
            f"{student.folder}: an adapter of rank {student.adapter_rank}, and the engine over {student.model} takes "
            f"ranks up to {room}: start the service with this student, or train one of lower rank"
        )


def _adapter_arguments(students: Sequence[Student], changing: bool) -> dict[str, Any]:
    """What makes vLLM load the adapters at start and answer with each whenever its student is asked for."""
    if not (rank := rank_room(students)):
        return {}
    from vllm.entrypoints.openai.models.protocol import LoRAModulePath

    return {
        "enable_lora": True,
        "max_lora_rank": rank,
        "max_loras": MOST_AT_ONCE if changing else min(len(students), MOST_AT_ONCE),
        "max_cpu_loras": max(len(students), MOST_IN_MEMORY if changing else 0),
        "lora_modules": [LoRAModulePath(name=student.asked_as, path=str(student.adapter)) for student in students],
    }
