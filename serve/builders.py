"""The service's applications as a Ray Serve configuration file names them (deploy/kuberay/rayservice.yaml).

`raydistill serve` deploys the same two from a running process; here Ray Serve's own controller builds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from raydistill.actors.errors import UsageError
from raydistill.serve.admission.gate import DEADLINE_S, MOST_UNDER_WAY
from raydistill.serve.admission.rules import rules_of
from raydistill.serve.deployment import Service
from raydistill.serve.front import BODY_BYTES
from raydistill.serve.records.log import LogSettings
from raydistill.serve.student import Student
from raydistill.serve.students.naming import find_students

if TYPE_CHECKING:
    from ray.serve import Application


class Served(BaseModel):
    """The `args` of an application."""

    model_config = ConfigDict(extra="forbid")

    student: str | list[str] = Field(
        description="a run directory, or a student directory; or several, as paths or NAME=PATH"
    )
    replicas: int = Field(1, ge=1, description="most engine replicas")
    body_bytes: int = Field(BODY_BYTES, ge=1, description="of a request's body, at most")
    keys: str | None = Field(None, description="file of API keys, on every node")
    open: bool = Field(False, description="without keys: whoever reaches the service may ask")
    admin_key_file: str | None = Field(None, description="of who may add, roll and remove students, on every node")
    queue: int = Field(MOST_UNDER_WAY, ge=1, description="requests under way, at most")
    request_log: str | None = Field(None, description="folder of the requests' log; else beside Ray Serve's logs")
    log_contents: bool = Field(False, description="what was asked and answered is in it, too")
    deadline: float = Field(DEADLINE_S, gt=0, description="seconds that a request may take")

    def students(self) -> tuple[Student, ...]:
        return find_students([self.student] if isinstance(self.student, str) else self.student)


def executors(args: Served) -> Application:
    """The executors that programs of the first student run in; UsageError where it writes none.

    Students whose programs have other limits want executors of their own, in an application of the name
    raydistill-serve-NAME-executors, after the first of them.
    """
    students = args.students()
    if not (pools := list(Service(students, args.replicas).executors.values())):
        raise UsageError(
            f"{students[0].folder}: this student writes no programs: leave the application of executors out"
        )
    return pools[0].application()


def student(args: Served) -> Application:
    """Engines and HTTP routes of the students; programs go to the applications that `executors` makes."""
    rules = rules_of(
        args.keys,
        is_open=args.open,
        loopback=False,
        queue=args.queue,
        deadline_s=args.deadline,
        admin_key_file=args.admin_key_file,
    )
    log = LogSettings(args.request_log, args.log_contents)
    return Service(args.students(), args.replicas, args.body_bytes, rules, log).application()
