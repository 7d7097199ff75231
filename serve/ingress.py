"""The HTTP routes of the service: those of Ray's OpenAI ingress, and beside them /v1/solve and /healthz.

    client --HTTP--> ingress --handle--> LLMServer (vLLM, 1..replicas)      chat, completions, models
                        '----handle----> LLMServer, then executor pool      solve

A bad question is answered with 422, a model or sandbox that cannot answer now with 503: neither is a wrong answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import EngineError, RaydistillError, UsageError
from raydistill.actors.pool import PoolClient
from raydistill.actors.rows import text_fault
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.serve.model import Model
from raydistill.serve.schema import Health, Problem, ProblemReport, SolveAnswer, SolveRequest, request_model
from raydistill.serve.solver import Solver
from raydistill.serve.student import Student

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
    from ray.serve.handle import DeploymentHandle

SOLVE = "/v1/solve"
SOLVE_TIMEOUT_S = 300.0
HEALTH_TIMEOUT_S = 20.0


def make_ingress(student: Student, executors: PoolClient | None) -> Callable[..., Any]:
    """The class of the ingress deployment; without `executors` answers are read, not executed."""
    from ray.serve.llm.ingress import OpenAiIngress, make_fastapi_ingress

    class StudentIngress(OpenAiIngress):
        def __init__(self, llm_deployments: dict[str, DeploymentHandle], model_cards: dict[str, Any]) -> None:
            super().__init__(llm_deployments, model_cards)
            self._model = Model(student, llm_deployments[student.name])
            self._solver = Solver(student, self._model, executors)

        async def solve(self, body: SolveRequest) -> SolveAnswer:
            """Ask the student, run the programs that it writes, and return what most of them return."""
            from ray.exceptions import RayError
            from ray.serve.exceptions import RayServeException

            try:
                async with asyncio.timeout(SOLVE_TIMEOUT_S):
                    return await self._solver.solve(body)
            except TimeoutError:
                raise EngineError(f"no answer within {SOLVE_TIMEOUT_S:g} s: overloaded, or restarting") from None
            except (RayError, RayServeException) as error:
                raise EngineError(f"model or sandbox unavailable: {_last_line(error)}") from error

        async def healthz(self) -> JSONResponse:
            """Whether model and sandbox answer, tried now."""
            from fastapi.responses import JSONResponse

            health = await self._health()
            return JSONResponse(health.model_dump(), 200 if health.status == "ok" else 503)

        async def _health(self) -> Health:
            tried = "model"
            try:
                async with asyncio.timeout(HEALTH_TIMEOUT_S):
                    await self._model.check()
                    tried = "sandbox"
                    grade = (await executors.call("status"))["grade"] if executors else None
            except Exception as error:  # whatever it is, it keeps the service from answering
                reason = f"{tried}: {_last_line(error)}"
                return Health(status="unavailable", model=student.name, sandbox=None, reason=reason)
            return Health(status="ok", model=student.name, sandbox=grade)

    # FastAPI reads the body by this: what a request may set depends on the student's recipe
    body = request_model(make_recipe(student.recipe).options, student.max_tokens)
    StudentIngress.solve.__annotations__["body"] = body
    return make_fastapi_ingress(StudentIngress, endpoint_map=_routes(sorted(body.model_fields)))


def _routes(settings: Sequence[str]) -> dict[str, Callable[[FastAPI], Any]]:
    """Which method of the ingress answers which route: of Ray's table what a student can do, and ours.

    `settings` are what a request to solve may set.
    """
    from ray.serve.llm.openai_api_models import ChatCompletionResponse, CompletionResponse

    failures: dict[int | str, dict[str, Any]] = {code: {"model": ProblemReport} for code in (422, 503)}

    def solve(app: FastAPI) -> Any:
        app.title, app.description = "raydistill", "A distilled student: OpenAI's routes, and executed answers."
        _report_problems(app, settings)
        return app.post(SOLVE, response_model=SolveAnswer, responses=failures)

    def models(app: FastAPI) -> Any:
        from fastapi import Depends

        app.router.dependencies.append(Depends(_text_check()))  # of all routes: this is the first
        return app.get("/v1/models")

    return {
        "models": models,
        "model_data": lambda app: app.get("/v1/models/{model:path}"),
        "chat": lambda app: app.post("/v1/chat/completions", response_model=ChatCompletionResponse),
        "completions": lambda app: app.post("/v1/completions", response_model=CompletionResponse),
        "solve": solve,
        "healthz": lambda app: app.get("/healthz", response_model=Health, responses={503: {"model": Health}}),
    }


def _text_check() -> Callable[..., Any]:
    """Refuses a body with half of a surrogate pair, which no tokenizer takes, as each route refuses a bad body."""
    from fastapi import HTTPException, Request

    async def check(request: Request) -> None:
        body = await request.body()
        fault = text_fault(json.loads(body)) if b"\\u" in body else ""
        if "surrogate" in fault:
            raise HTTPException(422 if request.url.path == SOLVE else 400, f"the request holds {fault}")

    check.__annotations__["request"] = Request
    return check


def _report_problems(app: FastAPI, settings: Sequence[str]) -> None:
    """Give every failure the body that OpenAI clients read, with one line that says what is wrong."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException

    async def ours(_: Request, error: Any) -> JSONResponse:
        return _problem(422 if isinstance(error, UsageError) else 503, type(error).__name__, str(error))

    async def bad_body(request: Request, error: Any) -> JSONResponse:
        code = 422 if request.url.path == SOLVE else 400  # OpenAI's routes answer as OpenAI does
        names = settings if request.url.path == SOLVE else ()
        return _problem(code, "invalid_request_error", "; ".join(_describe(one, names) for one in error.errors()))

    async def refused(_: Request, error: Any) -> JSONResponse:
        return _problem(error.status_code, "invalid_request_error", str(error.detail))

    app.add_exception_handler(RaydistillError, ours)
    app.add_exception_handler(RequestValidationError, bad_body)
    app.add_exception_handler(HTTPException, refused)


def _problem(code: int, kind: str, message: str) -> JSONResponse:
    from fastapi.responses import JSONResponse

    problem = Problem(message=" ".join(message.split()), type=kind, code=code)
    return JSONResponse(ProblemReport(error=problem).model_dump(), code)


def _describe(error: dict[str, Any], known: Sequence[str]) -> str:
    """``question: Field required``, from pydantic's account of one mistake; `known` is what may be set."""
    where = ".".join(map(str, error["loc"][1:])) if error["type"] != "json_invalid" else ""
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 2 and known:
        return f"{where}: no setting of this student; expected one of {', '.join(known)}"
    return f"{where or 'body'}: {error['msg'].removeprefix('Value error, ')}"


def _last_line(error: Exception) -> str:
    """What an error says in the end: those of Ray begin with the stack of another process."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
