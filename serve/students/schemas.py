"""What /openapi.json says: FastAPI's account of the routes, and of requests to solve what the students of now take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI

from raydistill.serve.problems import SOLVE
from raydistill.serve.students.catalog import Catalog, Served

SCHEMAS = "#/components/schemas/"


def write_page(app: FastAPI, students: Catalog) -> None:
    """Make it, now and when other students are served. FastAPI's own account of mistakes is not told."""
    page = app.openapi()
    for operation in [operation for path in page["paths"].values() for operation in path.values()]:
        if "HTTPValidationError" in str(operation["responses"].get("422")):
            del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        page["components"]["schemas"].pop(name, None)
    schemas, told = page["components"]["schemas"], list[Served]()

    def current() -> dict[str, Any]:
        if told != students.known:
            told[:] = students.known
            schema, parts = solve_schema(told)
            page["components"]["schemas"] = schemas | parts
            page["paths"][SOLVE]["post"]["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": schema}},
            }
        return page

    current()
    app.openapi = current  # type: ignore[method-assign]


def solve_schema(students: Sequence[Served]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of requests to solve, one for all students that take the same, and its parts by their names."""
    parts: dict[str, Any] = {}
    takers: dict[str, list[str]] = {}
    for served in students:
        schema = served.body.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
        inner = schema.pop("$defs", {})
        new = f"SolveRequest{len(takers) + 1}" if takers else "SolveRequest"
        same = next((name for name in takers if parts[name] == schema), new)
        parts |= inner | {same: schema}
        takers.setdefault(same, []).append(served.student.name)
    if len(takers) == 1:
        return {"$ref": f"{SCHEMAS}SolveRequest"}, parts
    told = [{"$ref": f"{SCHEMAS}{name}", "description": f"of {', '.join(names)}"} for name, names in takers.items()]
    return {"anyOf": told}, parts
