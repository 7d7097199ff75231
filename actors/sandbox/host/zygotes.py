"""The zygotes of one processor core, by what they have loaded; new ones start beside those that work.

Threat model: a program must not make others wait for a start. A zygote that is worn, or under suspicion because one of
its children wrote rubbish, goes on until its successor is ready: children reach none of its memory, so the suspicion is
a precaution. Only one that has died leaves a gap, and meanwhile the core serves programs of other profiles.
"""

from collections.abc import Callable
from concurrent.futures import Executor as Threads
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from ...errors import SandboxError
from ..profiles import LEAN
from .schedule import ProgramJob
from .supervisor import Jail, JailOptions

STARTS = 3  # of a zygote that does not come up, 0.1 and 0.5 s apart
SUSPECTED_AGE_S = 10.0  # one under suspicion is replaced once it is so old: whoever arouses it could keep us starting


class ZygoteSlot:
    """The zygotes of one core: a lean one, and the others from the first program that needs them.

    One thread works with a slot; `threads` start and stop zygotes for it, and call `wake` when one is there.
    """

    def __init__(self, options: JailOptions, threads: Threads, wake: Callable[[], None]) -> None:
        self.options = options
        self.layers: dict[str, str] = {}
        """what the probed zygote had; one that confines less is not used"""
        self.jails: dict[str, Jail] = {}
        self._threads, self._wake = threads, wake
        self._starting: dict[str, Future[Jail]] = {}
        self._failed: dict[str, str] = {}

    def start_probed(self, probe: dict[str, Any]) -> dict[str, Any]:
        """Start the first lean zygote and let it try every forbidden act."""
        jail = self.jails[LEAN.name] = Jail(self.options)
        report = jail.start(probe)
        self.layers = report["layers"]
        return report

    def start(self, profile: str) -> None:
        """Start a zygote and wait for it. SandboxError where that fails."""
        self.jails[profile] = self._started(profile)

    def is_ready(self, job: ProgramJob) -> bool:
        """Whether `jail` has an answer for this job now; if not, what is missing is being started."""
        self._adopt()
        jail = self.jails.get(job.profile)
        usable = jail is not None and jail.process is not None and jail.started_at >= job.since
        if not usable or (jail and (jail.is_worn() or jail.is_suspect and jail.age_s() > SUSPECTED_AGE_S)):
            self._begin(job.profile)
        return (usable and jail is not None and not jail.is_spent()) or job.profile in self._failed

    def jail(self, profile: str) -> Jail:
        """The running zygote with this profile. SandboxError where it could not be started."""
        if why := self._failed.pop(profile, ""):
            raise SandboxError(why)
        return self.jails[profile]

    def stop(self) -> None:
        """End all zygotes, also those that are being started."""
        for starting in self._starting.values():
            if not starting.cancel() and not starting.exception():
                starting.result().stop()
        for jail in self.jails.values():
            jail.stop()

    def _adopt(self) -> None:
        """Put those that have started in the place of their predecessors."""
        for profile in [profile for profile, starting in self._starting.items() if starting.done()]:
            starting = self._starting.pop(profile)
            if error := starting.exception():
                self._failed[profile] = str(error)
                continue
            if profile in self.jails:
                self._threads.submit(self.jails[profile].stop)
            self.jails[profile] = starting.result()

    def _begin(self, profile: str) -> None:
        if profile not in self._starting and profile not in self._failed:
            self._starting[profile] = self._threads.submit(self._started, profile)
            self._starting[profile].add_done_callback(lambda _: self._wake())

    def _started(self, profile: str) -> Jail:
        jail = Jail(replace(self.options, profile=profile))
        # What kept it from starting, as a rule memory or processes, may be given back meanwhile.
        again = Retrying(
            retry=retry_if_exception_type(SandboxError),
            stop=stop_after_attempt(STARTS),
            wait=wait_exponential(multiplier=0.1, exp_base=5),
            reraise=True,
        )
        for attempt in again:
            with attempt:
                report = jail.start()
        if report["layers"] != self.layers:
            jail.stop()
            raise SandboxError(f"a new zygote has other layers than the one that was probed: {report['layers']}")
        return jail
