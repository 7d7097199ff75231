"""The switch of the batch lane: off for a time once several programs were proven to differ in it, then on again.

Threat model: one program may differ by chance or on purpose (it draws without a seed, or finds out where it runs), so
one is no proof against the lane, and none switches it off for good. What differed has its isolated verdict anyway.
"""

import threading
import time
from collections import deque

PROOFS = 3  # different programs, each with several isolated runs that agree with each other and not with the batch
AUDITS = 64  # among the last so many audited programs
FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3600.0


class BatchLane:
    """Whether programs may share children now."""

    def __init__(self, is_available: bool) -> None:
        self._is_available = is_available
        self._lock = threading.Lock()
        self._audits: deque[str] = deque(maxlen=AUDITS)
        self._off_until = 0.0
        self._pause_s = FIRST_PAUSE_S
        self.alarm = ""
        """why the lane was switched off last, if it ever was"""

    @property
    def is_on(self) -> bool:
        return self._is_available and time.monotonic() >= self._off_until

    def agreed(self) -> None:
        """An audited program came out the same in a batch and alone."""
        with self._lock:
            self._audits.append("")

    def differed(self, name: str, source: str) -> None:
        """The program `name` was proven to come out otherwise in a batch than alone."""
        with self._lock:
            self._audits.append(source)
            if len({*self._audits} - {""}) < PROOFS or not self.is_on:
                return
            self._audits.clear()
            self._off_until = time.monotonic() + self._pause_s
            self.alarm = (
                f"{PROOFS} programs, the last of them {name}, had other verdicts in a batch than alone; the batch lane "
                f"is off for {self._pause_s:.0f} s"
            )
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
