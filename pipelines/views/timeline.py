"""When a run's stages worked: bars in time, how verification kept up with generation, how much of the time was idle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from raydistill.actors.storage import is_uri
from raydistill.pipelines.views.run_folder import RunFolder, seconds_between

SHORTEST = 0.2  # seconds; what was known already takes less
MOST_BARS = 24


@dataclass(frozen=True, slots=True)
class Timeline:
    """Stages as (title, start, end, kind), in seconds of the run's working time: pauses between commands left out."""

    bars: list[tuple[str, float, float, str]] = field(default_factory=list)
    seconds: float = 0.0  # of all commands together
    commands: int = 0
    generated: list[tuple[float, float]] = field(default_factory=list)  # seconds, samples so far
    judged: list[tuple[float, float]] = field(default_factory=list)

    def share(self, kind: str) -> float:
        """The share of the time in which a stage of this kind worked."""
        return sum(end - start for _, start, end, what in self.bars if what == kind) / max(self.seconds, 0.001)

    @property
    def idle(self) -> float:
        """The share of the time in which none did: models load, Ray starts, tables are written."""
        return max(0.0, 1 - self.share("sampling") - self.share("training"))


def timeline(run: RunFolder) -> Timeline:
    """The stages of all commands on a run, one after the other."""
    lives = [told for told in run.stages if told["kind"] == "run"]
    if not lives:
        return Timeline()
    last = max((told["ended"] or told["started"]) for told in run.stages)
    shifts, passed = (
        list[tuple[str, str, float]](),
        0.0,
    )  # start, end, and what is to be added to seconds since the start
    for place, life in enumerate(lives):
        following = lives[place + 1]["started"] if place + 1 < len(lives) else last
        ended = life["ended"] or max([t["ended"] or t["started"] for t in run.stages if t["started"] < following])
        shifts.append((life["started"], ended, passed))
        passed += seconds_between(life["started"], ended)

    def at(moment: str) -> float | None:
        for started, ended, shift in reversed(shifts):
            if moment >= started:
                return shift + min(seconds_between(started, moment), seconds_between(started, ended))
        return None

    bars = list[tuple[str, float, float, str]]()
    for told in run.stages:
        if told["kind"] not in ("sampling", "training"):
            continue
        start, end = at(told["started"]), at(told["ended"] or last)
        if start is not None and end is not None and end - start >= SHORTEST:
            bars.append((told["title"], start, end, told["kind"]))
    longest = sorted(bars, key=lambda bar: bar[1] - bar[2])[:MOST_BARS]
    curves = (_progress(run, stage, count, at) for stage, count in (("generate", _made), ("verify", _judged)))
    return Timeline([bar for bar in bars if bar in longest], passed, len(lives), *curves)


def _progress(run: RunFolder, stage: str, count, at) -> list[tuple[float, float]]:  # type: ignore[no-untyped-def]
    """How many samples a stage had done at which second, from its log."""
    events = sorted((moment, count(told)) for moment, told in _events(run, stage) if count(told))
    total, curve = 0, list[tuple[float, float]]()
    for moment, added in events:
        if (second := at(moment)) is not None:
            total += added
            curve.append((second, total))
    return curve


def _made(told: dict[str, object]) -> int:
    return int(str(told.get("generated", 0)))


def _judged(told: dict[str, object]) -> int:
    return sum(int(str(told.get(status, 0))) for status in ("passed", "failed"))


def _events(run: RunFolder, stage: str) -> Iterator[tuple[str, dict[str, object]]]:
    """The lines of a stage's logs; of a run under a URI they are with the nodes."""
    for path in [] if is_uri(run.root) else sorted(Path(run.root, "logs").glob(f"{stage}-*.jsonl")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                told = json.loads(line)
                moment = datetime.fromisoformat(told["time"]).isoformat(timespec="milliseconds")
            except (ValueError, KeyError, TypeError):  # the line that was being written when the process died
                continue
            yield moment, told


def thinned(points: Sequence[tuple[float, float]], most: int = 200) -> list[tuple[float, float]]:
    step = -(-len(points) // most) or 1
    return [*points[::step], *points[-1:]]
