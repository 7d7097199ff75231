"""A question that a model wrote as JSON: its schema, its parser, and the message that a student learns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rewritten:
    """One candidate as parsed; ``Rewritten("How many ...?", "87", "57 + 30 = 87.")``."""

    input: str
    output: str = ""  # not asked for where answers come from elsewhere
    reasoning: str = ""


def output_schema(keys: Sequence[str]) -> dict[str, Any]:
    """The JSON schema that a rewritten row is held to; reasoning comes before the output that it leads to.

    Empty fields are allowed: they are how a teacher declines a row that is of no use.
    """
    order = sorted(keys, key=("input", "reasoning", "output").index)
    properties = {key: {"type": "string"} for key in order}
    return {"type": "object", "properties": properties, "required": order, "additionalProperties": False}


def parse(text: str, keys: Sequence[str]) -> Rewritten | str:
    """What a completion says, or the reason why it says nothing: ``not_json``, ``empty_field``."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return "not_json"
    if not isinstance(found, dict) or set(found) != set(keys) or not all(isinstance(x, str) for x in found.values()):
        return "not_json"
    if not all(value.strip() for value in found.values()):
        return "empty_field"
    return Rewritten(**{key: value.strip() for key, value in found.items()})


def as_message(example: Mapping[str, str] | Rewritten) -> str:
    """The student's target: reasoning, if any, then the answer in the form that graders find."""
    values = example if isinstance(example, Mapping) else {"output": example.output, "reasoning": example.reasoning}
    ending = f"The answer is {values['output']}."
    return f"{values['reasoning']}\n{ending}" if values.get("reasoning") else ending
