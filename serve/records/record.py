"""The record of a request, which each part that serves it finds by `current` and fills.

begun --key, model--> admitted --first token--> generated --verdicts--> judged --> over
      |<---- queue --->|<------- first ------>|           '- vote -->|
"""

from __future__ import annotations

import time
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

Mark = Literal["admitted", "first", "generated", "judged", "over"]


@dataclass(slots=True)
class Record:
    """One request, without what it says and what it is told."""

    request_id: str = ""
    method: str = ""
    route: str = ""  # as /openapi.json has it; "" where there is none
    key: str = ""  # the client's name
    model: str = ""  # the student's name
    status: int = 0  # of the answer; 0 where the client has left before
    code: str = ""  # of the failure
    prompt_tokens: int = 0
    completion_tokens: int = 0
    execution_s: float = 0.0  # of all programs
    verdicts: Counter[str] = field(default_factory=Counter)  # samples by reason, "ok" or why not
    began: float = field(default_factory=time.monotonic)
    marks: dict[Mark, float] = field(default_factory=dict)  # seconds after the beginning

    def mark(self, name: Mark) -> None:
        """It has come so far; for what happens more than once the last time counts, but for `first`."""
        if name != "first" or name not in self.marks:
            self.marks[name] = time.monotonic() - self.began

    def parts(self) -> dict[str, float]:
        """Seconds by what they were spent on, as far as the request came."""
        at = self.marks
        told = {"total": at.get("over", 0.0)}
        if (admitted := at.get("admitted")) is not None:
            told["queue"] = admitted
            told |= {name: at[mark] - admitted for name, mark in _FROM_ADMITTED.items() if mark in at}
        if "judged" in at:
            told |= {"execution": self.execution_s, "vote": told["total"] - at["judged"]}
        return told


_FROM_ADMITTED: dict[str, Mark] = {"first_token": "first", "generation": "generated"}
_current: ContextVar[Record | None] = ContextVar("record", default=None)


def current() -> Record:
    """That of the request which is served here; one that nobody reads, where none is."""
    return _current.get() or Record()


def begin(record: Record) -> None:
    """Have it be the current one of this task, and of those that it starts."""
    _current.set(record)
