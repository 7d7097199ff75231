"""Stored results: what was computed once is read, unless something of it is still unknown.

    cached("<root>/evaluation/<key>.json", compute) --> (result, whether it was there)

A result is JSON. Its field `unknown` counts what could not be found out, such as samples that no engine answered: above
0 it is not stored, so that the next run tries those again. What `compute` has stored on its way stays where it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from raydistill.actors.storage import read_bytes, write_json


def cached(uri: str, compute: Callable[[], Mapping[str, Any]]) -> tuple[dict[str, Any], bool]:
    """The result in the file `uri` and True; where there is none, what `compute` gives and False."""
    if done := read_bytes(uri):
        return json.loads(done), True
    found = dict(compute())
    if not found.get("unknown"):
        write_json(uri, found)
    return found, False
