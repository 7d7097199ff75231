"""What a command tells, as one JSON object per line of stdout (`--json`), in the place of text for people.

{"event": "message", "text": "2,391 questions of reasoning_gym:gsm_symbolic ..."}
{"event": "progress", "title": "synthesis", "done": 512, "total": 2391, "note": "371 passed, ..."}
{"event": "report", "wall_s": 313.2, ...}
{"event": "error", "message": "...", "exit_code": 2}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console


class EventConsole(Console):
    """A console whose messages are events; tables and the like, which the report has as well, are none.

    `on_event` gets each as a dictionary; without it, they are lines of stdout.
    """

    def __init__(self, on_event: Callable[[dict[str, Any]], None] | None = None) -> None:
        super().__init__(file=sys.stderr, force_terminal=False)
        self._on_event = on_event or _write_line

    def print(self, *objects: Any, **options: Any) -> None:
        if text := " ".join(one for one in objects if isinstance(one, str)).strip():
            self.event("message", text=text)

    def event(self, name: str, **fields: Any) -> None:
        self._on_event({"event": name, **fields})


def _write_line(event: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event, default=str) + "\n")
    sys.stdout.flush()
