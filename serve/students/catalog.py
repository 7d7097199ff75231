"""The students that are served now, in an ingress replica: by name, ready to be asked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from raydistill.actors.errors import EngineError
from raydistill.actors.pool import PoolClient
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.serve.calls import ask
from raydistill.serve.engines.applications import Engines
from raydistill.serve.model import Model
from raydistill.serve.openai.relay import Relay
from raydistill.serve.problems import Refused, describe
from raydistill.serve.schema import SolveRequest, request_model
from raydistill.serve.solver import Solver
from raydistill.serve.student import Student
from raydistill.serve.students.naming import FIRST
from raydistill.serve.students.trial import Trial, try_out

FRESH_S = 1.0  # how long what the table has said counts
NEWS_S = 0.05  # and for a name that is not in it
TABLE_S = 2.0  # that it is waited for, where it is being started again


class Served:
    """A student with all that answers for it."""

    def __init__(self, student: Student, engine: Any, executors: PoolClient | None) -> None:
        self.student, self.executors = student, executors
        self.since = int(time.time())
        self.recipe = make_recipe(student.recipe)
        self.body = request_model(self.recipe.options, student.max_tokens)  # of a request to solve
        self.relay, self.model = Relay(student, engine), Model(student, engine)
        self.solver = Solver(student, self.model, executors)

    def read(self, given: Any) -> SolveRequest:
        """The request to solve that a body says. Raises Refused."""
        try:
            return self.body.model_validate(given)
        except ValidationError as error:
            mistakes: Sequence[Any] = error.errors()
            param, message = describe(mistakes, given, sorted(self.body.model_fields), within=0)
            raise Refused(422, message, code="invalid_value", param=param) from None


class Catalog:
    """Those of a start, or with the handle of a `Table` those that it has now."""

    def __init__(
        self,
        students: Sequence[Student],
        engines: Engines,
        executors: Mapping[tuple[Any, ...], PoolClient],
        table: Any = None,
    ) -> None:
        self._engines, self._executors, self._table = engines, executors, table
        self._served = {student.name: self._make(student) for student in students}
        self._heard, self._reading = -FRESH_S, asyncio.Lock()

    def _make(self, student: Student) -> Served:
        executes = make_recipe(student.recipe).student.executes
        engine = self._engines.handle(student.engine)
        return Served(student, engine, self._executors[student.limits] if executes else None)

    @property
    def known(self) -> list[Served]:
        """All of them, as far as this replica has heard; the first is asked where a request names none."""
        return list(self._served.values())

    async def current(self) -> list[Served]:
        await self._refresh()
        return self.known

    async def find(self, name: str | None) -> Served:
        """The student of this name. Raises Refused where there is none."""
        await self._refresh()
        if self._get(name) is None:
            await self._refresh(NEWS_S)
        if (found := self._get(name)) is None:
            raise no_model(name, self._served)
        return found

    def _get(self, name: str | None) -> Served | None:
        return self._served.get(name or "") or (self.known[0] if name in (None, FIRST) else None)

    async def add(self, path: str, name: str, trial: Trial) -> Served:
        """Serve a student. Raises UsageError where that cannot be, EngineError where it is not known."""
        return await self._taken_in(await ask(self._table.add, path, name, trial))

    async def replace(self, name: str, path: str, trial: Trial) -> Served:
        """Serve the student there in the place of another. Raises as `add` does, Refused where there is no other."""
        if (student := await ask(self._table.replace, name, path, trial)) is None:
            raise no_model(name, self._served)
        return await self._taken_in(student)

    async def try_out(self, student: Student, trial: Trial) -> None:
        """Whether it answers, before it is served. Raises as `trial.try_out` does."""
        await try_out(await asyncio.to_thread(self._make, student), trial)

    async def _taken_in(self, student: Student) -> Served:
        await self._refresh(0)
        added = self._served.get(student.name)
        if added is None or added.student != student:
            raise EngineError("it was added, but cannot be asked here")
        return added

    async def remove(self, name: str) -> None:
        """Serve it no longer. Raises Refused where there is none, UsageError where it cannot go."""
        removed: bool = await ask(self._table.remove, name)
        await self._refresh(0)
        if not removed:
            raise no_model(name, self._served)

    async def _refresh(self, seconds: float = FRESH_S) -> None:
        """Hear of what has changed, unless that was so long ago at most; what the table cannot say now is as before."""
        if self._table is None or time.monotonic() < self._heard + seconds:
            return
        async with self._reading:
            if time.monotonic() < self._heard + seconds:  # somebody else has asked meanwhile
                return
            try:
                async with asyncio.timeout(TABLE_S):
                    students: Sequence[Student] = await ask(self._table.current)
            except (EngineError, TimeoutError) as error:
                logging.getLogger("ray.serve").error("the students are those from before: %r", error)
            else:
                self._served = await self._as_told(students)
            self._heard = time.monotonic()

    async def _as_told(self, students: Sequence[Student]) -> dict[str, Served]:
        """These, of which those stay as they are that are there already."""
        served = {}
        for student in students:
            known = self._served.get(student.name)
            if known is None or known.student != student:
                try:
                    known = await asyncio.to_thread(self._make, student)
                except Exception as error:  # its folder is not on this node, or gone: the others go on
                    logging.getLogger("ray.serve").error("%s cannot be asked here", student.name, exc_info=error)
                    continue
            served[student.name] = known
        return served or self._served


def no_model(name: str | None, names: Mapping[str, Any]) -> Refused:
    message = f"there is no model {name!r:.100}; expected {'' if len(names) == 1 else 'one of '}{', '.join(names)}"
    return Refused(404, message, code="model_not_found", param="model")
