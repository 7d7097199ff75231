"""What the caller hands in: programs and the limits they run under."""

import math
from dataclasses import dataclass

from ...errors import UsageError
from .. import values, wire
from ..profiles import PROFILES
from ..wire import ProgramMessage


@dataclass(frozen=True, slots=True)
class Program:
    """One program to run, e.g. `Program("q7-2", "def solution():\\n    return 42")`."""

    id: str
    source: str
    mode: str = "solution"
    """solution: what `entry()` returns; expression: the last expression; stdout: what it prints;
    calls: the list of what `entry(*arguments)` returns for each of `calls`"""
    stdin: str = ""
    entry: str = "solution"
    calls: tuple = ()
    party: str = ""
    """calls of one party take turns with others as one call; "": each call for itself"""

    @property
    def source_bytes(self) -> int:
        return len(self.source) if self.source.isascii() else len(wire.pack_text(self.source))


RANGES: dict[str, tuple[float, float]] = {
    "cpu_s": (0.1, 86_400),
    "wall_s": (0.1, 86_400),
    "memory_mb": (16, 1 << 20),
    "rich_memory_mb": (16, 1 << 20),
    "stdout_bytes": (0, 1 << 30),
    "value_bytes": (1, 32 << 10),
    "source_bytes": (1, 1 << 20),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What each program may use."""

    cpu_s: int = 2
    wall_s: float = 8
    """a backstop against sleeping, three times the processor time and two seconds; load must not reach it"""
    memory_mb: int = 256
    rich_memory_mb: int = 512
    stdout_bytes: int = 65536
    value_bytes: int = 8192
    source_bytes: int = 65536

    def __post_init__(self) -> None:
        """UsageError for a limit under which no program could run, or that does not travel."""
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if not least <= value <= most:  # also refuses NaN
                raise UsageError(f"{name}={value}: expected a number from {least:g} to {most:g}")

    def for_job(self, profile: str, attempt: int) -> tuple[int, int, int, int, int]:
        """In the order of the wire; a repeated program gets more patience, in case the machine was overloaded."""
        memory_mb = self.rich_memory_mb if PROFILES[profile].is_rich else self.memory_mb
        wall_ms = int(self.wall_s * 1e3) * (attempt + 1)
        return math.ceil(self.cpu_s), wall_ms, memory_mb, self.stdout_bytes, self.value_bytes


def pack(program: Program) -> bytes:
    """The program as it travels; UsageError on a mode or on arguments that do not exist."""
    if program.mode not in wire.MODES:
        raise UsageError(f"program {program.id}: mode {program.mode!r}, expected one of {', '.join(wire.MODES)}")
    task = ProgramMessage(program.source, wire.MODES[program.mode], program.stdin, program.entry, program.calls)
    try:
        return wire.pack_task(task)
    except (values.NotPlain, values.TooLarge) as error:
        raise UsageError(f"program {program.id}: calls must hold plain values ({error})") from None
