"""The zygote: one interpreter, locked down once, that forks a child for each program or screened batch.

    read configuration -> preload and warm up -> layers -> report ready -> for each job: fork, watch, reap,
    report

Threat model: children are hostile and inherit this process's memory, but not its descriptors: they keep 0, 1
and 2 (all /dev/null) and the shared area into which they write what they claim. The zygote holds no gold
answer and never more than the job at hand, whose text it drops as soon as the child is gone. It reads the
shared area only after the child is dead, and takes from it nothing but lengths. It cannot be signalled or
traced by a child; if the supervisor goes away, it notices at once (its request pipe hangs up) and ends, and
every child with it.
"""

import gc
import json
import mmap
import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from .. import wire
from ..profiles import LEAN, PROFILES
from ..wire import JobHeader, Record
from .batch import MEMORY_MARGIN_MB, run_batch, sealed_writer
from .child import ProgramRunner
from .ending import Ending, claims_in, mates
from .kernel import Kernel
from .layers import EXIT_NOT_STARTED, ChildConfinement, Layers
from .preparation import forget_the_outside, keep_still, preload, warm_up
from .probes import probe
from .screen import Screen

INBOX_BYTES = 2 << 20
TICK_MS = 20  # how often a batch child's progress and processor time are looked at
HEARTBEAT_S = 0.25  # at each, the supervisor looks at how long the child has waited for a processor
BATCH_CPU_MARGIN_S = 10  # a batch child is metered per program; its own limit is only a backstop
EXIT_BROKEN = 111
PROCESS_CLOCK = 2  # CPUCLOCK_SCHED, the whole process: see clock_getcpuclockid(3)


def main() -> None:
    """Set up from the configuration on the request pipe, then serve until it hangs up."""
    gc.disable()  # for a faster start, and so that none falls into a child's start; children turn it on again
    requests, replies = _move_pipes()
    try:
        config = json.loads(_read_exactly(requests, wire.LENGTH.unpack(_read_exactly(requests, 4))[0]))
        zygote, report = _prepare(config, requests, replies)
    except Exception as error:
        _write_message(replies, {"error": f"{type(error).__name__}: {error}"})
        return
    _write_message(replies, report)
    zygote.serve()


def _prepare(config: dict[str, Any], requests: int, replies: int) -> tuple["Zygote", dict[str, Any]]:
    profile = PROFILES[config["profile"]]
    missing = preload(profile, config["extra_modules"])
    screen = Screen() if profile is LEAN and config["screen"] and Screen.known() else None
    runner = ProgramRunner(screen)
    warm_up(runner, profile)
    area = mmap.mmap(-1, wire.AREA_BYTES)
    inbox = mmap.mmap(-1, INBOX_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    layers = Layers(Kernel(), frozenset(config["without"]))
    layers.confine(before_seccomp=forget_the_outside)
    layers.kernel.trim_heap()
    zygote = Zygote(layers, runner, requests, replies, area, inbox)
    report = {"layers": layers.state, "missing": missing, "screen": screen is not None}
    report |= {"python": sys.version.split()[0], "executable": sys.executable, "machine": layers.kernel.machine}
    report["acts"] = probe(zygote.fork, config["probe"]) if config["probe"] else None
    keep_still()
    return zygote, report


def _move_pipes() -> tuple[int, int]:
    """Requests arrived as standard input and replies leave by standard output; no program may find them there."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return requests, replies


class Zygote:
    """Serves jobs; `fork` is also what the probes use, so that they stand exactly where programs stand."""

    def __init__(
        self, layers: Layers, runner: ProgramRunner, requests: int, replies: int, area: mmap.mmap, inbox: mmap.mmap
    ) -> None:
        self.layers = layers
        self.kernel = layers.kernel
        self.runner = runner
        self.requests = requests
        self.replies = replies
        self.area = area
        self.inbox = inbox
        self._confinements: dict[tuple[int, int], ChildConfinement] = {}
        self.last_word = time.monotonic()
        self.poll = select.poll()
        self.poll.register(requests, 0)  # a hang-up is always reported

    def serve(self) -> NoReturn:
        header = bytearray(wire.JOB.size)
        turn_ends, begun = 0.0, False
        while True:
            self._receive(memoryview(header))
            job = JobHeader(*wire.JOB.unpack(header))
            if job.size > INBOX_BYTES:
                os._exit(EXIT_BROKEN)
            self._receive(memoryview(self.inbox)[: job.size])
            if job.lane != wire.FOLLOWING:
                turn_ends, begun = time.monotonic() + wire.TURN_S, False
            first = 0
            while first < job.programs and not (begun and time.monotonic() > turn_ends):
                first, begun = self._run_child(job, first), True
            self._put_back(first, job.programs)
            self.inbox.madvise(mmap.MADV_DONTNEED)  # the next child finds no trace of this job's text

    def fork(self, work: Callable[[], int], cpu_s: int, memory_mb: int) -> tuple[int, int]:
        """A child, confined like every program's, that exits with what `work` returns; gives its pid and pidfd."""
        limits = (cpu_s, memory_mb)
        if limits not in self._confinements:
            self._confinements[limits] = ChildConfinement(self.layers, *limits)
        confine = self._confinements[limits]
        pid, pidfd = self.kernel.clone_child()
        if pid:
            return pid, pidfd
        code = EXIT_NOT_STARTED
        try:
            confine()
            code = EXIT_BROKEN
            code = work()
        finally:
            os._exit(code)

    def _run_child(self, job: JobHeader, first: int) -> int:
        """Run the programs from `first` on in one child; returns the first index it did not account for."""
        self.area.madvise(mmap.MADV_REMOVE)  # zeroes it: no claim of an earlier child is left to read
        cpu_s, memory_mb, work = job.cpu_s, job.memory_mb, self._run_program
        if job.lane == wire.BATCH:
            cpu_s, memory_mb, work = cpu_s + BATCH_CPU_MARGIN_S, memory_mb + MEMORY_MARGIN_MB, self._run_mates
        started = time.perf_counter()
        try:
            pid, pidfd = self.fork(lambda: work(job, first), cpu_s, memory_mb)
        except OSError:
            self._send([wire.pack_record(Record(wire.FACTS, first, flags=wire.NO_CHILD))])
            return first + 1
        flags = self._watch(pid, pidfd, job)
        _, status, usage = os.wait4(pid, 0)
        os.close(pidfd)
        wall_us = int((time.perf_counter() - started) * 1e6)
        if _has_children():
            flags |= wire.LEAKED_PROCESS
        started_programs, claims, broken = claims_in(self.area, first, job.programs)
        if broken:
            flags |= wire.BROKEN_AREA
        if not started_programs and os.waitstatus_to_exitcode(status) == EXIT_NOT_STARTED:
            flags |= wire.NOT_STARTED
        return self._report(job, first, claims, Ending(status, usage, wall_us, flags))

    def _run_program(self, job: JobHeader, first: int) -> int:
        """In the child: run the one program of `job` and write its claim; the exit code is the child's own word."""
        wire.AREA.pack_into(self.area, 0, 1, 0, 0)
        [task] = wire.unpack_tasks(self.inbox[: job.size], job.programs)
        gc.enable()
        claim = self._claim(task, job)
        at, end = wire.AREA.size, wire.AREA.size + wire.FRAME.size + len(claim)
        self.area[at:end] = wire.FRAME.pack(first, len(claim)) + claim
        wire.AREA.pack_into(self.area, 0, 1, 1, end)
        return 0

    def _claim(self, task: wire.ProgramMessage, job: JobHeader) -> bytes:
        """A frame of its own, so that a program has the same depth of stack left as in a batch."""
        self.runner.start_clocks()
        return self.runner.run(task, job.stdout_cap, job.value_cap, False)

    def _run_mates(self, job: JobHeader, first: int) -> int:
        """In the child: run the programs from `first` on. Nothing that their frames lead to holds texts or claims."""
        wire.AREA.pack_into(self.area, 0, 1, 0, 0)
        tasks = iter(wire.unpack_tasks(self.inbox[: job.size], job.programs)[first:])
        claims: list[bytes] = []
        written = sealed_writer(self.area, claims, first)
        self.inbox.close()
        del self.inbox, self.area
        return run_batch(self.runner, tasks, claims, written, job)

    def _put_back(self, first: int, count: int) -> None:
        """Tell that the programs from `first` on have not begun, their turn being over."""
        if first < count:
            self._send([wire.pack_record(Record(wire.FACTS, n, flags=wire.PUT_BACK)) for n in range(first, count)])

    def _watch(self, pid: int, pidfd: int, job: JobHeader) -> int:
        """Wait until the child ends; kill it at a limit. Ends this process when the supervisor is gone."""
        self.poll.register(pidfd, select.POLLIN)
        # Nearly every child ends within a tick. Until then nothing is worked out: what this process writes while
        # a child lives costs it a copied page each.
        flags = 0 if self._has_ended(pidfd, TICK_MS) else self._meter(pid, pidfd, job)
        self.poll.unregister(pidfd)
        return flags

    def _has_ended(self, pidfd: int, wait_ms: float) -> bool:
        events = self.poll.poll(wait_ms)
        if any(descriptor == self.requests for descriptor, _ in events):
            self.kernel.kill(pidfd)
            os._exit(0)
        return bool(events)

    def _meter(self, pid: int, pidfd: int, job: JobHeader) -> int:
        """Hold a child that takes its time against the limits, in a batch those of each of its programs."""
        batch = job.lane == wire.BATCH
        clock = (~pid << 3) | PROCESS_CLOCK
        frames, frames_cpu, deadline = 0, 0.0, time.monotonic() + job.wall_ms / 1e3
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                self.kernel.kill(pidfd)
                return wire.KILLED_WALL
            if self._has_ended(pidfd, TICK_MS if batch else min(left, HEARTBEAT_S) * 1e3):
                return 0
            self._beat()
            if batch:
                cpu, seen = time.clock_gettime(clock), wire.AREA.unpack_from(self.area, 0)[1]
                if seen != frames:
                    frames, frames_cpu, deadline = seen, cpu, time.monotonic() + job.wall_ms / 1e3
                elif cpu - frames_cpu > job.cpu_s:
                    self.kernel.kill(pidfd)
                    return wire.KILLED_CPU

    def _report(self, job: JobHeader, first: int, claims: list[bytes], ending: "Ending") -> int:
        """Send a record per claim; the way the child ended goes with the program that it ended in."""
        following = first + len(claims)
        unfinished = following < job.programs
        if unfinished and claims and ending.is_exit(wire.EXIT_CONTINUE):
            self._send(mates(first, claims))
        elif unfinished:
            self._send([*mates(first, claims), ending.record(following, b"")])
            following += 1
        elif job.lane != wire.BATCH or not (ending.is_exit(0) or ending.is_exit(wire.EXIT_CONTINUE)):
            self._send([*mates(first, claims[:-1]), ending.record(following - 1, claims[-1])])
        else:
            self._send(mates(first, claims))
        return following

    def _send(self, records: list[bytes]) -> None:
        self.last_word = time.monotonic()
        data = memoryview(b"".join(records))
        while data:
            data = data[os.write(self.replies, data) :]

    def _beat(self) -> None:
        if time.monotonic() - self.last_word >= HEARTBEAT_S:
            self._send([wire.pack_record(Record(wire.HEARTBEAT))])

    def _receive(self, target: memoryview) -> None:
        while target:
            count = os.readv(self.requests, [target])
            if not count:
                os._exit(0)
            target = target[count:]


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def _read_exactly(descriptor: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(descriptor, count)
        if not part:
            os._exit(0)
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _write_message(descriptor: int, message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    data = memoryview(wire.LENGTH.pack(len(body)) + body)
    while data:
        data = data[os.write(descriptor, data) :]
