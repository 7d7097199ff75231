"""What travels between supervisor, zygote and child: fixed binary layouts, one place for all three.

    supervisor --JOB + TASK headers + texts--> zygote            (pipe; trusted sender)
    child      --AREA header + FRAMEs of CLAIM bodies--> zygote  (shared memory; hostile sender)
    zygote     --RECORDs: observed facts + one claim--> supervisor  (pipe)

Threat model: a child may write anything into the shared area. The zygote reads it only after the child is
dead and reaped, and passes on only consecutive indices with bounded lengths; the claim bodies are decoded by
the supervisor (`verdict.py`), which treats each as what one program says about itself.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from . import values

JOB = struct.Struct("<IBHIIIII")  # bytes that follow, lane, programs, cpu s, wall ms, memory MB, stdout cap, value cap
TASK = struct.Struct("<BIIII")  # mode, then the lengths of source, stdin, entry, calls
AREA = struct.Struct("<III")  # have programs started, frames written, where they end
FRAME = struct.Struct("<HI")  # program index in the job, length of the claim
CLAIM = struct.Struct("<cIIIIIQQ")  # outcome, lengths of value, label, message, stdout; total printed, cpu ns, wall ns
RECORD = struct.Struct("<BHBBIIIIIII")  # type, index, signal, code, cpu us, wall us, maxrss kB, switches x2, flags, len
LENGTH = struct.Struct("<I")

ISOLATED, BATCH, FOLLOWING = 0, 1, 2  # following: isolated, sent ahead behind another one
SOLUTION, EXPRESSION, STDOUT, CALLS = range(4)
MODES = {"solution": SOLUTION, "expression": EXPRESSION, "stdout": STDOUT, "calls": CALLS}

FACTS, HEARTBEAT = 0, 1  # record types
KILLED_WALL, KILLED_CPU, BROKEN_AREA, LEAKED_PROCESS, NO_CHILD, NOT_STARTED, HAS_CLAIM, PUT_BACK = (
    1 << bit for bit in range(8)
)  # put back: it was not its turn any more, so it has not begun

VALUE, SYNTAX, NO_ENTRY, OUTPUT_LIMIT, EXIT, MEMORY = b"v", b"y", b"m", b"o", b"x", b"M"
RECURSION, EXCEPTION, BAD_TYPE, TOO_LARGE, DEFER = b"R", b"e", b"b", b"L", b"d"

AREA_BYTES = 4 << 20
CLAIM_BYTES_MAX = 64 << 10
STDOUT_TAIL = 2048
LABEL_CHARACTERS, MESSAGE_CHARACTERS = 64, 300
EXIT_CONTINUE = 113  # the child's own word for "go on with a fresh child"; counts only with frames present
TURN_S = 0.25  # after which programs that were sent ahead, and have not begun, go back to the end of the queue


class ProgramMessage(NamedTuple):
    """One program on its way in: everything the child needs, and no gold answer."""

    source: str
    mode: int = SOLUTION
    stdin: str = ""
    entry: str = "solution"
    calls: tuple = ()


class JobHeader(NamedTuple):
    """What a job begins with, in the order of JOB."""

    size: int
    lane: int
    programs: int
    cpu_s: int
    wall_ms: int
    memory_mb: int
    stdout_cap: int
    value_cap: int


class Record(NamedTuple):
    """What the zygote saw of one program, and the claim that program left, if any."""

    type: int
    program: int = 0  # its index in the job
    signal: int = 0
    code: int = 0
    cpu_us: int = 0
    wall_us: int = 0
    maxrss_kb: int = 0
    waits: int = 0  # times it gave up the processor of its own accord
    preemptions: int = 0
    flags: int = 0
    claim: bytes = b""


def pack_text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def pack_task(task: ProgramMessage) -> bytes:
    source, entry = pack_text(task.source), pack_text(task.entry)
    stdin = pack_text(task.stdin) if task.stdin else b""
    calls = values.encode(task.calls) if task.calls else b""
    return TASK.pack(task.mode, len(source), len(stdin), len(entry), len(calls)) + source + stdin + entry + calls


def pack_job(tasks: Sequence[bytes], lane: int, limits: tuple[int, int, int, int, int]) -> bytes:
    """`tasks` are packed; `limits` are cpu s, wall ms, memory MB, stdout cap, value cap."""
    body = b"".join(tasks)
    return JOB.pack(len(body), lane, len(tasks), *limits) + body


def unpack_tasks(body: bytes, count: int) -> list[ProgramMessage]:
    tasks = []
    at = 0
    for _ in range(count):
        mode, source, stdin, entry, calls = TASK.unpack_from(body, at)
        at += TASK.size
        ends = (at + source, at + source + stdin, at + source + stdin + entry)
        arguments = values.decode(body[ends[2] : ends[2] + calls]) if calls else ()
        given = _text(body[ends[0] : ends[1]]) if stdin else ""
        tasks.append(ProgramMessage(_text(body[at : ends[0]]), mode, given, _text(body[ends[1] : ends[2]]), arguments))
        at = ends[2] + calls
    return tasks


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def pack_record(record: Record) -> bytes:
    return RECORD.pack(*record[:-1], len(record.claim)) + record.claim


def unpack_record(buffer: bytes | bytearray, at: int) -> tuple[Record, int] | None:
    """The record at `at` and where the next begins, or None while it has not arrived in full."""
    if len(buffer) - at < RECORD.size:
        return None
    head = RECORD.unpack_from(buffer, at)
    start = at + RECORD.size
    end = start + head[-1]
    if len(buffer) < end:
        return None
    return Record._make((*head[:-1], bytes(buffer[start:end]))), end
