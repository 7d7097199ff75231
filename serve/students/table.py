"""The one place where it changes who is served: a Serve deployment that every ingress replica reads.

    POST /admin/students --add--> checked, loaded by an engine, noted in Ray's store --current--> ingress replicas

What it holds outlives its process. Engines need not know of it: a request brings the adapter along that it is for.
"""

from __future__ import annotations

import asyncio
import pickle
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from raydistill.actors.errors import EngineError, RaydistillError, UsageError
from raydistill.pipelines.config.sections import LIMITS
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.serve.admission.gate import Rules
from raydistill.serve.calls import LOST
from raydistill.serve.engines.config import LOOK_S, check_rank
from raydistill.serve.student import Student
from raydistill.serve.students.naming import check_free, find_named
from raydistill.serve.students.sharing import base_of, by_engine, difference

CALLS_IN_FLIGHT = 1000
REASON_CHARACTERS = 300


class Table:
    """Who is served; those that a start named are `students`, noted under `key` is what has become of them."""

    def __init__(
        self,
        students: Sequence[Student],
        engines: Mapping[str, Any],
        rooms: Mapping[str, int],
        limits: Sequence[tuple[Any, ...]],
        key: str,
    ) -> None:
        self._started, self._engines, self._rooms, self._limits = students, engines, rooms, limits
        self._key, self._changing = key, asyncio.Lock()
        noted = _store()._internal_kv_get(key)
        self._students: tuple[Student, ...] = pickle.loads(noted) if noted else tuple(students)

    async def current(self) -> tuple[Student, ...]:
        return self._students

    async def add(self, path: str, name: str) -> Student:
        """Serve an adapter, by its run's name where `name` is "". Raises UsageError where that cannot be."""
        async with self._changing:
            student = await asyncio.to_thread(self._placed, path, name)
            await self._load(student)
            self._note((*self._students, student))
            return student

    async def remove(self, name: str) -> bool:
        """Serve it no longer; whether it was. Raises UsageError where it cannot go while the service runs."""
        async with self._changing:
            found = next((student for student in self._students if student.name == name), None)
            if found is None:
                return False
            if found.adapter is None:
                raise UsageError(f"{name}: all weights of its own, not an adapter: stop the service to take it away")
            if len(self._students) == 1:
                raise UsageError(f"{name}: the last student; add another one first, or stop the service")
            self._note(tuple(student for student in self._students if student is not found))
            return True

    def _placed(self, path: str, name: str) -> Student:
        """The student there, with the engine that takes it and a name that no adapter has had before.

        An engine tells by names whose cached prefixes are whose.
        """
        student = find_named(path, name)
        check_free(student, self._students)
        engine = self._engine(student)
        check_rank(student, self._rooms[engine])
        if student.limits not in self._limits and make_recipe(student.recipe).student.executes:
            told = ", ".join(f"{name} {value}" for name, value in zip(LIMITS, student.limits, strict=True))
            raise UsageError(f"{student.folder}: no executors with its limits ({told}): start the service with it")
        return replace(student, engine=engine, known_as=f"{student.name}-{uuid.uuid4().hex[:12]}")

    def _engine(self, student: Student) -> str:
        if student.adapter is None:
            raise UsageError(f"{student.folder}: all weights, not an adapter: start the service with it")
        wrong = {name: difference(student, shared[0]) for name, shared in by_engine(self._started).items()}
        for name, what in wrong.items():
            if not what:
                return name
        if other := next((what for what in wrong.values() if what != "base"), ""):
            raise UsageError(f"{student.folder}: its base is served with another {other}: start the service with it")
        served = dict.fromkeys(base_of(other)[0] for other in self._started if other.adapter)
        raise UsageError(
            f"{student.folder}: its base {student.model} is not served; served are adapters of "
            f"{', '.join(served) or 'no base'}: start the service with it"
        )

    async def _load(self, student: Student) -> None:
        """Have an engine load it, which tells what is wrong with it."""
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import RayServeException

        try:
            await self._engines[student.engine].learn.remote(*student.later)
        except (RayError, RayServeException) as error:
            if not isinstance(error, RayTaskError) or not isinstance(error.cause, ValueError):
                raise EngineError(LOST) from error
            reason = " ".join(str(error.cause).split())[-REASON_CHARACTERS:]
            raise UsageError(f"{student.folder}: cannot be loaded: {reason}") from None

    def _note(self, students: tuple[Student, ...]) -> None:
        _store()._internal_kv_put(self._key, pickle.dumps(students))
        self._students = students


async def ask(method: Any, *arguments: Any) -> Any:
    """What the table answers. Raises UsageError as it does, EngineError where it cannot answer."""
    from ray.exceptions import RayError, RayTaskError
    from ray.serve.exceptions import RayServeException

    try:
        return await method.remote(*arguments)
    except (RayError, RayServeException) as error:
        if isinstance(error, RayTaskError) and isinstance(error.cause, RaydistillError):
            raise error.cause from None
        raise EngineError("students cannot be looked up now: ask again") from error


def table_application(rules: Rules, *arguments: Any) -> Any:
    """The deployment, bound; it reads folders on the node from which the service was started."""
    from ray import serve

    deployment = serve.deployment(
        name="students",
        max_ongoing_requests=CALLS_IN_FLIGHT,
        health_check_period_s=LOOK_S,
        ray_actor_options={"num_cpus": 0, "label_selector": dict(rules.node_labels or {})},
    )
    return deployment(Table).bind(*arguments)


def forget(key: str) -> None:
    """Drop what a table has noted."""
    _store()._internal_kv_del(key)


def _store() -> Any:
    """Ray's own store of keys and values, which Serve keeps its state in, too."""
    from ray.experimental import internal_kv

    return internal_kv
