"""A change of who is served reaches every ingress replica; the table is a real deployment, two catalogs ask it.

An engine stands in that takes every adapter, and says which it was told of.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.serve.admission.gate import Rules
from raydistill.serve.engines.applications import Engines
from raydistill.serve.problems import Refused
from raydistill.serve.student import Student
from raydistill.serve.students.catalog import FRESH_S, Catalog
from raydistill.serve.students.naming import find_students
from raydistill.serve.students.sharing import with_engines
from raydistill.serve.students.table import table_application
from raydistill.serve.students.trial import Trial
from tests.serve.students.test_naming import adapter

NAME = "test-students"


class Engine:
    """Takes adapters."""

    def __init__(self) -> None:
        self._told: list[tuple[str, str]] = []

    async def learn(self, *later: tuple[str, str]) -> None:
        self._told += later

    async def told(self) -> list[tuple[str, str]]:
        return self._told


class Ingress:
    """Lets everybody pass but one."""

    def __init__(self, table: Any) -> None:
        self._table = table

    async def try_out(self, student: Student, trial: Trial) -> None:
        if trial.question == "who fails?":
            raise UsageError(f"{student.folder}: no answer")


@pytest.fixture
def catalogs(cluster: None, tiny_model: str, tmp_path: Path) -> Iterator[list[Catalog]]:
    """Two of one table, as two replicas of an ingress have them."""
    from ray import serve

    serve.start(proxy_location="Disabled", logging_config={"log_level": "WARNING"})
    students = with_engines(
        find_students([adapter(tmp_path / name, tiny_model, target="rationale") for name in ("a", "b")])
    )
    engines = {"a": serve.deployment(name="engine", ray_actor_options={"num_cpus": 0})(Engine).bind()}
    table = table_application(Rules(), students, engines, [], uuid.uuid4().hex, 1)
    serve.run(serve.deployment(ray_actor_options={"num_cpus": 0})(Ingress).bind(table), name=NAME, route_prefix=None)
    handle = serve.get_deployment_handle("students", NAME)
    asked = Engines("", {"a": serve.get_deployment_handle("engine", NAME)})
    yield [Catalog(students, asked, {}, handle) for _ in range(2)]
    serve.delete(NAME)


def test_a_change_reaches_all_replicas(catalogs: list[Catalog], tiny_model: str, tmp_path: Path) -> None:
    here, there = catalogs
    path = adapter(tmp_path / "late", tiny_model, target="rationale")

    async def names(catalog: Catalog) -> list[str]:
        return [served.student.name for served in await catalog.current()]

    async def change() -> None:
        assert await names(here) == await names(there) == ["a", "b"]
        added = await here.add(path, "", Trial())
        [(known_as, folder)] = await here._engines.handle("a").told.remote()
        assert folder == f"{path}/student" and known_as == added.student.asked_as != "late"
        assert (await there.find("late")).student == added.student  # a name that is not known is asked for at once
        assert await names(there) == ["a", "b", "late"]

        await there.remove("a")  # of the start, too: the next is the first
        removed = time.monotonic()
        while "a" in await names(here):
            assert time.monotonic() < removed + FRESH_S + 2
            await asyncio.sleep(0.05)
        for catalog in catalogs:
            assert (await catalog.find("student")).student.name == (await catalog.find(None)).student.name == "b"
            with pytest.raises(Refused, match="there is no model 'a'; expected one of b, late"):
                await catalog.find("a")
        assert await here.find("late") is added

        again = await there.add(path, "a", Trial())
        assert again.student.asked_as not in ("a", known_as)
        with pytest.raises(UsageError, match="would both be called b: name one as NAME=PATH"):
            await here.add(path, "b", Trial())
        with pytest.raises(UsageError, match="no answer"):
            await here.replace("b", path, Trial("who fails?"))
        assert (await there.find("b")).student.folder != f"{path}/student"
        rolled = await here.replace("b", path, Trial())
        assert await names(here) == ["b", "late", "a"] and rolled.student.folder == f"{path}/student"
        with pytest.raises(Refused, match="there is no model 'c'"):
            await here.replace("c", path, Trial())
        for name in ("b", "late"):
            await here.remove(name)
        with pytest.raises(UsageError, match="a: the last student; add another one first"):
            await there.remove("a")
        with pytest.raises(Refused, match="there is no model 'late'; expected a"):
            await there.remove("late")

    asyncio.run(change())
