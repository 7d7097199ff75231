"""Progress of long work: live bars on a terminal, a plain line every few seconds elsewhere, nothing when quiet.

What Ray, vLLM and torch have to say meanwhile goes to a file.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import is_uri
from raydistill.pipelines.runtime.events import EventConsole

SECONDS_BETWEEN_LINES = 5.0


class Bar:
    """One piece of long work. `update(done, note)` says how far it is."""

    def __init__(self, console: Console | None, title: str, total: int | None) -> None:
        self._console, self._title, self._total = console, title, total
        self._live: Progress | None = None
        self._said = time.monotonic()
        if console and console.is_terminal:
            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
            self._live = Progress(*columns, TextColumn("{task.fields[note]}"), console=console)
            self._task = self._live.add_task(title, total=total, note="")
            self._live.start()

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        self._total = total or self._total
        if self._live:
            self._live.update(self._task, completed=done, total=self._total, note=note)
        elif self._console and time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            if isinstance(self._console, EventConsole):
                self._console.event("progress", title=self._title, done=done, total=self._total, note=note)
                return
            self._console.print(f"{self._title}: {done:,} of {self._total or '?'}  {note}".rstrip())

    def close(self) -> None:
        if self._live:
            self._live.stop()


@contextmanager
def bar(console: Console | None, title: str, total: int | None = None) -> Iterator[Bar]:
    """A `Bar` that ends with the block."""
    made = Bar(console, title, total)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def infrastructure_log(run_dir: str) -> Iterator[None]:
    """Send what this process writes to stderr to `run_dir`/logs/infrastructure.log (local runs only).

    Raises UsageError for a folder that cannot be written.
    """
    if is_uri(run_dir):
        yield
        return
    folder = os.path.join(run_dir, "logs")
    try:
        os.makedirs(folder, exist_ok=True)
        log = open(os.path.join(folder, "infrastructure.log"), "ab")  # noqa: SIM115
    except OSError as error:
        raise UsageError(
            f"run_dir {run_dir}: {error.filename} cannot be written: {error.strerror}; choose another with --run-dir"
        ) from None
    sys.stderr.flush()
    kept = os.dup(2)
    with log:
        os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
