"""What every engine has spent, counted where it is spent.

An engine notes each sample it works on: id, attempt, tokens generated so far. The notes are durable within a
second, also for samples that never finish, so that after any crash the tokens paid for are known: the spent
tokens of a run are the sum over (sample, attempt) of the highest count seen, and whatever is not in a kept
completion is waste.
"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.segments import SegmentWriter, read_segments

if TYPE_CHECKING:
    import pyarrow as pa


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [("sample_id", pa.string()), ("attempt", pa.string()), ("tokens", pa.int64()), ("done", pa.bool_())]
    )


class Ledger:
    """The notes of one engine process, written to `folder` by a thread of its own every `interval` seconds."""

    def __init__(self, folder: str, *, interval: float = 1.0) -> None:
        self._writer = SegmentWriter(folder, _schema(), interval=interval)
        self._running: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()
        self._interval = interval
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write_regularly, name="ledger", daemon=True)
        self._thread.start()

    def start(self, sample_id: str) -> str:
        """Note the start of an attempt at `sample_id`; returns the attempt's id."""
        attempt = uuid.uuid4().hex[:12]
        with self._lock:
            self._running[sample_id, attempt] = 0
        return attempt

    def count(self, sample_id: str, attempt: str, tokens: int) -> None:
        """Note that the attempt has generated `tokens` tokens so far."""
        with self._lock:
            self._running[sample_id, attempt] = tokens

    def finish(self, sample_id: str, attempt: str) -> None:
        """Note that the attempt is over; its last count stands."""
        with self._lock:
            tokens = self._running.pop((sample_id, attempt))
        self._writer.append([_row(sample_id, attempt, tokens, True)])

    def flush(self) -> None:
        with self._lock:
            running = [_row(*key, tokens, False) for key, tokens in self._running.items()]
        self._writer.flush(running)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self.flush()

    def _write_regularly(self) -> None:
        while not self._closed.wait(self._interval):
            self.flush()


def _row(sample_id: str, attempt: str, tokens: int, done: bool) -> dict[str, object]:
    return {"sample_id": sample_id, "attempt": attempt, "tokens": tokens, "done": done}


@dataclass(frozen=True, slots=True)
class Spending:
    """Tokens generated according to a ledger folder, finished attempts or not."""

    attempts: int
    tokens: int


def read_spending(folder: str) -> Spending:
    """Sum of the highest token count of every (sample, attempt) in `folder`."""
    highest: dict[tuple[str, str], int] = {}
    for table in read_segments(folder):
        columns = (table[name].to_pylist() for name in ("sample_id", "attempt", "tokens"))
        for sample_id, attempt, tokens in zip(*columns, strict=True):
            key = (sample_id, attempt)
            highest[key] = max(highest.get(key, 0), tokens)
    return Spending(len(highest), sum(highest.values()))
