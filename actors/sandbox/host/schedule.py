"""The state of one `Executor.run`: programs waiting per lane, jobs in flight, verdicts received.

Threat model: none of its own; it holds no program output but verdicts. Its promise is that each program gets
exactly one verdict: `done` refuses to end while a place is empty.
"""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
    """how often these programs were lost before; above 0 a job has one program and a fresh zygote"""
    audits: tuple[int, ...] = ()
    """for an audit: the whole batch that the sampled `indices` come from"""
    confirms: bool = False
    """the second run of an audited program whose first one differed from the batch"""


class Round:
    """One call of `run`; its workers take jobs and hand in verdicts from several threads."""

    def __init__(self, programs: Sequence[Program], tasks: Sequence[bytes]) -> None:
        self.programs = programs
        self.tasks = tasks
        """the programs, packed"""
        self.verdicts: list[Verdict | None] = [None] * len(programs)
        self._waiting: deque[ProgramJob] = deque()
        self._under_way = 0
        self._changed = threading.Condition()

    def add(self, job: ProgramJob) -> None:
        with self._changed:
            self._waiting.append(job)
            self._changed.notify()

    def add_isolated(self, profile: str, indices: Sequence[int], audits: tuple[int, ...] = ()) -> None:
        for start in range(0, len(indices), ISOLATED_PROGRAMS):
            self.add(ProgramJob("isolated", profile, tuple(indices[start : start + ISOLATED_PROGRAMS]), audits=audits))

    def __len__(self) -> int:
        return len(self._waiting)

    def jobs(self) -> Iterator[ProgramJob]:
        """Jobs until none is left and none under way can bring new ones."""
        while True:
            with self._changed:
                while not self._waiting and self._under_way:
                    self._changed.wait()
                if not self._waiting:
                    return
                job = self._waiting.popleft()
                self._under_way += 1
            try:
                yield job
            finally:
                with self._changed:
                    self._under_way -= 1
                    self._changed.notify_all()

    def done(self) -> list[Verdict]:
        missing = [index for index, verdict in enumerate(self.verdicts) if verdict is None]
        if missing:
            raise AssertionError(f"no verdict for programs {missing[:10]} ({len(missing)} in all)")
        return [verdict for verdict in self.verdicts if verdict is not None]
