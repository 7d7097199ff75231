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

import ctypes
import gc
import importlib
import json
import mmap
import os
import random
import resource
import select
import sys
import time
import warnings
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, FrozenImporter
from typing import Any, NoReturn

from . import wire
from .child import Runner
from .kernel import ALL_DESCRIPTORS, PR_SET_PDEATHSIG, SECCOMP_SET_MODE_FILTER, SIGKILL, Kernel
from .layers import Layers
from .probes import probe
from .profiles import PROFILES, Profile
from .screen import RANDOM_SEED, Screen
from .wire import JobHeader, Record, Task

INBOX_BYTES = 2 << 20
TICK_MS = 20  # how often a batch child's progress and processor time are looked at
HEARTBEAT_S = 1.0
BATCH_CPU_MARGIN_S = 10  # a batch child is metered per program; its own limit is only a backstop
EXIT_NOT_STARTED, EXIT_BROKEN = 112, 111
FILLER_BYTES = 64 << 10  # per size class of Python's small-object allocator
ALIGNMENT, LARGEST_SMALL_OBJECT, BYTES_OVERHEAD = 16, 512, 33
PROCESS_CLOCK = 2  # CPUCLOCK_SCHED, the whole process: see clock_getcpuclockid(3)

_fillers: list[list[bytes]] = []


def main() -> None:
    """Set up from the configuration on the request pipe, then serve until it hangs up."""
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
    missing = _preload(profile, config["extra_modules"])
    screen = Screen() if config["screen"] and Screen.known() else None
    runner = Runner(screen)
    _warm_up(runner, profile)
    area = mmap.mmap(-1, wire.AREA_BYTES)
    inbox = mmap.mmap(-1, INBOX_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    layers = Layers(Kernel(), frozenset(config["without"]))
    layers.confine(before_seccomp=_forget_the_outside)
    zygote = Zygote(layers, runner, requests, replies, area, inbox)
    report = {"layers": layers.state, "missing": missing, "screen": screen is not None}
    report |= {"python": sys.version.split()[0], "executable": sys.executable, "machine": layers.kernel.machine}
    report["acts"] = probe(zygote.fork, config["probe"]) if config["probe"] else None
    return zygote, report


def _move_pipes() -> tuple[int, int]:
    """Requests arrived as standard input and replies leave by standard output; no program may find them there."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    return requests, replies


def _preload(profile: Profile, extra_modules: list[str]) -> list[str]:
    """Import everything the programs may use; returns what is not installed."""
    missing = []
    for name in [*profile.modules, *extra_modules]:
        try:
            importlib.import_module(name)
        except ImportError:  # not installed here: programs that want it get the same error
            missing.append(name)
    return missing


def _warm_up(runner: Runner, profile: Profile) -> None:
    warnings.simplefilter("ignore")
    standard = sys.stdin, sys.stdout, sys.stderr
    for source in list(profile.warm_programs) * 5:
        for screened in (False, True) if runner.screen else (False,):
            runner.run(Task(source), 1 << 16, 1 << 13, screened)
    sys.stdin, sys.stdout, sys.stderr = standard


def _forget_the_outside() -> None:
    """Last steps in Python's own world: nothing further is importable, the environment is empty, memory is still."""
    for name in [name for name in sys.modules if name.partition(".")[0] == __name__.partition(".")[0]]:
        del sys.modules[name]
    sys.path[:] = []
    sys.path_hooks[:] = []
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter]
    sys.argv[:] = ["program"]
    sys.orig_argv[:] = ["python"]
    os.environ.clear()
    random.seed(RANDOM_SEED)  # after the last os.fork, which reseeds; every child starts from this state
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(RANDOM_SEED)
    gc.collect()
    gc.disable()
    _fill_holes()
    gc.freeze()


def _fill_holes() -> None:
    """Use up the free places that start-up left scattered over the heap.

    What a child allocates then lies close together, on few pages, and each page it touches costs it a page fault.
    """
    for size in range(BYTES_OVERHEAD + 1, LARGEST_SMALL_OBJECT + 1, ALIGNMENT):
        _fillers.append([bytes(size - BYTES_OVERHEAD) for _ in range(FILLER_BYTES // size)])


class Zygote:
    """Serves jobs; `fork` is also what the probes use, so that they stand exactly where programs stand."""

    def __init__(
        self, layers: Layers, runner: Runner, requests: int, replies: int, area: mmap.mmap, inbox: mmap.mmap
    ) -> None:
        self.kernel = layers.kernel
        self.child_program = layers.child_program
        self.address_space = layers.address_space
        self.runner = runner
        self.requests = requests
        self.replies = replies
        self.area = area
        self.inbox = inbox
        self.pid = os.getpid()
        self._confinements: dict[tuple[int, int], _Confinement] = {}
        self.last_word = time.monotonic()

    def serve(self) -> NoReturn:
        header = bytearray(wire.JOB.size)
        while True:
            self._receive(memoryview(header))
            job = JobHeader(*wire.JOB.unpack(header))
            if job.size > INBOX_BYTES:
                os._exit(EXIT_BROKEN)
            self._receive(memoryview(self.inbox)[: job.size])
            first = 0
            while first < job.programs:
                first = self._run_child(job, first)
            self.inbox.madvise(mmap.MADV_DONTNEED)  # the next child finds no trace of this job's text

    def fork(self, work: Callable[[], int], cpu_s: int, memory_mb: int) -> tuple[int, int]:
        """A child, confined like every program's, that exits with what `work` returns; gives its pid and pidfd."""
        limits = (cpu_s, memory_mb)
        if limits not in self._confinements:
            self._confinements[limits] = _Confinement(self, *limits)
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
        cpu_s = job.cpu_s + (BATCH_CPU_MARGIN_S if job.lane == wire.BATCH else 0)
        started = time.perf_counter()
        try:
            pid, pidfd = self.fork(lambda: self._run_programs(job, first), cpu_s, job.memory_mb)
        except OSError:
            self._send([wire.pack_record(Record(wire.FACTS, first, flags=wire.NO_CHILD))])
            return first + 1
        flags = self._watch(pid, pidfd, job)
        _, status, usage = os.wait4(pid, 0)
        os.close(pidfd)
        wall_us = int((time.perf_counter() - started) * 1e6)
        if _has_children():
            flags |= wire.LEAKED_PROCESS
        started_programs, claims, broken = self._claims(first, job.programs)
        if broken:
            flags |= wire.BROKEN_AREA
        if not started_programs and os.waitstatus_to_exitcode(status) == EXIT_NOT_STARTED:
            flags |= wire.NOT_STARTED
        return self._report(job, first, claims, _Ending(status, usage, wall_us, flags))

    def _run_programs(self, job: JobHeader, first: int) -> int:
        """In the child: run each program and write its claim; the exit code is the child's own word."""
        area, batch = self.area, job.lane == wire.BATCH
        at = wire.AREA.size
        wire.AREA.pack_into(area, 0, 1, 0, 0)
        tasks = wire.unpack_tasks(self.inbox[: job.size], job.programs)
        if not batch:
            gc.enable()
        for index in range(first, job.programs):
            claim = self.runner.run(tasks[index], job.stdout_cap, job.value_cap, batch)
            end = at + wire.FRAME.size + len(claim)
            if end > len(area):
                return wire.EXIT_AREA_FULL
            area[at:end] = wire.FRAME.pack(index, len(claim)) + claim
            at = end
            wire.AREA.pack_into(area, 0, 1, index - first + 1, at)
        return 0

    def _watch(self, pid: int, pidfd: int, job: JobHeader) -> int:
        """Wait until the child ends; kill it at a limit. Ends this process when the supervisor is gone."""
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.register(self.requests, 0)  # a hang-up is always reported
        batch = job.lane == wire.BATCH
        clock = (~pid << 3) | PROCESS_CLOCK
        frames, frames_cpu, deadline = 0, 0.0, time.monotonic() + job.wall_ms / 1e3
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                self.kernel.kill(pidfd)
                return wire.KILLED_WALL
            events = poll.poll(TICK_MS if batch else min(left, HEARTBEAT_S) * 1e3)
            if any(descriptor == self.requests for descriptor, _ in events):
                self.kernel.kill(pidfd)
                os._exit(0)
            if events:
                return 0
            self._beat()
            if batch:
                cpu, seen = time.clock_gettime(clock), wire.AREA.unpack_from(self.area, 0)[1]
                if seen != frames:
                    frames, frames_cpu, deadline = seen, cpu, time.monotonic() + job.wall_ms / 1e3
                elif cpu - frames_cpu > job.cpu_s:
                    self.kernel.kill(pidfd)
                    return wire.KILLED_CPU

    def _claims(self, first: int, count: int) -> tuple[bool, list[bytes], bool]:
        """(did the child get to its programs, the consecutive well-formed claims, is anything else malformed)."""
        started, frames, end = wire.AREA.unpack_from(self.area, 0)
        if frames > count - first or end > len(self.area):
            return bool(started), [], True
        claims: list[bytes] = []
        at = wire.AREA.size
        for index in range(first, first + frames):
            if at + wire.FRAME.size > end:
                return bool(started), claims, True
            claimed_index, length = wire.FRAME.unpack_from(self.area, at)
            at += wire.FRAME.size
            if claimed_index != index or length > wire.CLAIM_BYTES_MAX or at + length > end:
                return bool(started), claims, True
            claims.append(self.area[at : at + length])
            at += length
        return bool(started), claims, False

    def _report(self, job: JobHeader, first: int, claims: list[bytes], ending: "_Ending") -> int:
        """Send a record per claim; the way the child ended goes with the program that it ended in."""
        following = first + len(claims)
        unfinished = following < job.programs
        if unfinished and claims and ending.is_exit(wire.EXIT_AREA_FULL):
            self._send(_mates(first, claims))
        elif unfinished:
            self._send([*_mates(first, claims), ending.record(following, b"")])
            following += 1
        elif job.lane == wire.ISOLATED or not ending.is_exit(0):
            self._send([*_mates(first, claims[:-1]), ending.record(following - 1, claims[-1])])
        else:
            self._send(_mates(first, claims))
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


class _Confinement:
    """What each child does to itself first, prepared as a row of system calls."""

    def __init__(self, zygote: Zygote, cpu_s: int, memory_mb: int) -> None:
        prepared = zygote.kernel.prepared
        memory = zygote.address_space + (memory_mb << 20)
        rows = (
            (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
            (resource.RLIMIT_AS, memory, memory),
            (resource.RLIMIT_NPROC, 0, 0),
        )
        self._limits = [(limit, (ctypes.c_uint64 * 2)(soft, hard)) for limit, soft, hard in rows]
        self._steps = [prepared("prctl", PR_SET_PDEATHSIG, SIGKILL), prepared("close_range", 3, ALL_DESCRIPTORS)]
        self._steps += [prepared("prlimit64", 0, limit, ctypes.addressof(pair)) for limit, pair in self._limits]
        if zygote.child_program:
            self._steps.append(prepared("seccomp", SECCOMP_SET_MODE_FILTER, 0, zygote.child_program.address))
        self._zygote_pid = zygote.pid

    def __call__(self) -> None:
        for step in self._steps:
            if step() < 0:
                os._exit(EXIT_NOT_STARTED)
        if os.getppid() != self._zygote_pid:  # it died between the fork and the first step: nobody would stop us
            os._exit(EXIT_NOT_STARTED)


class _Ending:
    """How a child ended, as the kernel tells it."""

    def __init__(self, status: int, usage: resource.struct_rusage, wall_us: int, flags: int) -> None:
        self.signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self.code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0
        self.usage = usage
        self.wall_us = wall_us
        self.flags = flags

    def is_exit(self, code: int) -> bool:
        return not self.signal and not self.flags and self.code == code

    def record(self, index: int, claim: bytes) -> bytes:
        usage = self.usage
        cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
        flags = self.flags | (wire.HAS_CLAIM if claim else 0)
        waits, preemptions = usage.ru_nvcsw, usage.ru_nivcsw
        observed = (self.signal, self.code, cpu_us, self.wall_us, usage.ru_maxrss, waits, preemptions, flags)
        return wire.pack_record(Record(wire.FACTS, index, *observed, claim))


def _mates(first: int, claims: list[bytes]) -> list[bytes]:
    """Records of programs after which the child went on in good order."""
    facts = (0,) * 7
    return [
        wire.RECORD.pack(wire.FACTS, first + at, *facts, wire.HAS_CLAIM, len(claim)) + claim
        for at, claim in enumerate(claims)
    ]


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
