"""The ingress deployment: the routes around students' engines and executors, built where they are served.

client --HTTP--> Front --> routes --handle--> LLMServer (vLLM, 1..replicas)      chat, completions
                              '----handle----> LLMServer, then executor pool      solve

Where one engine is all there is, the routes are in its process, and `Here` stands for the handle.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastapi.responses import Response

from raydistill.actors.errors import EngineError
from raydistill.actors.pool import PoolClient
from raydistill.serve.admission.gate import Gate, Grant, Rules
from raydistill.serve.admission.windows import Amounts
from raydistill.serve.engines.applications import Engines
from raydistill.serve.engines.here import Here
from raydistill.serve.engines.server import student_server
from raydistill.serve.front import BODY_BYTES
from raydistill.serve.records.log import LogSettings, RequestLog
from raydistill.serve.records.record import current
from raydistill.serve.routes import make_app
from raydistill.serve.schema import Health, SolveAnswer, SolveRequest
from raydistill.serve.solving.asking import Spent
from raydistill.serve.solving.events import Tell, nobody, told_by, with_failure
from raydistill.serve.student import Student
from raydistill.serve.students.catalog import Catalog, Served
from raydistill.serve.students.trial import Trial

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle
    from ray.serve.llm import LLMConfig

EVERYBODY, LOGGED = Rules(), LogSettings()
HEALTH_TIMEOUT_S = 20.0
LOST = "the model or the sandbox cannot answer now: ask again"


def make_ingress(
    students: Sequence[Student],
    executors: Mapping[tuple[Any, ...], PoolClient],
    body_bytes: int = BODY_BYTES,
    rules: Rules = EVERYBODY,
    log: LogSettings = LOGGED,
) -> Callable[..., Any]:
    """The class of the ingress deployment; `executors` are those of programs by their limits.

    It is bound to the deployments of engines, or knows the prefix of their applications; to the deployment of the keys
    where `rules` have some, and to that of the table where students may come and go.
    """
    from ray import serve

    class StudentIngress(Backend):
        def __init__(
            self,
            engines: Mapping[str, DeploymentHandle],
            prefix: str,
            counter: DeploymentHandle | None = None,
            table: DeploymentHandle | None = None,
        ) -> None:
            super().__init__(Catalog(students, Engines(prefix, engines), executors, table), Gate(rules, counter))

        async def __serve_build_asgi_app__(self) -> Any:
            return make_app(self, body_bytes, RequestLog(log))

    return serve.ingress()(StudentIngress)


def make_engine_ingress(
    students: Sequence[Student],
    executors: Mapping[tuple[Any, ...], PoolClient],
    body_bytes: int = BODY_BYTES,
    rules: Rules = EVERYBODY,
    log: LogSettings = LOGGED,
) -> type:
    """The class of an ingress that has the only engine in its own process; it is bound to that of the keys."""
    from ray import serve

    class EngineIngress(student_server()):  # type: ignore[misc]
        async def __init__(self, llm_config: LLMConfig, counter: DeploymentHandle | None) -> None:  # type: ignore[misc]
            await super().__init__(llm_config)
            engines = Engines("", {student.engine: Here(self) for student in students})
            self._backend = Backend(Catalog(students, engines, executors), Gate(rules, counter))

        async def __serve_build_asgi_app__(self) -> Any:
            return make_app(self._backend, body_bytes, RequestLog(log))

        async def drain(self, seconds: float) -> int:
            return await self._backend.drain(seconds)

    return serve.ingress()(EngineIngress)


class Backend:
    """What the routes ask: the students, and the gate before them."""

    def __init__(self, students: Catalog, gate: Gate) -> None:
        self.students, self.gate = students, gate
        self._checking: asyncio.Task[Health] | None = None

    async def solve(self, served: Served, request: SolveRequest, grant: Grant) -> SolveAnswer | Response:
        """Ask the student, run the programs that it writes, and return what most of them return."""
        async with grant:
            if not request.stream:
                return await self._solve(served, request, grant)
            events = told_by(lambda tell: self._solve(served, request, grant, tell))
            return grant.stream(with_failure(await anext(events), events))

    async def _solve(self, served: Served, request: SolveRequest, grant: Grant, tell: Tell = nobody) -> SolveAnswer:
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        spent = Spent()
        try:
            async with grant.in_time():
                answer = await served.solver.solve(request, spent, tell)
        except TimeoutError:
            raise grant.late() from None
        except (RayError, RayServeException) as error:
            logging.getLogger("ray.serve").error("solve: %s", _last_line(error))
            raise EngineError(LOST) from error
        finally:
            record = current()
            record.prompt_tokens, record.completion_tokens = spent.prompt_tokens, spent.completion_tokens
            record.execution_s = spent.execution_s
        grant.used = Amounts(tokens=spent.prompt_tokens + spent.completion_tokens, execution_s=spent.execution_s)
        return answer

    async def drain(self, seconds: float) -> int:
        """Refuse what comes from now on, and wait so long for what is under way; how many requests are left."""
        return await self.gate.drain(seconds)

    async def try_out(self, student: Student, trial: Trial) -> None:
        """Whether a student answers that is to be served (`students.trial`)."""
        await self.students.try_out(student, trial)

    async def health(self) -> Health:
        """Whether model and sandbox answer, tried now; who asks meanwhile is told the same."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
        return await asyncio.shield(self._checking)

    async def _check(self) -> Health:
        students = await self.students.current()
        model, tried = ", ".join(served.student.name for served in students), "model"
        engines = {served.student.engine: served.model for served in students}
        executors = {served.executors.name: served.executors for served in students if served.executors}
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                await asyncio.gather(*(engine.check() for engine in engines.values()))
                tried = "sandbox"
                told = await asyncio.gather(*(pool.call("status") for pool in executors.values()))
        except Exception as error:  # whatever it is, it keeps the service from answering
            reason = f"{tried}: {_last_line(error)}"
            return Health(status="unavailable", model=model, sandbox=None, reason=reason)
        return Health(status="ok", model=model, sandbox=max((status["grade"] for status in told), default=None))


def _last_line(error: Exception) -> str:
    """What an error says in the end: those of Ray begin with the stack of another process."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
