"""Faults that meet a running `raydistill synth`: a process below it dies, stops or slows down; its disk is full.

benchmarks/synthesis/chaos.py has them with real vLLM, tests/cluster/test_faults.py with the recorded engine.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from raydistill.actors.segments import read_segments

SECONDS_BETWEEN_LOOKS = 0.5  # what is stored is read each time, which costs the run processor time
SLOW_S = 20  # how long a slow engine is slow
Driver = subprocess.Popen[bytes]
Act = Callable[[psutil.Process], None]


def stored(run_dir: Path, what: str, columns: list[str]) -> list[dict[str, Any]]:
    """All rows of the run's completions or verdicts."""
    parts = (part for folder in (run_dir / what).glob("*") for part in read_segments(str(folder), columns))
    return [row for part in parts for row in part.to_pylist()]


def wait_for_samples(run_dir: Path, what: str, count: int, driver: Driver, seconds: float) -> None:
    """Return once so many completions or verdicts are stored; RuntimeError where the run ends first, or time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and driver.poll() is None:
        if len(stored(run_dir, what, ["sample_id"])) >= count:
            return
        time.sleep(SECONDS_BETWEEN_LOOKS)  # the run is another process, all that it shows are its files
    told = driver.communicate()[1] if driver.poll() is not None else None
    raise RuntimeError(f"{count} {what} were not stored while the run went on: {(told or b'')[-2000:].decode()}")


def below(pid: int, *parts: str) -> psutil.Process:
    """The newest process under this one with these parts in its title; RuntimeError where there is none."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):  # one that has ended meanwhile
            if all(part in " ".join(process.cmdline()) for part in parts):
                found.append(process)
    if not found:
        raise RuntimeError(f"no process with {parts} is running")
    return max(found, key=lambda process: process.create_time())


def _slow_down(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):  # it may end before it is fast again
        for _ in range(SLOW_S):
            for act in (process.suspend, process.resume):
                act()
                time.sleep(0.5)  # this is what makes it slow


def _member(pool: str, act: Act) -> Callable[[Driver], None]:
    """The fault of acting on a member of a pool."""
    return lambda driver: act(below(driver.pid, "ServeReplica", f"-{pool}"))


FAULTS: dict[str, Callable[[Driver], None]] = {
    "driver": lambda driver: driver.send_signal(signal.SIGKILL),
    "engine": _member("engines", psutil.Process.kill),
    "core": lambda driver: below(driver.pid, "VLLM::EngineCore").kill(),
    "executor": _member("executors", psutil.Process.kill),
    "sandbox": _member("executors", lambda executor: executor.children()[0].kill()),
    "verify": lambda driver: below(driver.pid, "Verify").kill(),
    "hang": _member("engines", psutil.Process.suspend),  # for good: only its health check can tell
    "slow": _member("engines", _slow_down),
}


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[], object]]:
    """Have `folder` be a disk of this size, e.g. "512k"; what is yielded gives it room. Needs root on Linux."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield partial(subprocess.run, ["mount", "-o", "remount,size=1g", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
