"""What a check has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's; ``Finding("fail", "disk", "1 MB free, 2 GB wanted", "make room, or ...")``."""

    status: Status
    about: str
    said: str
    remedy: str = ""


Findings = Iterator[Finding]


def about(name: str) -> tuple[Callable[..., Finding], Callable[..., Finding], Callable[..., Finding]]:
    """Makers of findings about one thing: ok, warn and fail, each of what is said and what to do."""

    def ok(said: str) -> Finding:
        return Finding("ok", name, said)

    def warn(said: str, remedy: str) -> Finding:
        return Finding("warn", name, said, remedy)

    def fail(said: str, remedy: str) -> Finding:
        return Finding("fail", name, said, remedy)

    return ok, warn, fail


def skipped(name: str, why: str) -> Finding:
    """That something was not looked at, said aloud."""
    return Finding("skipped", name, why)


def in_bytes(count: float) -> str:
    """``1.5 GB`` for 1.5 gibibytes, ``12 MB`` for less."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
