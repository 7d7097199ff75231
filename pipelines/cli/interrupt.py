"""Ctrl-C: what is under way gets some seconds to end in order; then, or at a second Ctrl-C, the process ends as it is.

Either way the last line says what is stored and how to go on. Everything that is stored survives this: it is made for
being killed at any moment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

GRACE_S = 8.0
CODE = 130


class Interrupts:
    """Watches for Ctrl-C from `watch` on; `last_words` makes the line that is said then, once."""

    def __init__(self, last_words: Callable[[], str]) -> None:
        self._last_words, self._came, self._said = last_words, False, threading.Lock()
        self._stderr = os.dup(2)  # which commands lead elsewhere
        self._before: dict[int, Any] = {}

    def watch(self) -> None:
        """From now on Ctrl-C and SIGTERM end the main thread with KeyboardInterrupt. For the main thread."""
        self._before = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}

    def rest(self) -> None:
        """Leave the signals to those that had them before, unless one has come."""
        for number, handler in self._before.items() if not self._came else ():
            signal.signal(number, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            self.end()
        self._came = True
        timer = threading.Timer(GRACE_S, self.end)
        timer.daemon = True
        timer.start()
        if loop := _loop():
            loop.call_soon_threadsafe(_raise)
        else:
            _raise()

    def say(self) -> None:
        """Say the last words, unless they are said."""
        if self._said.acquire(blocking=False):
            sys.stdout.flush()
            os.write(self._stderr, f"raydistill: {' '.join(self._last_words().split())}\n".encode())

    def end(self) -> None:
        """End the process here and now."""
        try:
            self.say()
        finally:
            os._exit(CODE)


def _loop() -> AbstractEventLoop | None:
    """The event loop that runs in this thread. What is raised inside one of its tasks is left with whoever awaits the
    task: a callback of the loop's own ends the loop alone, which then cancels its tasks in order."""
    if asyncio := sys.modules.get("asyncio"):  # `--help` starts without it
        try:
            return asyncio.get_running_loop()
        except RuntimeError:
            return None
    return None


def _raise() -> None:
    raise KeyboardInterrupt
