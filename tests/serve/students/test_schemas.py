"""What /openapi.json says of requests to solve where students take different ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.serve.schema import request_model
from raydistill.serve.students.schemas import solve_schema


def taking(name: str, recipe: Any, max_tokens: int = 512) -> Any:
    return SimpleNamespace(
        student=SimpleNamespace(name=name), body=request_model(make_recipe(recipe).options, max_tokens)
    )


def test_students_of_several_recipes_take_one_of_several_requests() -> None:
    schema, parts = solve_schema([taking("a", PaD()), taking("b", TriPosT()), taking("c", PaD(target="rationale"))])
    assert [one["description"] for one in schema["anyOf"]] == ["of a, c", "of b"]
    page = Draft202012Validator(schema | {"components": {"schemas": parts}})
    page.validate({"question": "q", "model": "b", "improve": True, "beam": {"width": 2}})
    with pytest.raises(ValidationError):
        page.validate({"question": "q", "improvement": True})


def test_students_that_take_the_same_have_one() -> None:
    schema, parts = solve_schema([taking("a", PaD()), taking("b", PaD(target="rationale"))])
    assert schema == {"$ref": "#/components/schemas/SolveRequest"} and "SolveRequest2" not in parts
    _, parts = solve_schema([taking("a", PaD()), taking("b", PaD(), 64)])
    assert parts["SolveRequest2"]["properties"]["max_tokens"]["default"] == 64
