"""The ingress deployment: the routes around a student's engines and executors, built where they are served.

client --HTTP--> Front --> routes --handle--> LLMServer (vLLM, 1..replicas)      chat, completions
                              '----handle----> LLMServer, then executor pool      solve
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import EngineError
from raydistill.actors.pool import PoolClient
from raydistill.serve.front import BODY_BYTES
from raydistill.serve.model import Model
from raydistill.serve.openai.relay import Relay
from raydistill.serve.routes import make_app
from raydistill.serve.schema import Health, SolveAnswer, SolveRequest
from raydistill.serve.solver import Solver
from raydistill.serve.student import Student

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

SOLVE_TIMEOUT_S = 300.0
HEALTH_TIMEOUT_S = 20.0
LOST = "the model or the sandbox cannot answer now: ask again"


def make_ingress(student: Student, executors: PoolClient | None, body_bytes: int = BODY_BYTES) -> Callable[..., Any]:
    """The class of the ingress deployment; without `executors` answers are read, not executed."""
    from ray import serve

    class StudentIngress(Backend):
        def __init__(self, engines: DeploymentHandle) -> None:
            super().__init__(student, engines, executors)

        async def __serve_build_asgi_app__(self) -> Any:
            return make_app(self, body_bytes)

    return serve.ingress()(StudentIngress)


class Backend:
    """What the routes ask: a student's engines behind `engines`, and its executors."""

    def __init__(self, student: Student, engines: DeploymentHandle, executors: PoolClient | None) -> None:
        self.student, self.relay = student, Relay(student.name, engines)
        self._model, self._executors = Model(student, engines), executors
        self._solver = Solver(student, self._model, executors)

    async def solve(self, request: SolveRequest) -> SolveAnswer:
        """Ask the student, run the programs that it writes, and return what most of them return."""
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        try:
            async with asyncio.timeout(SOLVE_TIMEOUT_S):
                return await self._solver.solve(request)
        except TimeoutError:
            raise EngineError(f"no answer within {SOLVE_TIMEOUT_S:g} s: overloaded, or restarting") from None
        except (RayError, RayServeException) as error:
            logging.getLogger("ray.serve").error("solve: %s", _last_line(error))
            raise EngineError(LOST) from error

    async def health(self) -> Health:
        """Whether model and sandbox answer, tried now."""
        tried = "model"
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                await self._model.check()
                tried = "sandbox"
                grade = (await self._executors.call("status"))["grade"] if self._executors else None
        except Exception as error:  # whatever it is, it keeps the service from answering
            reason = f"{tried}: {_last_line(error)}"
            return Health(status="unavailable", model=self.student.name, sandbox=None, reason=reason)
        return Health(status="ok", model=self.student.name, sandbox=grade)


def _last_line(error: Exception) -> str:
    """What an error says in the end: those of Ray begin with the stack of another process."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
