"""What every engine has spent, counted where it is spent.

An engine notes each sample it works on: id, attempt, tokens generated so far. The notes are durable within a
quarter of a second, also for samples that never finish, so that after any crash the tokens paid for are known: what a
run has spent is the sum over (sample, attempt) of the highest count seen, and whatever is not in a kept completion
is waste.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raydistill.actors.segments import SegmentWriter, read_segments

if TYPE_CHECKING:
    import pyarrow as pa


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number, flag = pa.string(), pa.int64(), pa.bool_()
    return pa.schema(
        [
            ("purpose", text),
            ("sample_id", text),
            ("attempt", text),
            ("tokens", number),
            ("done", flag),
            ("prompt_tokens", number),
            ("estimated", flag),
            ("lost", flag),
        ]
    )


@dataclass(slots=True)
class LedgerEntry:
    """One attempt at one sample. The engine sets `tokens` as they come and calls `finish` at the end.

    Of a model behind a URL it is one HTTP request, which may be for several samples from this one on. What its server
    has not counted is `estimated`; `lost` is what was paid for and came to nothing.
    """

    ledger: Ledger
    sample_id: str
    purpose: str
    tokens: int = 0
    prompt_tokens: int = 0
    estimated: bool = False
    lost: bool = False
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
            "prompt_tokens": self.prompt_tokens,
            "estimated": self.estimated,
            "lost": self.lost,
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
    """Tokens generated according to a ledger folder, finished attempts or not.

    Of models behind a URL also tokens of prompts, how many of the generated ones are estimated, and which part of
    either was lost.
    """

    attempts: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    estimated: int = 0
    lost: int = 0
    lost_estimated: int = 0
    lost_prompts: int = 0


COUNTED = ("tokens", "prompt_tokens", "estimated", "lost")


def read_spending(folder: str, purpose: str = "") -> Spending:
    """Sum over (sample, attempt) of what `folder` says for `purpose`: the note at its end, else the highest count."""
    ended, running = set[tuple[str, str]](), dict[tuple[str, str], tuple[int, int, bool, bool]]()

    def notes() -> Iterator[tuple[int, int, bool, bool]]:
        for table in read_segments(folder):
            names = "purpose", "sample_id", "attempt", "done"
            columns = [table[name].to_pylist() for name in names] + [_column(table, name) for name in COUNTED]
            for booked_on, sample_id, attempt, done, *told in zip(*columns, strict=True):
                key, counts = (sample_id, attempt), (told[0], told[1], told[2], told[3])
                if booked_on == purpose and done:
                    ended.add(key)
                    yield counts
                elif booked_on == purpose:
                    running[key] = max(running.get(key, counts), counts)
        yield from (counts for key, counts in running.items() if key not in ended)

    return _total(notes())


def _column(table: pa.Table, name: str) -> list[Any]:
    """A column of notes; zeros in those of an earlier version, which have none of this name."""
    return table[name].to_pylist() if name in table.column_names else [0] * len(table)


def _total(told: Iterable[tuple[int, int, bool, bool]]) -> Spending:
    """What these attempts have cost together."""
    attempts = tokens = prompts = estimated = lost = lost_estimated = lost_prompts = 0
    for written, prompt, guessed, wasted in told:
        attempts += 1
        tokens += written
        prompts += prompt
        estimated += written * guessed
        lost += written * wasted
        lost_estimated += written * (guessed and wasted)
        lost_prompts += prompt * wasted
    return Spending(attempts, tokens, prompts, estimated, lost, lost_estimated, lost_prompts)
