"""The routes by which an administrator, who has a key of its own, changes which students are served."""

from __future__ import annotations

from typing import Annotated, Self

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from raydistill.serve.problems import responses
from raydistill.serve.students.catalog import Catalog, Served
from raydistill.serve.students.trial import Trial

WRONG = (400, 401, 408, 413, 415, 422, 500, 503)


class Rolled(BaseModel):
    """A student that is to answer, and what it has to answer first."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: Annotated[str, StringConstraints(min_length=1, pattern="^[^\0]*$")] = Field(
        description="a run directory, or a student directory, on the service's machines"
    )
    question: str | None = Field(None, min_length=1, description="asked first; without an answer nothing changes")
    answer: str | None = Field(None, min_length=1, description="the right one to it; with another one nothing changes")

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.answer is not None and self.question is None:
            raise ValueError("answer goes with question")
        return self

    def trial(self) -> Trial:
        return Trial(self.question, self.answer)


class NewStudent(Rolled):
    """One more student: an adapter of a base that is served, or one with an engine of its own."""

    name: str | None = Field(None, description="default: the run's")


class ServedStudent(BaseModel):
    """A student that is served."""

    name: str = Field(description="what requests have as their model")
    path: str
    base: str | None = Field(description="whose weights are under its adapter; null where all weights are its own")
    rank: int = Field(description="of its adapter; 0 without one")


class ServedStudents(BaseModel):
    """All of them; the first is asked where a request names none."""

    students: list[ServedStudent]


def add_admin(app: FastAPI, students: Catalog) -> None:
    """Add them to `app`, whose gate looks at the key."""

    @app.get("/admin/students", responses=responses(401))
    async def listed() -> ServedStudents:
        """Who is served."""
        return ServedStudents(students=[_told(served) for served in await students.current()])

    @app.post("/admin/students", responses=responses(*WRONG), status_code=201)
    async def add(body: NewStudent) -> ServedStudent:
        """Serve a student, too: here at once, in other replicas of the ingress within a second.

        Without an engine that can take it one starts, which is waited for.
        """
        return _told(await students.add(body.path, body.name or "", body.trial()))

    @app.put("/admin/students/{name}", responses=responses(404, *WRONG))
    async def roll(name: str, body: Rolled) -> ServedStudent:
        """Serve another student under this name once it has answered; the old one stays until then, or if it fails."""
        return _told(await students.replace(name, body.path, body.trial()))

    @app.delete("/admin/students/{name}", responses=responses(401, 404, 422, 503), status_code=200)
    async def remove(name: str) -> ServedStudents:
        """Serve it no longer; what is under way is answered. Who is left."""
        await students.remove(name)
        return ServedStudents(students=[_told(served) for served in students.known])


def _told(served: Served) -> ServedStudent:
    student = served.student
    base = student.model if student.adapter else None
    return ServedStudent(name=student.name, path=student.folder, base=base, rank=student.adapter_rank)
