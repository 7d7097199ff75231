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
from raydistill.serve.student import find_student

if TYPE_CHECKING:
    from ray.serve import Application


class Served(BaseModel):
    """The `args` of an application."""

    model_config = ConfigDict(extra="forbid")

    student: str = Field(description="a run directory, or a student directory")
    replicas: int = Field(1, ge=1, description="most engine replicas")
    body_bytes: int = Field(BODY_BYTES, ge=1, description="of a request's body, at most")
    keys: str | None = Field(None, description="file of API keys, on every node")
    open: bool = Field(False, description="without keys: whoever reaches the service may ask")
    queue: int = Field(MOST_UNDER_WAY, ge=1, description="requests under way, at most")
    deadline: float = Field(DEADLINE_S, gt=0, description="seconds that a request may take")


def executors(args: Served) -> Application:
    """The executors that programs of the student run in; UsageError where it writes none."""
    service = Service(find_student(args.student), args.replicas)
    if service.executors is None:
        raise UsageError(f"{args.student}: this student writes no programs: leave the application of executors out")
    return service.executors.application()


def student(args: Served) -> Application:
    """Engines and HTTP routes of the student; programs go to the application that `executors` makes."""
    rules = rules_of(args.keys, is_open=args.open, loopback=False, queue=args.queue, deadline_s=args.deadline)
    return Service(find_student(args.student), args.replicas, args.body_bytes, rules).application()
