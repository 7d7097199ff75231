"""Whose turn it is: the calls of `Executor.run` that are under way, what of each waits, and the verdicts received.

Threat model: hostile programs take as long as their limits allow. So zygotes serve the call that has used least of
their time, a turn at a time: one program, or as many as fit into `wire.TURN_S`. Calls of one party count as one. A call
that arrives counts as having used as much as the one that has used least. So it waits for at most one program of every
other call, however many programs they brought.

The promise of this module is that each program gets exactly one verdict: a round does not end while a place is empty.
Whoever no longer wants the verdicts cancels the round's result: what waits is dropped, what runs is killed.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from ...errors import SandboxError
from .program import Program
from .verdict import Verdict

ISOLATED_PROGRAMS = 8  # sent ahead to one zygote: enough to keep it busy, few enough to share the work out


@dataclass(frozen=True, slots=True)
class ProgramJob:
    """Programs that go to one zygote together, e.g. `ProgramJob("isolated", "lean", (4, 9))`."""

    lane: str
    profile: str
    indices: tuple[int, ...]
    attempt: int = 0
    """how often these programs were lost before; above 0 a job has one program"""
    since: float = 0.0
    """the zygote must be younger than this, by the monotonic clock: the one before may have been to blame"""
    audits: tuple[int, ...] = ()
    """for an audit: the whole batch that the sampled `indices` come from"""
    confirms: int = 0
    """how many isolated runs of an audited program before this one differed from the batch, all alike"""


@dataclass(slots=True)
class Party:
    """Whose rounds take turns as one."""

    name: str
    used_s: float = 0.0
    """time of zygotes that they have had, and a head start of as much as others had when the first arrived"""


class Round:
    """One call of `run`, with the verdicts that it has so far; `lock` is that of its schedule."""

    def __init__(self, programs: Sequence[Program], tasks: Sequence[bytes], lock: threading.RLock) -> None:
        self.programs = programs
        self.tasks = tasks
        """the programs, packed"""
        self.verdicts: list[Verdict | None] = [None] * len(programs)
        self.result: Future[list[Verdict]] = Future()
        self.party = Party(programs[0].party if programs else "")
        self.under_way = 0
        self._lock = lock
        self._waiting: deque[ProgramJob] = deque()
        self._suspects: deque[ProgramJob] = deque()

    def add(self, job: ProgramJob) -> None:
        """Let a job wait; what was lost before comes last, so that it costs no other program of the call its zygote."""
        with self._lock:
            if not self.is_cancelled():
                (self._suspects if job.attempt else self._waiting).append(job)

    def add_isolated(self, profile: str, indices: Sequence[int], audits: tuple[int, ...] = ()) -> None:
        for start in range(0, len(indices), ISOLATED_PROGRAMS):
            self.add(ProgramJob("isolated", profile, tuple(indices[start : start + ISOLATED_PROGRAMS]), audits=audits))

    def waiting(self) -> Iterator[ProgramJob]:
        return itertools.chain(self._waiting, self._suspects)

    def take(self, job: ProgramJob) -> None:
        (self._suspects if job.attempt else self._waiting).remove(job)
        self.under_way += 1

    def is_over(self) -> bool:
        return not (self._waiting or self._suspects or self.under_way)

    def is_cancelled(self) -> bool:
        return self.result.cancelled()

    def drop(self) -> None:
        """Let nothing of it wait any longer."""
        self._waiting.clear()
        self._suspects.clear()

    def fail(self, error: Exception) -> None:
        if self.result.set_running_or_notify_cancel():
            self.result.set_exception(error)

    def end(self) -> None:
        if not self.result.set_running_or_notify_cancel():
            return
        missing = [index for index, verdict in enumerate(self.verdicts) if verdict is None]
        if missing:
            error = AssertionError(f"no verdict for programs {missing[:10]} ({len(missing)} in all)")
            self.result.set_exception(error)
        else:
            self.result.set_result([verdict for verdict in self.verdicts if verdict is not None])


class Schedule:
    """The rounds under way; threads that hold a zygote each take jobs from it and say when they are done."""

    def __init__(self) -> None:
        self._rounds: list[Round] = []
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._closed = False

    def add(self, round_: Round) -> None:
        with self._changed:
            parties = [other.party for other in self._rounds]
            round_.party.used_s = min((party.used_s for party in parties), default=0.0)
            if name := round_.party.name:
                round_.party = next((party for party in parties if party.name == name), round_.party)
            self._rounds.append(round_)
            self._end_if_over(round_)
            self._changed.notify_all()
        round_.result.add_done_callback(lambda _: self._forget(round_))

    def take(self, is_ready: Callable[[ProgramJob], bool]) -> tuple[Round, ProgramJob] | None:
        """The next job that `is_ready`, of the round that has used least; blocks until there is one. None once closed.

        `is_ready` is asked again after `wake`.
        """
        with self._changed:
            while not self._closed:
                for round_ in sorted(self._rounds, key=lambda round_: round_.party.used_s):
                    if job := _first(round_.waiting(), is_ready):
                        round_.take(job)
                        return round_, job
                self._changed.wait()
        return None

    def done(self, round_: Round, seconds: float, error: Exception | None = None) -> None:
        """A job of the round is done, and has used `seconds`; an `error` of ours ends the round with it."""
        with self._changed:
            round_.under_way -= 1
            round_.party.used_s += seconds
            if error and round_ in self._rounds:
                self._rounds.remove(round_)
                round_.fail(error)
            elif round_ in self._rounds:
                self._end_if_over(round_)
            self._changed.notify_all()

    def wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let every `take` return; rounds under way fail."""
        with self._changed:
            self._closed = True
            for round_ in self._rounds:
                round_.fail(SandboxError("the executor was closed"))
            self._rounds.clear()
            self._changed.notify_all()

    def _forget(self, round_: Round) -> None:
        """Drop a round that was cancelled; what of it runs, `done` is told of."""
        with self._changed:
            if round_.is_cancelled() and round_ in self._rounds:
                self._rounds.remove(round_)
                round_.drop()

    def _end_if_over(self, round_: Round) -> None:
        if round_.is_over():
            self._rounds.remove(round_)
            round_.end()


def _first(jobs: Iterator[ProgramJob], is_ready: Callable[[ProgramJob], bool]) -> ProgramJob | None:
    """The first job that is ready; of jobs alike in what they need, one is asked about."""
    refused = set()
    for job in jobs:
        need = job.profile, job.since
        if need not in refused:
            if is_ready(job):
                return job
            refused.add(need)
    return None
