"""The HTTP routes of the service, as an application of their own: OpenAI's for the student, /v1/solve and /healthz.

What a client sent wrong is answered with 4xx in one line (422 by /v1/solve, 400 by OpenAI's routes), a model or
sandbox that cannot answer now with 503: neither is a wrong answer.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.serve.admission.asks import asked_of_engine, asked_of_solver, counts_tokens, within
from raydistill.serve.front import Front
from raydistill.serve.openai.answers import ChatCompletion, Completion, ModelCard, ModelList
from raydistill.serve.openai.requests import ChatRequest, CompletionRequest, EngineRequest
from raydistill.serve.page import add_page
from raydistill.serve.problems import SOLVE, Refused, report_problems
from raydistill.serve.reading import JsonRoute
from raydistill.serve.schema import Health, ProblemReport, SolveAnswer, request_model
from raydistill.serve.solving.events import KINDS

if TYPE_CHECKING:
    from raydistill.serve.ingress import Backend

ABOUT = """A distilled student: OpenAI's routes, and executed answers.

Every failure is one line in OpenAI's shape. A body is JSON in UTF-8; a field that is not named here is refused, null is
as good as leaving a field out. An X-Request-Id is kept, or made, and sent back."""
SAID = {
    400: "The request is wrong: one line says where.",
    401: "There is no such API key.",
    404: "There is no such model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body does not say that it is JSON.",
    422: "The request is wrong: one line says where.",
    429: "The key has used what it has by the minute; Retry-After says when to ask again.",
    500: "The service failed.",
    503: "The model or the sandbox cannot answer now, or the service is full; Retry-After says when to ask again.",
}
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


def make_app(backend: Backend, body_bytes: int) -> FastAPI:
    """The routes in front of `backend`; bodies of more than `body_bytes` are refused."""
    app = FastAPI(title="raydistill", description=ABOUT, redirect_slashes=False)
    app.router.route_class = JsonRoute
    app.state.gate = backend.gate
    app.add_middleware(Front, body_bytes=body_bytes)
    settings = _add_solve(app, backend)
    report_problems(app, settings)
    _add_openai(app, backend)

    @app.get("/healthz", responses={503: {"model": Health}})
    async def healthz() -> Health:
        """Whether model and sandbox answer, tried now."""
        health = await backend.health()
        return JSONResponse(health.model_dump(), 200 if health.status == "ok" else 503)  # type: ignore[return-value]

    _write_schema(app)
    add_page(app)
    return app


def _write_schema(app: FastAPI) -> None:
    """/openapi.json, which is made once: now, not while others wait. FastAPI's own account of mistakes is not told."""
    page = app.openapi()
    for operation in [operation for path in page["paths"].values() for operation in path.values()]:
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        page["components"]["schemas"].pop(name, None)


def _add_solve(app: FastAPI, backend: Backend) -> list[str]:
    """The route that solves. What a request may set depends on the student's recipe; returned are its names."""
    recipe = make_recipe(backend.student.recipe)
    body = request_model(recipe.options, backend.student.max_tokens)

    async def solve(request: Request, body: Any) -> Any:
        body, key = within(request.state.key, body), request.state.key
        context = await backend.context() if counts_tokens(key) else 0
        most = asked_of_solver(recipe, body, context, backend.student.execution.wall_s)
        return await backend.solve(body, await backend.gate.admit(key, most))

    solve.__annotations__["body"] = body  # FastAPI reads the body by this
    solve.__doc__ = backend.solve.__doc__
    responses = SOLVE_EVENTS | _problems(401, 408, 413, 415, 422, 429, 500, 503)
    app.post(SOLVE, response_model=SolveAnswer, responses=responses)(solve)
    return sorted(body.model_fields)


def _add_openai(app: FastAPI, backend: Backend) -> None:
    name = backend.student.name
    card = ModelCard(id=name, created=int(time.time()))
    wrong = _problems(400, 401, 404, 408, 413, 415, 429, 500, 503)

    async def answer(request: Request, body: EngineRequest) -> Response:
        _check_name(body.model, name)
        body, key = within(request.state.key, body), request.state.key
        context = await backend.context() if counts_tokens(key) else 0
        most = asked_of_engine(body, len(await request.body()), context)
        return await backend.relay.answer(body, await backend.gate.admit(key, most))

    @app.get("/v1/models", responses=_problems(401))
    async def models() -> ModelList:
        """The student."""
        return ModelList(data=[card])

    @app.get("/v1/models/{model:path}", responses=_problems(401, 404))
    async def model(model: str) -> ModelCard:
        """The student, by its name."""
        _check_name(model, name)
        return card

    @app.post("/v1/chat/completions", response_model=ChatCompletion, responses=EVENTS | wrong)
    async def chat(request: Request, body: ChatRequest) -> Response:
        """Go on with a conversation."""
        return await answer(request, body)

    @app.post("/v1/completions", response_model=Completion, responses=EVENTS | wrong)
    async def completions(request: Request, body: CompletionRequest) -> Response:
        """Go on with a text."""
        return await answer(request, body)


def _check_name(asked: str | None, name: str) -> None:
    if asked not in (None, name):
        message = f"there is no model {asked!r:.100}; expected {name}"
        raise Refused(404, message, code="model_not_found", param="model")


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": ProblemReport, "description": SAID[code]} for code in codes}
