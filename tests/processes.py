"""Other processes by what they are called, though some of them end while one looks."""

from __future__ import annotations

import psutil


def described(process: psutil.Process) -> str:
    """Its name and command line; "" where it has ended, also where it waits for its parent to hear of that."""
    try:
        return " ".join([process.name(), *process.cmdline()])
    except psutil.NoSuchProcess:  # a zombie is one, too
        return ""


def below(pid: int | None, *names: str) -> list[psutil.Process]:
    """The processes below this one (None: the test's own) whose description holds one of these names."""
    family = psutil.Process(pid).children(recursive=True)
    return [process for process in family if any(name in described(process) for name in names)]
