"""Engines as Serve applications: their deployment, what they say when they cannot start, and those of their own.

    student --start--> application PREFIX-ENGINE --handle--> answers --stop--> gone

The engines of a service that nobody changes are deployments of its one application. Where students come and go, each
engine is an application of its own: whoever knows the service's prefix and an engine's name has its handle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.actors.errors import EngineError, UsageError
from raydistill.serve.engines.config import llm_config
from raydistill.serve.engines.server import student_server
from raydistill.serve.student import Student

REASON_CHARACTERS = 500
START_S = 1800.0  # for weights to arrive and a machine to be there


def engine_application(
    students: Sequence[Student], replicas: int, changing: bool, server: type | None = None, **options: Any
) -> Any:
    """The engine that these share, bound; `changing` where other adapters may come to it."""
    from ray.serve.llm import build_llm_deployment

    config = llm_config(students, replicas, changing)
    return build_llm_deployment(config, name_prefix="LLMServer:", deployment_cls=server or student_server(), **options)


def reason_of(application: str, fallback: str) -> str:
    """The last error that Serve has noted about an application's deployments."""
    from ray import serve

    status = serve.status().applications.get(application)
    notes = "\n".join(deployment.message for deployment in status.deployments.values()) if status else ""
    before, error, after = notes.rpartition("Error: ")
    kind = before.rpartition("\n")[2].strip()
    return f"{kind}{error}{after}".strip()[:REASON_CHARACTERS] if error else fallback


class Engines:
    """A service's engines, by their names: those `bound` to its own application, and those with one of their own."""

    def __init__(self, prefix: str, bound: Mapping[str, Any], replicas: int = 1) -> None:
        self._prefix, self._bound, self._replicas = prefix, bound, replicas

    def handle(self, name: str) -> Any:
        """What calls it. Raises RayServeException where there is none of this name."""
        from ray import serve

        return self._bound[name] if name in self._bound else serve.get_app_handle(f"{self._prefix}-{name}")

    async def start(self, student: Student) -> None:
        """Start the engine that the student names, with room for other adapters where it is one.

        Raises UsageError with the reason where it cannot start, EngineError where it has not within START_S.
        """
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        starting: Any = ray.remote(max_calls=1, num_cpus=0)(_run).options(scheduling_strategy=here)
        told = starting.remote(f"{self._prefix}-{student.engine}", student, self._replicas)
        try:
            async with asyncio.timeout(START_S):
                reason = await told
        except TimeoutError:
            raise EngineError(f"{student.folder}: its engine did not start within {START_S:g} s") from None
        finally:
            ray.cancel(told, force=True)
        if reason:
            raise UsageError(f"{student.folder}: cannot be served: {reason}")

    async def stop(self, name: str) -> None:
        """End it; one that is bound to the service's application ends with that."""
        from ray import serve

        if name not in self._bound:
            await asyncio.to_thread(serve.delete, f"{self._prefix}-{name}", _blocking=False)


def _run(application: str, student: Student, replicas: int) -> str:
    """Why the engine cannot start, "" where it has. In a process of its own, since vLLM's classes take 700 MB."""
    import logging

    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        serve.run(engine_application([student], replicas, changing=True), name=application, route_prefix=None)
    except UsageError as error:  # of its rank
        return str(error)
    except RuntimeError as error:
        return reason_of(application, str(error))
    return ""
