"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL_S = 0.02


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Return as soon as `condition()` is true. Raises AssertionError that names `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(INTERVAL_S)  # other processes tell nobody when they are there
