"""All stages of a run at one glance, also while another process works on it: read from the run's folder alone.

raydistill watch RUN: a live table on a terminal, a line per running stage every few seconds elsewhere
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from raydistill.actors.storage import resolve
from raydistill.pipelines.runtime.stages import now
from raydistill.pipelines.views.advice import advice
from raydistill.pipelines.views.curves import curves
from raydistill.pipelines.views.run_folder import RunFolder, files_of, seconds_between
from raydistill.pipelines.views.text import one_line

SECONDS_BETWEEN_LOOKS, SECONDS_BETWEEN_LINES = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Seen:
    """How far a stage is. `done` counts samples, or the steps of a training; `expected` is None where nobody knows."""

    title: str
    kind: str
    state: str  # running, done or failed
    done: int
    expected: int | None
    passed: float | None  # share of what was judged
    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Samples or steps a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float | None:
        """Seconds to the end, at this rate."""
        if self.state != "running" or not self.expected or not self.rate:
            return None
        return max(0, self.expected - self.done) / self.rate


class Watcher:
    """Looks at a run again and again; of segments that have not grown it keeps the counts."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[tuple[str, int], tuple[int, int]] = {}

    def look(self) -> tuple[RunFolder, list[Seen]]:
        """The run as it is now, and the stages of the last command that worked on it."""
        run = RunFolder.open(self._path)
        begins = max((at for at, told in enumerate(run.stages) if told["kind"] == "run"), default=0)
        stages = [told for told in run.stages[begins:] if told["kind"] in ("sampling", "training")]
        return run, [self._seen(run, told) for told in stages]

    def _seen(self, run: RunFolder, told: dict[str, Any]) -> Seen:
        state = "failed" if told["error"] else "done" if told["ended"] else "running"
        seconds = seconds_between(told["started"], told["ended"] or run.life.get("ended") or now())
        known = told["title"], told["kind"], state
        if told["kind"] == "training":
            loss = curves(f"{run.root}/training/{told['folder']}").get("train/loss", [])
            result = told.get("result") or {"steps": loss[-1][0] if loss else 0, "tokens": 0}
            return Seen(*known, result["steps"], None, None, result["tokens"], seconds)
        expected = told.get("expected")
        if result := told.get("result"):
            judged = result["statuses"].get("passed", 0) + result["statuses"].get("failed", 0)
            share = result["statuses"].get("passed", 0) / judged if judged else None
            return Seen(*known, result["samples"], expected, share, result["completion_tokens"], seconds)
        rows, tokens = self._counted(f"{run.root}/completions/{told['completions']}", "completion_tokens", sum)
        judged, passed = self._counted(f"{run.root}/verdicts/{told['verdicts']}", "status", _passed)
        return Seen(*known, rows, expected, passed / judged if judged else None, tokens, seconds)

    def _counted(self, folder: str, column: str, count: Callable[[list[Any]], int]) -> tuple[int, int]:
        """How many rows the files of a folder have, and what `count` makes of their columns."""
        import pyarrow.parquet as pq

        filesystem, _ = resolve(folder)
        total = [0, 0]
        for path in files_of(folder):
            key = path, filesystem.get_file_info(path).size
            if key not in self._known:
                with filesystem.open_input_file(path) as stream:
                    values = pq.read_table(stream, columns=[column])[column].to_pylist()
                self._known[key] = len(values), count(values)
            total = [before + new for before, new in zip(total, self._known[key], strict=True)]
        return total[0], total[1]


def _passed(statuses: list[str]) -> int:
    return statuses.count("passed")


def watch(path: str, *, once: bool = False) -> None:
    """Show a run until its command has ended, or only `once`; the last line says what to do now."""
    console, watcher = Console(highlight=False), Watcher(path)
    if once:
        run, stages = watcher.look()
        console.print(_table(run, stages))
    elif console.is_terminal:
        with Live(console=console, auto_refresh=False) as live:
            for run, stages in _looks(watcher, SECONDS_BETWEEN_LOOKS):
                live.update(_table(run, stages), refresh=True)
    else:
        for _, stages in _looks(watcher, SECONDS_BETWEEN_LINES):
            for one in stages:
                if one.state == "running":
                    console.print(_line(one))
    run, _ = watcher.look()
    first = advice(run)[0]
    console.print(Text(f"now: {first.seen} Try: {first.do}"), soft_wrap=True)


def _looks(watcher: Watcher, interval: float) -> Iterator[tuple[RunFolder, list[Seen]]]:
    """Looks at the run until its last command has ended, and once after that."""
    while True:
        run, stages = watcher.look()
        yield run, stages
        if not run.life or run.life["ended"]:
            return
        time.sleep(interval)  # another process writes these files, perhaps on another machine, and tells nobody


def _table(run: RunFolder, stages: list[Seen]) -> Table:
    import psutil

    memory = psutil.virtual_memory()
    here = f"this machine: CPU {psutil.cpu_percent():.0f} %, memory {memory.used >> 30} of {memory.total >> 30} GB"
    table = Table(title=Text(run.name), title_justify="left", caption=here, caption_justify="left")
    for name in ("stage", "", "done", "a second", "passed", "tokens", "time", "left"):
        table.add_column(name, justify="left" if name in ("stage", "") else "right")
    colours = {"running": "yellow", "done": "green", "failed": "red"}
    for one in stages:
        cells = [f"{one.done:,}{_of(one)}", f"{one.rate:,.1f}", "-" if one.passed is None else f"{one.passed:.0%}"]
        cells += [f"{one.tokens:,}", clock(one.seconds), "-" if one.left is None else clock(one.left)]
        table.add_row(Text(one_line(one.title, 60)), Text(one.state, style=colours[one.state]), *cells)
    return table


def _of(one: Seen) -> str:
    return f" of {one.expected:,}" if one.expected else " steps" if one.kind == "training" else ""


def _line(one: Seen) -> Text:
    told = f"{one.title}: {one.done:,}{_of(one)}, {one.rate:,.1f} a second, {one.tokens:,} tokens"
    share = "" if one.passed is None else f", {one.passed:.0%} passed"
    return Text(f"{told}{share}" + ("" if one.left is None else f", {clock(one.left)} left"))


def clock(seconds: float) -> str:
    """``1:02:03``, ``2:03``"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
