"""The one place where it changes who is served: a Serve deployment that every ingress replica reads.

    POST, PUT /admin/students --> checked, in an engine, tried, noted in Ray's store --current--> ingress replicas
                                                                     '--> engines that nobody needs any more end

What it holds outlives its process. Engines need not know of adapters: a request brings the one along that it is for.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import LIMITS
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.runtime.pools import has_gpus
from raydistill.serve.admission.gate import Rules
from raydistill.serve.calls import ask
from raydistill.serve.engines.applications import Engines
from raydistill.serve.engines.config import LOOK_S, check_rank, engine_config, rank_room
from raydistill.serve.student import Student
from raydistill.serve.students.naming import FIRST, check_free, find_named
from raydistill.serve.students.sharing import by_engine, check_memory, difference
from raydistill.serve.students.trial import Trial, learn

CALLS_IN_FLIGHT = 1000
HEARD_S = 5.0  # until every ingress replica has heard of a change, and more


@dataclass(frozen=True, slots=True)
class Noted:
    """Who is served, and by which engines."""

    students: tuple[Student, ...]
    rooms: Mapping[str, int]  # by engine: the highest rank that it takes, 0 where it takes no adapters
    leaving: Mapping[str, float] = field(default_factory=dict)  # engines without students, and when they end (epoch)


class Table:
    """Who is served; those that a start named are `students`, noted under `key` is what has become of them.

    `engines` are those bound to this application, whose ingress tries out who is new; `limits` are those of
    executors. An engine that no student is left for ends when `deadline_s` is over, and with it all of its requests.
    """

    def __init__(
        self,
        students: Sequence[Student],
        engines: Mapping[str, Any],
        limits: Sequence[tuple[Any, ...]],
        key: str,
        replicas: int,
        deadline_s: float,
    ) -> None:
        from ray import serve

        self._engines, self._limits = Engines(key, engines, replicas), limits
        self._service = serve.get_replica_context().app_name
        self._key, self._deadline_s, self._changing = key, deadline_s, asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None
        noted = _store()._internal_kv_get(key)
        shared = by_engine(students)
        self._noted: Noted = (
            pickle.loads(noted)
            if noted
            else Noted(tuple(students), {name: rank_room(of) for name, of in shared.items()})
        )

    async def current(self) -> tuple[Student, ...]:
        if self._noted.leaving and (self._ending is None or self._ending.done()):
            self._ending = asyncio.create_task(self._end_engines())
        return self._noted.students

    async def add(self, path: str, name: str, trial: Trial) -> Student:
        """Serve a student, by its run's name where `name` is "". Raises UsageError where that cannot be."""
        async with self._changing:
            return await self._take_in(path, name, trial, None)

    async def replace(self, name: str, path: str, trial: Trial) -> Student | None:
        """Serve the student there under the name of another, which answers until then; None where there is no other.

        Raises UsageError where the new one cannot be served or fails its trial: then the old one stays.
        """
        async with self._changing:
            old = self._find(name) or (self._noted.students[0] if name == FIRST else None)
            return old and await self._take_in(path, old.name, trial, old)

    async def remove(self, name: str) -> bool:
        """Serve it no longer; whether it was. Raises UsageError for the last one."""
        async with self._changing:
            if (found := self._find(name)) is None:
                return False
            if len(self._noted.students) == 1:
                raise UsageError(f"{name}: the last student; add another one first, or stop the service")
            self._note([student for student in self._noted.students if student is not found], self._noted.rooms)
            return True

    def _find(self, name: str) -> Student | None:
        return next((student for student in self._noted.students if student.name == name), None)

    async def _take_in(self, path: str, name: str, trial: Trial, old: Student | None) -> Student:
        """The student there, which its engine has answered for, in the place of `old` or behind all others."""
        from ray import serve

        student = await asyncio.to_thread(self._placed, path, name, old)
        starts, rooms = student.engine not in self._noted.rooms, dict(self._noted.rooms)
        try:
            if starts:
                rooms[student.engine] = rank_room([student])
                await asyncio.to_thread(_check_room, student)
                await self._engines.start(student)
            handle = await asyncio.to_thread(self._engines.handle, student.engine)
            await learn(student, handle)
            ingress = await asyncio.to_thread(serve.get_app_handle, self._service)
            await ask(ingress.try_out, student, trial)
        except BaseException:  # whoever has asked may have left, too
            if starts:
                await self._engines.stop(student.engine)
            raise
        others = self._noted.students
        self._note([student if other is old else other for other in others] if old else [*others, student], rooms)
        return student

    def _placed(self, path: str, name: str, old: Student | None) -> Student:
        """The student there, with an engine that takes it, and a name that none has had before to it.

        An engine tells by names whose cached prefixes are whose. One that is to be started is named like that, too.
        """
        student = find_named(path, name)
        if old is None:
            check_free(student, self._noted.students)
        if student.limits not in self._limits and make_recipe(student.recipe).student.executes:
            told = ", ".join(f"{name} {value}" for name, value in zip(LIMITS, student.limits, strict=True))
            raise UsageError(f"{student.folder}: no executors with its limits ({told}): start the service with it")
        known_as = f"{student.name}-{uuid.uuid4().hex[:12]}"
        shared = by_engine(self._noted.students)
        engine = next((name for name, of in shared.items() if not difference(student, of[0])), known_as)
        if engine in shared:
            check_rank(student, self._noted.rooms[engine])
        return replace(student, engine=engine, known_as=known_as)

    def _note(self, students: Sequence[Student], rooms: Mapping[str, int]) -> None:
        """Serve these from now on. Engines of nobody have until the last of their requests is over."""
        used = by_engine(students)
        ends = time.time() + self._deadline_s + HEARD_S
        leaving = {name: self._noted.leaving.get(name, ends) for name in rooms if name not in used}
        leaving = {**self._noted.leaving, **leaving}
        self._noted = Noted(tuple(students), {name: rooms[name] for name in used}, leaving)
        _store()._internal_kv_put(self._key, pickle.dumps(self._noted))

    async def _end_engines(self) -> None:
        """End those that are leaving when it is their time."""
        while self._noted.leaving:
            name, ends = min(self._noted.leaving.items(), key=lambda entry: entry[1])
            await asyncio.sleep(max(0.0, ends - time.time()))
            try:
                await self._engines.stop(name)
            except Exception as error:  # Ray's; the service goes on with it
                logging.getLogger("ray.serve").error("the engine %s cannot be ended", name, exc_info=error)
            async with self._changing:
                left = {other: at for other, at in self._noted.leaving.items() if other != name}
                self._noted = replace(self._noted, leaving=left)
                _store()._internal_kv_put(self._key, pickle.dumps(self._noted))


def table_application(rules: Rules, *arguments: Any) -> Any:
    """The deployment, bound; it reads folders on the node from which the service was started."""
    from ray import serve

    deployment = serve.deployment(
        name="students",
        max_ongoing_requests=CALLS_IN_FLIGHT,
        health_check_period_s=LOOK_S,
        ray_actor_options={"num_cpus": 0, "label_selector": dict(rules.node_labels or {})},
    )
    return deployment(Table).bind(*arguments, rules.deadline_s)


def forget(key: str) -> None:
    """Drop what a table has noted."""
    _store()._internal_kv_del(key)


def _check_room(student: Student) -> None:
    """Raise UsageError where the one machine that there is has no room for another engine."""
    import ray

    if sum(node["Alive"] for node in ray.nodes()) == 1 and not has_gpus():
        check_memory(student, engine_config(student))


def _store() -> Any:
    """Ray's own store of keys and values, which Serve keeps its state in, too."""
    from ray.experimental import internal_kv

    return internal_kv
