"""The trusted end: starts a zygote, sends it jobs, receives records, and replaces it when it is lost.

Threat model: everything that comes back is data about a hostile process. Records are fixed-layout binary with
bounded lengths; a zygote that says anything else, or nothing for SILENCE_S, is killed and its unfinished jobs
are somebody else's to repeat. The zygote is spawned, never forked, so that nothing of this process (weights,
sockets, secrets in the environment) is in its memory; configuration travels over the pipe because /proc shows
arguments to everyone.
"""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import SandboxError
from .. import wire
from ..profiles import PROFILES
from ..wire import Record

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
SILENCE_S = 30.0  # the zygote says something four times a second
RECYCLE_FORKS = 20_000
RECYCLE_S = 600.0
SPENT = 2  # times its age in forks, a worn zygote serves no more; until then it does while its successor starts
READ_BYTES = 1 << 16
# Built from nothing: no variable of the host gets in. `-I` would do that too, but would also ignore PYTHONHASHSEED.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "LD_BIND_NOW": "1",  # symbols are bound once, not anew in each child
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class ZygoteLost(Exception):
    """The zygote died, fell silent or spoke nonsense; what it had not reported must be run again."""


class Waited(NamedTuple):
    """What the kernel says of a child that runs: seconds in which it wanted a processor and had none, and its state."""

    seconds: float
    state: str
    """R: it runs or wants to; S: it sleeps; T: somebody stopped it"""


def look_at_child(zygotes: Sequence[int]) -> Waited | None:
    """The waiting of the zygote's child up to now; None where the kernel does not tell, or it has just ended."""
    try:
        child = _child(zygotes)
        state = _read(f"{child}/stat").rpartition(")")[2].split()[0]
        return Waited(int(_read(f"{child}/schedstat").split()[1]) / 1e9, state)
    except (OSError, ValueError, IndexError):
        return None


def kill_child(zygotes: Sequence[int]) -> None:
    """End the zygote's child, whose verdict nobody wants any more; nothing where it has just ended."""
    with suppress(OSError, ValueError):
        child = _child(zygotes)
        pidfd = os.pidfd_open(child)
        try:
            if _child(zygotes) == child:  # else the number may be another process's by now
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)


def _child(zygotes: Sequence[int]) -> int:
    """The one child that runs. ValueError where there is none."""
    [child] = [pid for zygote in zygotes for pid in _read(f"{zygote}/task/{zygote}/children").split()]
    return int(child)


def _read(path: str) -> str:
    return Path("/proc", path).read_text()


@dataclass(frozen=True, slots=True)
class JailOptions:
    """How a zygote is set up. The last two are for tests and diagnosis."""

    python: str
    profile: str = "lean"
    screen: bool = True
    extra_modules: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


class Jail:
    """One zygote process, from its start to its loss; used by one thread at a time."""

    def __init__(self, options: JailOptions) -> None:
        self.options = options
        self.forks = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.report: dict[str, Any] = {}
        self.is_suspect = False
        self.started_at = 0.0
        self.waited: Waited | None = None
        """what was last seen of the program that runs, or of the one that the latest record is about"""

    def start(self, probe: dict[str, Any] | None = None) -> dict[str, Any]:
        """Start (or restart) the zygote; returns its report, with the outcome of each probe if asked for."""
        self.stop()
        self._spawn()
        config = {"profile": self.options.profile, "screen": self.options.screen, "probe": probe}
        config |= {"extra_modules": self.options.extra_modules, "without": self.options.without}
        body = json.dumps(config).encode()
        self.report = self._handshake(wire.LENGTH.pack(len(body)) + body)
        return self.report

    def _spawn(self) -> None:
        command = [
            self.options.python,
            "-s",
            "-B",
            *PROFILES[self.options.profile].flags,
            str(Path(__file__).parent.parent),
        ]
        request_end, self._requests = os.pipe()
        self._replies, reply_end = os.pipe()
        try:
            self.process = subprocess.Popen(
                command,
                stdin=request_end,
                stdout=reply_end,
                stderr=subprocess.DEVNULL,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._requests)
            os.close(self._replies)
            raise SandboxError(f"the sandbox interpreter does not start: {error}") from error
        finally:
            os.close(request_end)
            os.close(reply_end)
        os.set_blocking(self._requests, False)
        self._inbox = bytearray()
        self.forks = 0
        self.started_at = time.monotonic()

    def run(self, jobs: Sequence[bytes], count: int, unwanted: Callable[[], bool]) -> Iterator[Record]:
        """Send packed jobs and yield the `count` records they produce, as they come. ZygoteLost on any trouble.

        Four times a second `unwanted` is asked whether what runs may be killed.
        """
        if self.process is None:
            raise ZygoteLost("not running")
        self.forks += len(jobs)
        for data in self._exchange(b"".join(jobs)):
            self._inbox += data
            at = 0
            while (parsed := wire.unpack_record(self._inbox, at)) is not None:
                record, at = parsed
                if record.type == wire.HEARTBEAT:
                    self.waited = look_at_child(self.zygote_pids())
                    if unwanted():
                        kill_child(self.zygote_pids())
                    continue
                yield record
                self.waited = None
                count -= 1
            del self._inbox[:at]
            if len(self._inbox) > wire.CLAIM_BYTES_MAX + wire.RECORD.size + READ_BYTES:
                raise ZygoteLost("a record too large")
            if count <= 0:
                return

    def is_worn(self) -> bool:
        """Whether it is due for recycling: a fresh heap and a fresh address layout."""
        return self.forks > RECYCLE_FORKS or self.age_s() > RECYCLE_S

    def is_spent(self) -> bool:
        """Whether it must not serve any longer."""
        return self.forks > SPENT * RECYCLE_FORKS or self.age_s() > SPENT * RECYCLE_S

    def age_s(self) -> float:
        return time.monotonic() - self.started_at

    def zygote_pids(self) -> list[int]:
        """The zygote's process: the inner one of its pid namespace where it has one, else the spawned one."""
        if self.process is None:
            return []
        if self.report["layers"]["namespaces"] != "on":
            return [self.process.pid]
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def stop(self) -> None:
        """Kill the zygote and everything in it."""
        if self.process is None:
            return
        process, self.process = self.process, None
        os.close(self._requests)
        os.close(self._replies)
        process.terminate()  # the waiting outer process kills the zygote, reaps it and ends
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _handshake(self, config: bytes) -> dict[str, Any]:
        received = bytearray()
        try:
            for data in self._exchange(config, START_TIMEOUT_S):
                received += data
                if len(received) >= 4 and len(received) - 4 >= wire.LENGTH.unpack_from(received)[0]:
                    break
        except ZygoteLost as error:
            self.stop()
            raise SandboxError(f"the sandbox did not start ({self.options.python}): {error}") from error
        report = json.loads(received[4:])
        if "error" in report:
            self.stop()
            raise SandboxError(f"the sandbox did not start ({self.options.python}): {report['error']}")
        return report

    def _exchange(self, outgoing: bytes, patience_s: float = SILENCE_S) -> Iterator[bytes]:
        """Write `outgoing` as the pipe takes it while yielding what arrives, until the caller stops."""
        poll = select.poll()
        poll.register(self._replies, select.POLLIN)
        waiting = memoryview(outgoing)
        if waiting:
            poll.register(self._requests, select.POLLOUT)
        while True:
            events = poll.poll(patience_s * 1e3)
            if not events:
                raise ZygoteLost(f"silent for {patience_s:.0f} s")
            for descriptor, _ in events:
                if descriptor == self._requests:
                    waiting = self._write_some(waiting)
                    if not waiting:
                        poll.unregister(self._requests)
                else:
                    data = os.read(self._replies, READ_BYTES)
                    if not data:
                        raise ZygoteLost("it ended")
                    yield data

    def _write_some(self, waiting: memoryview) -> memoryview:
        try:
            return waiting[os.write(self._requests, waiting) :]
        except BlockingIOError:
            return waiting
        except BrokenPipeError as error:
            raise ZygoteLost("it ended") from error
