"""How large a JSON schema may be that answers are kept to.

An engine makes a grammar of it. A page of JSON can ask for one that takes all memory (a list of 10**9 items), or
minutes in which every other client waits (an alternative in a pattern, repeated 10,000 times).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import prod
from typing import Any

CHARACTERS = 20_000
MOST_COUNTED = 10_000
PATTERN_CHARACTERS = 200
MOST_REPEATED = 100  # by all repetitions of a pattern, in each other
REPETITION = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")


def sized(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, if it is of moderate size; ValueError else."""
    if len(json.dumps(schema)) > CHARACTERS:
        raise ValueError(f"expected a schema of at most {CHARACTERS:,} characters")
    for name, value in _keywords(schema):
        if re.fullmatch(r"(min|max)\w+", name) and name not in ("minimum", "maximum"):
            if isinstance(value, int | float) and value > MOST_COUNTED:
                raise ValueError(f"{name}: expected at most {MOST_COUNTED:,}")
        elif name == "pattern" and isinstance(value, str):
            _check_pattern(value)
    return schema


def _keywords(value: Any) -> Iterator[tuple[str, Any]]:
    """All names with their values, however deep."""
    if isinstance(value, dict):
        yield from value.items()
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _keywords(inner)


def _check_pattern(pattern: str) -> None:
    if len(pattern) > PATTERN_CHARACTERS:
        raise ValueError(f"pattern: expected at most {PATTERN_CHARACTERS} characters")
    repeated = [max(int(low or 1), int(high or 1), 1) for low, high in REPETITION.findall(pattern)]
    if prod(repeated) > MOST_REPEATED:
        raise ValueError(f"pattern: expected repetitions of at most {MOST_REPEATED} together")
