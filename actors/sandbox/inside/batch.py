"""The programs of a batch, one after the other in one child, each as if it were alone.

Threat model: the screen (`screen.py`) is what keeps these programs from each other. This module is the second line:
should one of them read frames and attributes after all, it finds its own text and nothing of its mates. What waits to
run and what was claimed so far lie behind iterators of the interpreter, which no attribute and no index leads into.

Memory: a mate must find as much of it as it would alone. So every LOOK_NS the child looks whether a program's whole
allowance is still to be had. If not, it collects the garbage of those that ran, and if that does not help, it ends
early, for a fresh one to go on. The margin above the allowance is four times what a program can fill in this time. What
it reserves without filling may be more; who then finds too little fails for memory, and is run alone.
"""

import gc
import mmap
from collections.abc import Iterator

from .. import wire
from ..wire import JobHeader, ProgramMessage
from .child import ProgramRunner

MEMORY_MARGIN_MB = 16  # of a batch child's limit beyond that of one program
LOOK_NS = 2_000_000  # after which the memory and the time that are left are looked at again
MAP_NORESERVE = 0x4000
_UNTOUCHED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE


def sealed_writer(area: mmap.mmap, claims: list[bytes], first: int) -> Iterator[bool]:
    """Each `next` moves the one claim in `claims` into the shared area; False where it has no room.

    `first` is the index in the job of the program whose claim comes first.
    """
    at, frames = wire.AREA.size, 0

    def write() -> bool:
        nonlocal at, frames
        claim = claims.pop()
        end = at + wire.FRAME.size + len(claim)
        if end > len(area):
            return False
        area[at:end] = wire.FRAME.pack(first + frames, len(claim)) + claim
        at, frames = end, frames + 1
        wire.AREA.pack_into(area, 0, 1, frames, at)
        return True

    return iter(write, None)


def run_batch(
    runner: ProgramRunner, tasks: Iterator[ProgramMessage], claims: list[bytes], written: Iterator[bool], job: JobHeader
) -> int:
    """Run `tasks` until none is left, the turn is over or memory runs short; gives the child's exit code.

    No local of this frame may hold another program's text or claim while a program runs.
    """
    room = job.memory_mb << 20
    gc.freeze()  # the programs that wait are no garbage, and need not be looked through each time
    gc.enable()
    runner.start_clocks()
    turn_ends, look_at = runner.wall_ns + int(wire.TURN_S * 1e9), runner.wall_ns + LOOK_NS
    for task in tasks:
        claims.append(runner.run(task, job.stdout_cap, job.value_cap, True))
        if not next(written):
            return wire.EXIT_CONTINUE
        if runner.wall_ns > look_at:
            if runner.wall_ns > turn_ends or not (_is_left(room) or _is_left_of_garbage(room)):
                return wire.EXIT_CONTINUE
            look_at = runner.wall_ns + LOOK_NS
    return 0


def _is_left(room: int) -> bool:
    """Whether so many bytes of address space could still be had."""
    try:
        mmap.mmap(-1, room, flags=_UNTOUCHED, prot=0).close()
    except (OSError, MemoryError):
        return False
    return True


def _is_left_of_garbage(room: int) -> bool:
    """The same once garbage is gone: a nested function that calls itself is a cycle, and holds its table of results."""
    gc.collect()
    return _is_left(room)
