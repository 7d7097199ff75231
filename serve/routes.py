"""The HTTP routes of the service, as an application of their own: OpenAI's for students, /v1/solve and /healthz.

What a client sent wrong is answered with 4xx in one line (422 by /v1/solve, 400 by OpenAI's routes), a model or
sandbox that cannot answer now with 503: neither is a wrong answer.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from raydistill.serve.admission.asks import asked_of_engine, asked_of_solver, counts_tokens, within
from raydistill.serve.front import Front
from raydistill.serve.openai.answers import ChatCompletion, Completion, ModelCard, ModelList
from raydistill.serve.openai.requests import ChatRequest, CompletionRequest, EngineRequest
from raydistill.serve.page import add_page
from raydistill.serve.problems import SOLVE, report_problems, responses
from raydistill.serve.reading import JsonRoute, checked
from raydistill.serve.records.log import RequestLog
from raydistill.serve.records.record import current
from raydistill.serve.records.watch import Watch
from raydistill.serve.schema import Health, Ready, SolveAnswer, Version
from raydistill.serve.solving.events import KINDS
from raydistill.serve.students.admin import add_admin
from raydistill.serve.students.schemas import write_page

if TYPE_CHECKING:
    from raydistill.serve.ingress import Backend
    from raydistill.serve.students.catalog import Served

ABOUT = """Distilled students: OpenAI's routes, and executed answers.

Every failure is one line in OpenAI's shape. A body is JSON in UTF-8; a field that is not named here is refused, null is
as good as leaving a field out. An X-Request-Id is kept, or made, and sent back."""
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer, or its events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}
SOLVE_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; with stream: true the data of events, the answer's the last before [DONE].",
        "content": {
            "text/event-stream": {
                "schema": {
                    "oneOf": [
                        *(kind.model_json_schema() for kind in KINDS),
                        *({"$ref": f"#/components/schemas/{name}"} for name in ("SolveAnswer", "ProblemReport")),
                    ]
                }
            }
        },
    }
}


def make_app(backend: Backend, body_bytes: int, log: RequestLog) -> FastAPI:
    """The routes in front of `backend`; bodies of more than `body_bytes` are refused, what is asked is in the log."""
    app = FastAPI(title="raydistill", description=ABOUT, redirect_slashes=False)
    app.router.route_class = JsonRoute
    app.state.gate = backend.gate
    app.add_middleware(Watch, log=log)
    app.add_middleware(Front, body_bytes=body_bytes)
    report_problems(app)
    _add_solve(app, backend)
    _add_openai(app, backend)
    if backend.gate.rules.admin:
        add_admin(app, backend.students)

    @app.get("/healthz", responses={503: {"model": Health}})
    async def healthz() -> Health:
        """Whether models and sandbox answer, tried now."""
        health = await backend.health()
        return JSONResponse(health.model_dump(), 200 if health.status == "ok" else 503)  # type: ignore[return-value]

    @app.get("/readyz", responses={503: {"model": Ready}})
    async def readyz() -> Ready:
        """Whether requests are taken, without asking model or sandbox."""
        ready = Ready(status=backend.gate.status)
        return JSONResponse(ready.model_dump(), 200 if ready.status == "ok" else 503)  # type: ignore[return-value]

    @app.get("/version")
    async def version() -> Version:
        """What answers here."""
        return Version(version=metadata.version("raydistill"))

    write_page(app, backend.students)
    add_page(app, keyed=not backend.gate.rules.are_open)
    return app


def _add_solve(app: FastAPI, backend: Backend) -> None:
    """The route that solves. What a request may set depends on its student's recipe."""

    @app.post(
        SOLVE,
        response_model=SolveAnswer,
        responses=SOLVE_EVENTS | responses(401, 404, 408, 413, 415, 422, 429, 500, 503),
        description=backend.solve.__doc__,
    )
    async def solve(request: Request) -> Any:
        given, key = await checked(request).json(), request.state.key
        named = given.get("model") if isinstance(given, dict) else None
        served = await backend.students.find(named if isinstance(named, str) else None)
        current().model = served.student.name
        body = within(key, served.read(given))
        context = await served.model.context() if counts_tokens(key) else 0
        most = asked_of_solver(served.recipe, body, context, served.student.execution.wall_s)
        return await backend.solve(served, body, await backend.gate.admit(key, most))


def _add_openai(app: FastAPI, backend: Backend) -> None:
    students, wrong = backend.students, responses(400, 401, 404, 408, 413, 415, 429, 500, 503)

    async def answer(request: Request, body: EngineRequest) -> Response:
        served = await students.find(body.model)
        current().model = served.student.name
        body, key = within(request.state.key, body), request.state.key
        context = await served.model.context() if counts_tokens(key) else 0
        most = asked_of_engine(body, len(await request.body()), context)
        return await served.relay.answer(body, await backend.gate.admit(key, most))

    @app.get("/v1/models", responses=responses(401))
    async def models() -> ModelList:
        """The students; the first is asked where a request names none."""
        return ModelList(data=[_card(served) for served in await students.current()])

    @app.get("/v1/models/{model:path}", responses=responses(401, 404))
    async def model(model: str) -> ModelCard:
        """A student, by its name."""
        return _card(await students.find(model))

    @app.post("/v1/chat/completions", response_model=ChatCompletion, responses=EVENTS | wrong)
    async def chat(request: Request, body: ChatRequest) -> Response:
        """Go on with a conversation."""
        return await answer(request, body)

    @app.post("/v1/completions", response_model=Completion, responses=EVENTS | wrong)
    async def completions(request: Request, body: CompletionRequest) -> Response:
        """Go on with a text."""
        return await answer(request, body)


def _card(served: Served) -> ModelCard:
    return ModelCard(id=served.student.name, created=served.since)
