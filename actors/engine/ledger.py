"""What every engine has spent, counted where it is spent.

An engine notes each sample it works on: id, attempt, tokens generated so far. The notes are durable within a
quarter of a second, also for samples that never finish, so that after any crash the tokens paid for are known: what a
run has spent is the sum over (sample, attempt) of the highest count seen, and whatever is not in a kept completion
is waste.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raydistill.actors.segments import SegmentWriter, read_segments

if TYPE_CHECKING:
    import pyarrow as pa


def _schema() -> pa.Schema:
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [("purpose", text), ("sample_id", text), ("attempt", text), ("tokens", pa.int64()), ("done", pa.bool_())]
    )


@dataclass(slots=True)
class LedgerEntry:
    """One attempt at one sample. The engine sets `tokens` as they come and calls `finish` at the end."""

    ledger: Ledger
    sample_id: str
    purpose: str
    tokens: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def finish(self) -> None:
        """The attempt is over, in whichever way; its last count stands."""
        self.ledger.finish(self)

    def row(self, done: bool) -> dict[str, object]:
        return {
            "purpose": self.purpose,
            "sample_id": self.sample_id,
            "attempt": self.id,
            "tokens": self.tokens,
            "done": done,
        }


class Ledger:
    """The notes of one engine process, written to `folder` by a thread of its own every `interval` seconds."""

    def __init__(self, folder: str, *, interval: float = 0.25) -> None:
        self._writer = SegmentWriter(folder, _schema(), interval=interval)
        self._running: dict[str, LedgerEntry] = {}
        self._lock = threading.Lock()
        self._interval = interval
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write_regularly, name="ledger", daemon=True)
        self._thread.start()

    def start(self, sample_id: str, purpose: str = "") -> LedgerEntry:
        """Note the start of an attempt at `sample_id`, whose tokens are booked on `purpose`."""
        attempt = LedgerEntry(self, sample_id, purpose)
        with self._lock:
            self._running[attempt.id] = attempt
        return attempt

    def finish(self, attempt: LedgerEntry) -> None:
        with self._lock:
            del self._running[attempt.id]
        self._writer.append([attempt.row(done=True)])

    def flush(self) -> None:
        with self._lock:
            running = [attempt.row(done=False) for attempt in self._running.values()]
        self._writer.flush(running)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self.flush()

    def _write_regularly(self) -> None:
        while not self._closed.wait(self._interval):
            self.flush()


@dataclass(frozen=True, slots=True)
class Spending:
    """Tokens generated according to a ledger folder, finished attempts or not."""

    attempts: int
    tokens: int


def read_spending(folder: str, purpose: str = "") -> Spending:
    """Sum over (sample, attempt) of the highest token count noted in `folder` for `purpose`."""
    highest: dict[tuple[str, str], int] = {}
    for table in read_segments(folder):
        columns = (table[name].to_pylist() for name in ("purpose", "sample_id", "attempt", "tokens"))
        for booked_on, sample_id, attempt, tokens in zip(*columns, strict=True):
            if booked_on == purpose:
                key = (sample_id, attempt)
                highest[key] = max(highest.get(key, 0), tokens)
    return Spending(len(highest), sum(highest.values()))
