"""From what the kernel saw and what the program claims to one verdict: facts first, then the claim.

Threat model: the claim comes from a hostile process. It can say only what its own answer is; whether the
process was killed, crashed, leaked or wrote rubbish is taken from the zygote's observations, and any of these
outweighs a claim. A claim that is not exactly well-formed is the reason `protocol`. Nothing in it is
evaluated, unpickled or parsed as text. Whether the value is the right answer is decided on the decoded plain value by
`pipelines.sampling.stages.Verify`; no gold answer ever comes near a program.

`failed` is the program's fault. `unknown` is ours (no child, lost zygote, starved or killed from outside): it
is retried, never scored.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .. import values, wire
from ..wire import Record
from .supervisor import Waited

PASSED, FAILED, UNKNOWN = "passed", "failed", "unknown"
OURS = ("infra", "killed")  # reasons that say nothing about the program
SIGABRT, SIGKILL, SIGSEGV, SIGBUS, SIGXCPU, SIGSYS = 6, 9, 11, 7, 24, 31
MEMORY_SIGNALS = (SIGABRT, SIGSEGV, SIGBUS)
MEMORY_SHARE = 0.9  # a crash with this share of the memory in use is taken for running out of it
STARVED_SHARE = 0.25  # of the wall limit, in which it wanted a processor and had none
STARVED_CPU_SHARE, STARVED_WAITS_PER_S = 0.02, 2.0  # where the kernel does not count waiting
CPU_GRACE_S = 0.1  # the kernel looks at the clock at its ticks
# At most six bytes a character: half of a surrogate is written as \ud800.
LABEL_BYTES, MESSAGE_BYTES = 6 * wire.LABEL_CHARACTERS, 6 * wire.MESSAGE_CHARACTERS
PROVISIONAL = (
    *("defer", "recursion", "exit", "memory", "output_limit"),
    *("exit_silent", "cpu", "timeout", "policy", "protocol"),
    *("exception:SystemError", "exception:ImportError"),  # the interpreter's, out of memory; our own import's
)
SIMPLE_OUTCOMES = {
    wire.SYNTAX: "syntax",
    wire.NO_ENTRY: "no_entry",
    wire.OUTPUT_LIMIT: "output_limit",
    wire.EXIT: "exit",
    wire.MEMORY: "memory",
    wire.RECURSION: "recursion",
    wire.BAD_TYPE: "bad_type",
    wire.TOO_LARGE: "too_large",
    wire.DEFER: "defer",
}
KNOWN_OUTCOMES = frozenset((*SIMPLE_OUTCOMES, wire.VALUE, wire.EXCEPTION))
REPR_CHARACTERS = 2000
ADDRESS = re.compile("0x[0-9a-f]+")


@dataclass(slots=True)  # making a frozen one takes three times as long
class Verdict:
    """What became of one program, e.g. `Verdict("q7-2", "passed", "ok", 42, "int", ...)`."""

    id: str
    status: str
    """passed, failed or unknown; without gold, passed means that the program returned a value"""
    reason: str
    """one word from the closed list in docs/sandbox.md; `exception:<Type>` and `signal:<n>` carry a detail"""
    value: int | float | bool | str | None = None
    """what the program claims as its answer, decoded outside the sandbox"""
    kind: str = "none"
    """int, float, bool, str, none, coerced:<type>, other"""
    message: str = ""
    """the interpreter's last line after an exception; the exact text of a coerced value"""
    stdout: str = ""
    """the last 2 KB of what it printed"""
    cpu_s: float = 0.0
    wall_s: float = 0.0
    grade: str = ""
    """of the confinement it ran under: A, B, B-, C, D"""
    lane: str = "isolated"
    """isolated: a process of its own; batch: a process shared with other screened programs"""
    observed: Mapping[str, Any] = field(default_factory=dict)
    """facts from the kernel, apart from all claims: signal, exit code, maxrss, ..."""


class Claim(NamedTuple):
    """What a program says about itself."""

    outcome: bytes
    value: Any
    label: str
    message: str
    stdout: str
    cpu_s: float
    wall_s: float


def read_claim(data: bytes, value_bytes: int) -> Claim:
    """ValueError on anything that is not exactly one well-formed claim, within the limits that the child keeps."""
    if len(data) < wire.CLAIM.size:
        raise ValueError("claim cut short")
    outcome, value, label, message, stdout, _total, cpu_ns, wall_ns = wire.CLAIM.unpack_from(data)
    if label > LABEL_BYTES or message > MESSAGE_BYTES:
        raise ValueError("label or message too long")
    if stdout > wire.STDOUT_TAIL or value > value_bytes:
        raise ValueError("more printed text, or a larger value, than the child passes on")
    value += wire.CLAIM.size
    label += value
    message += label
    if message + stdout != len(data) or outcome not in KNOWN_OUTCOMES:
        raise ValueError("malformed claim")
    decoded = values.decode(data[wire.CLAIM.size : value], as_shown=True) if outcome == wire.VALUE else None
    texts = ("", "", "")
    if len(data) > value:
        texts = (_text(data[value:label]), _text(data[label:message]), _text(data[message:]))
    return Claim(outcome, decoded, *texts, cpu_ns / 1e9, wall_ns / 1e9)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def judge(
    program_id: str,
    record: Record,
    *,
    mode: int,
    lane: str,
    grade: str,
    limits: tuple[int, ...],
    waited: Waited | None = None,
) -> Verdict:
    """The verdict on one record; `limits` are those the job was sent with, `waited` what was last seen of the child."""
    claim = None
    try:
        if record.flags & wire.HAS_CLAIM:
            claim = read_claim(record.claim, limits[-1])
            if lane == "isolated" and claim.outcome == wire.DEFER:
                raise ValueError("nothing defers a program that is alone")
    except ValueError:
        claim, reason = None, "protocol"
    else:
        reason = _observed_reason(record, lane, limits, waited) or (
            _claimed_reason(claim, mode) if claim else "exit_silent"
        )
    status = PASSED if reason == "ok" else UNKNOWN if reason in OURS else FAILED
    shown: tuple[Any, str, str, str] = (None, "none", "", "")  # value, kind, message, stdout
    if claim:
        value = _shown_value(claim.value) if reason in ("ok", "bad_type", "nonfinite") else None
        shown = (value, _kind(claim), claim.message, claim.stdout)
        if lane == "batch" and not record.cpu_us:  # a batch-mate: the process's own figures are not about it
            return Verdict(program_id, status, reason, *shown, claim.cpu_s, claim.wall_s, grade, lane)
    costs = record.cpu_us / 1e6, record.wall_us / 1e6
    return Verdict(program_id, status, reason, *shown, *costs, grade, lane, _facts(record))


def lost(program_id: str, why: str, grade: str) -> Verdict:
    """The verdict on a program whose zygote was lost each time it was tried."""
    return Verdict(program_id, UNKNOWN, "infra", message=why, grade=grade)


def is_provisional(verdict: Verdict) -> bool:
    """Whether a batch's verdict is more than an ordinary value or exception, and so must be confirmed in isolation."""
    return verdict.status == UNKNOWN or verdict.reason in PROVISIONAL or verdict.reason.startswith("signal:")


def is_not_loaded(verdict: Verdict) -> bool:
    """Whether the program failed for want of a module or a codec that its zygote has not loaded."""
    return verdict.reason == "exception:ModuleNotFoundError" or verdict.message.startswith(
        "LookupError: unknown encoding"
    )


def agree(one: Verdict, other: Verdict) -> bool:
    """Whether two runs came out the same: the claim and the reason, not the cost, and not where an object lay."""
    values = [ADDRESS.sub("0x", repr(verdict.value)) for verdict in (one, other)]
    return (one.reason, one.kind, values[0]) == (other.reason, other.kind, values[1])


def _observed_reason(record: Record, lane: str, limits: tuple[int, ...], waited: Waited | None) -> str | None:
    """The reason that the kernel's facts dictate, or None where the program ended in good order."""
    flags, number = record.flags, record.signal
    cpu_limit_s, _, memory_mb = limits[:3]
    is_late = lane == "isolated" and record.cpu_us / 1e6 > cpu_limit_s + CPU_GRACE_S
    if flags == wire.HAS_CLAIM and not number and not record.code:
        return "cpu" if is_late else None  # it ignored the signal, and claimed something in the second that it won
    if flags & (wire.NO_CHILD | wire.NOT_STARTED):
        return "infra"
    if flags & (wire.BROKEN_AREA | wire.LEAKED_PROCESS):
        return "protocol"
    if flags & wire.KILLED_CPU or number == SIGXCPU:
        return "cpu"
    if flags & wire.KILLED_WALL:
        return "infra" if _starved(record, waited) else "timeout"
    if number == SIGKILL:
        return "cpu" if record.cpu_us / 1e6 >= cpu_limit_s else "killed"
    if number == SIGSYS:
        return "policy"
    if number in MEMORY_SIGNALS and record.maxrss_kb >= MEMORY_SHARE * memory_mb * 1024:
        return "memory"
    if number:
        return f"signal:{number}"
    return "exit_silent" if record.code else None


def _starved(record: Record, waited: Waited | None) -> bool:
    """At the wall deadline: it wanted the processor and was refused it, or was stopped, which is the machine's doing.

    A program that sleeps or waits does not wait for a processor, whatever it has done before, and counts as timed out.
    """
    wall_s = record.wall_us / 1e6
    if waited is not None:
        return waited.state == "T" or waited.seconds >= STARVED_SHARE * wall_s
    return record.cpu_us / 1e6 >= STARVED_CPU_SHARE * wall_s and record.waits <= STARVED_WAITS_PER_S * wall_s


def _claimed_reason(claim: Claim, mode: int) -> str:
    if claim.outcome == wire.EXCEPTION:
        return f"exception:{claim.label if claim.label.isidentifier() else 'Exception'}"
    if claim.outcome != wire.VALUE:
        return SIMPLE_OUTCOMES[claim.outcome]
    value = claim.value
    if value is None:
        return "no_result"
    if type(value) is float and not math.isfinite(value):
        return "nonfinite"
    if type(value) in (int, float, bool, str) or (mode == wire.CALLS and type(value) is list):
        return "ok"
    return "bad_type"


def _kind(claim: Claim) -> str:
    kind = type(claim.value)
    if claim.outcome == wire.BAD_TYPE:
        return "other"
    if claim.label and claim.outcome == wire.VALUE:
        return f"coerced:{claim.label if claim.label.isidentifier() else 'unnamed'}"
    if claim.value is None:
        return "none"
    return kind.__name__ if kind in (int, float, bool, str) else "other"


def _shown_value(value: Any) -> int | float | bool | str | None:
    """Scalars as they are; a container as its text, written here from plain decoded values."""
    if value is None or type(value) in (int, float, bool, str):
        return value
    return repr(value)[:REPR_CHARACTERS]


def _facts(record: Record) -> dict[str, Any]:
    return {
        "signal": record.signal,
        "exit_code": record.code,
        "maxrss_kb": record.maxrss_kb,
        "waits": record.waits,
        "preemptions": record.preemptions,
        "leaked_process": bool(record.flags & wire.LEAKED_PROCESS),
    }
