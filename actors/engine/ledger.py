"""What every engine has spent, counted where it is spent.

An engine notes each sample it works on: id, attempt, tokens generated so far. The notes are durable within a
quarter of a second, also for samples that never finish, so that after any crash the tokens paid for are known: what a
run has spent is the sum over (sample, attempt) of the highest count seen, and whatever is not in a kept completion
is waste.
"""

from __future__ import annotations

import threading
import uuid
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from raydistill.actors.segments import SegmentWriter, list_versions, read_segment
from raydistill.actors.storage import resolve

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
    """Tokens generated according to a ledger folder, finished attempts or not, and those of their prompts.

    Of models behind URLs also how many of the generated ones are estimated, and which part of either was lost.
    """

    attempts: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    estimated: int = 0
    lost: int = 0
    lost_estimated: int = 0
    lost_prompts: int = 0

    def __add__(self, other: Spending) -> Spending:
        return Spending(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


Counts = tuple[int, int, bool, bool]  # generated tokens, tokens of the prompt, estimated, lost
COUNTED = ("tokens", "prompt_tokens", "estimated", "lost")


@dataclass(slots=True)
class _Notes:
    """What one segment says: attempts that have ended, summed up by purpose, and those under way."""

    ended: pa.Array
    sums: dict[str, Spending]
    running: dict[str, tuple[str, Counts]]  # by attempt: purpose, counts


class LedgerReader:
    """Sums up a ledger folder as often as asked; of its segments only those are read that have changed."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[str, tuple[tuple[int, int], _Notes]] = {}  # by path: size and date, notes

    def read(self, *, ended: bool = False) -> dict[str, Spending]:
        """What was spent by purpose: an attempt's note at its end, else its highest count, or (`ended`) nothing."""
        filesystem, _ = resolve(self._folder)
        for path, version in list_versions(self._folder):
            if path not in self._files or self._files[path][0] != version:
                self._files[path] = version, _read_notes(read_segment(filesystem, path))
        notes = [notes for _, notes in self._files.values()]
        running = {} if ended else _under_way(notes)
        sums = defaultdict[str, Spending](Spending)
        for purpose, spent in [item for one in notes for item in one.sums.items()]:
            sums[purpose] += spent
        for purpose, counts in running.values():
            sums[purpose] += _spent(counts)
        return dict(sums)


def read_spending(folder: str, purpose: str = "") -> Spending:
    """What a ledger folder says was spent on `purpose`."""
    return LedgerReader(folder).read().get(purpose, Spending())


def _read_notes(table: pa.Table) -> _Notes:
    sums, running = defaultdict[str, Spending](Spending), dict[str, tuple[str, Counts]]()
    columns = [table[name].to_pylist() for name in ("purpose", "attempt", "done")]
    for purpose, attempt, done, *told in zip(*columns, *(_column(table, name) for name in COUNTED), strict=True):
        counts = told[0], told[1], told[2], told[3]
        if done:
            sums[purpose] += _spent(counts)
        else:
            running[attempt] = purpose, counts
    return _Notes(table.filter(table["done"])["attempt"].combine_chunks(), dict(sums), running)


def _under_way(notes: Iterable[_Notes]) -> dict[str, tuple[str, Counts]]:
    """The attempts of which no end is noted, each with its highest counts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    highest: dict[str, tuple[str, Counts]] = {}
    for attempt, (purpose, counts) in [item for one in notes for item in one.running.items()]:
        highest[attempt] = purpose, max(counts, highest[attempt][1] if attempt in highest else counts)
    started = pa.array(list(highest), pa.string())
    for one in notes:
        for attempt in one.ended.filter(pc.is_in(one.ended, value_set=started)).to_pylist():
            highest.pop(attempt, None)
    return highest


def _column(table: pa.Table, name: str) -> list[Any]:
    """A column of notes; zeros in those of an earlier version, which have none of this name."""
    return table[name].to_pylist() if name in table.column_names else [0] * len(table)


def _spent(counts: Counts) -> Spending:
    """What an attempt has cost."""
    written, prompt, guessed, wasted = counts
    return Spending(
        1, written, prompt, written * guessed, written * wasted, written * (guessed and wasted), prompt * wasted
    )
