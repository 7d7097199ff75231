"""The ingress deployment: the routes around a student's engines and executors, built where they are served.

client --HTTP--> Front --> routes --handle--> LLMServer (vLLM, 1..replicas)      chat, completions
                              '----handle----> LLMServer, then executor pool      solve
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi.responses import Response

from raydistill.actors.errors import EngineError
from raydistill.actors.pool import PoolClient
from raydistill.serve.admission.gate import Gate, Grant, Rules
from raydistill.serve.admission.windows import Amounts
from raydistill.serve.front import BODY_BYTES
from raydistill.serve.model import Model
from raydistill.serve.openai.relay import Relay
from raydistill.serve.routes import make_app
from raydistill.serve.schema import Health, SolveAnswer, SolveRequest
from raydistill.serve.solver import Solver
from raydistill.serve.solving.asking import Spent
from raydistill.serve.solving.events import Tell, nobody, told_by, with_failure
from raydistill.serve.student import Student

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

EVERYBODY = Rules()
HEALTH_TIMEOUT_S = 20.0
LOST = "the model or the sandbox cannot answer now: ask again"


def make_ingress(
    student: Student, executors: PoolClient | None, body_bytes: int = BODY_BYTES, rules: Rules = EVERYBODY
) -> Callable[..., Any]:
    """The class of the ingress deployment; without `executors` answers are read, not executed.

    It is bound to the engines' deployment, and to that of the keys where `rules` have some.
    """
    from ray import serve

    class StudentIngress(Backend):
        def __init__(self, engines: DeploymentHandle, counter: DeploymentHandle | None = None) -> None:
            super().__init__(student, engines, executors, Gate(rules, counter))

        async def __serve_build_asgi_app__(self) -> Any:
            return make_app(self, body_bytes)

    return serve.ingress()(StudentIngress)


class Backend:
    """What the routes ask: a student's engines behind `engines`, and its executors."""

    def __init__(
        self, student: Student, engines: DeploymentHandle, executors: PoolClient | None, gate: Gate | None = None
    ) -> None:
        self.student, self.relay, self.gate = student, Relay(student.name, engines), gate or Gate(EVERYBODY)
        self._model, self._executors = Model(student, engines), executors
        self._solver = Solver(student, self._model, executors)
        self._checking: asyncio.Task[Health] | None = None

    async def context(self) -> int:
        """How many tokens a prompt and its answer have room for."""
        return await self._model.context()

    async def solve(self, request: SolveRequest, grant: Grant) -> SolveAnswer | Response:
        """Ask the student, run the programs that it writes, and return what most of them return."""
        async with grant:
            if not request.stream:
                return await self._solve(request, grant)
            events = told_by(lambda tell: self._solve(request, grant, tell))
            return grant.stream(with_failure(await anext(events), events))

    async def _solve(self, request: SolveRequest, grant: Grant, tell: Tell = nobody) -> SolveAnswer:
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        spent = Spent()
        try:
            async with grant.in_time():
                answer = await self._solver.solve(request, spent, tell)
        except TimeoutError:
            raise grant.late() from None
        except (RayError, RayServeException) as error:
            logging.getLogger("ray.serve").error("solve: %s", _last_line(error))
            raise EngineError(LOST) from error
        grant.used = Amounts(tokens=spent.prompt_tokens + spent.completion_tokens, execution_s=spent.execution_s)
        return answer

    async def drain(self, seconds: float) -> int:
        """Refuse what comes from now on, and wait so long for what is under way; how many requests are left."""
        return await self.gate.drain(seconds)

    async def health(self) -> Health:
        """Whether model and sandbox answer, tried now; who asks meanwhile is told the same."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        return await asyncio.shield(self._checking)

    async def _check(self) -> Health:
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
