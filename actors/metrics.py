"""Prometheus metrics of the pools, through Ray's exporter: every node shows those of its processes on one port.

    raydistill_pool_pending    calls that were made and are not answered; less those in flight: the queue   {pool}
    raydistill_pool_in_flight  calls that members work on                                                   {pool}
    raydistill_pool_calls      calls, by how they ended: ok, error, or member_died (made again)    {pool, outcome}
    raydistill_tokens          tokens of completions, by kind: prompt or completion                   {pool, kind}
    raydistill_programs        programs that executors ran                                {pool, status, reason}
    raydistill_verdicts        samples that were judged, with the answers compared                {status, reason}

Prometheus sees them with `ray_` before the name, and counters with `_total` behind it. The dashboard that draws them is
deploy/grafana.json.
"""

from __future__ import annotations

import builtins
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

POOL_METRICS = ("raydistill_pool_pending", "raydistill_pool_in_flight", "raydistill_pool_calls")
WORK_METRICS = ("raydistill_tokens", "raydistill_programs", "raydistill_verdicts")


def reason_label(reason: str) -> str:
    """The reason of a verdict, from a closed list: programs may name exceptions of their own as they like."""
    kind, colon, name = reason.partition(":")
    return f"{kind}:other" if colon and not hasattr(builtins, name) else reason


@cache
def _counter(name: str, description: str, *tags: str) -> Any:
    from ray.util.metrics import Counter as RayCounter

    return RayCounter(name, description, tag_keys=tags)


def count_verdicts(verdicts: Iterable[Mapping[str, Any]]) -> None:
    """Add judged samples (rows with `status` and `reason`) to raydistill_verdicts."""
    counter = _counter("raydistill_verdicts", "samples that were judged", "status", "reason")
    counts = Counter((row["status"], reason_label(row["reason"])) for row in verdicts)
    for (status, reason), count in counts.items():
        counter.inc(count, tags={"status": status, "reason": reason})


class Level:
    """A gauge of how many of a pool's calls are under way in this process."""

    def __init__(self, name: str, description: str, pool: str) -> None:
        from ray.util.metrics import Gauge

        self._gauge = Gauge(name, description, tag_keys=("pool",))
        self._gauge.set_default_tags({"pool": pool})
        self._lock = threading.Lock()
        self._count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more, until the block ends."""
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def _add(self, change: int) -> None:
        with self._lock:
            self._count += change
            self._gauge.set(self._count)


class CallerMetrics:
    """What a process that calls a pool knows."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self.pending = Level("raydistill_pool_pending", "calls made and not answered", pool)

    def ended(self, outcome: str) -> None:
        """A call has ended with `outcome`: ok, error or member_died."""
        counter = _counter("raydistill_pool_calls", "calls by outcome", "pool", "outcome")
        counter.inc(1, tags={"pool": self._pool, "outcome": outcome})


@cache
def caller_metrics(pool: str) -> CallerMetrics:
    """The metrics of this process as a caller of `pool`."""
    return CallerMetrics(pool)


class MemberMetrics:
    """What a member of a pool knows."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self.in_flight = Level("raydistill_pool_in_flight", "calls that members work on", pool)

    def count(self, result: object) -> None:
        """Add the tokens of completions and the verdicts on programs that a call has given."""
        items = result if isinstance(result, list) else []
        tokens: Counter[str] = Counter()
        programs: Counter[tuple[str, str]] = Counter()
        for item in items:
            if hasattr(item, "completion_tokens"):
                tokens.update(prompt=item.prompt_tokens, completion=item.completion_tokens)
            elif hasattr(item, "status") and hasattr(item, "reason"):
                programs[item.status, reason_label(item.reason)] += 1
        for kind, number in (+tokens).items():  # Ray refuses to add nothing
            counter = _counter("raydistill_tokens", "tokens of completions", "pool", "kind")
            counter.inc(number, tags={"pool": self._pool, "kind": kind})
        for (status, reason), number in programs.items():
            counter = _counter("raydistill_programs", "programs run by executors", "pool", "status", "reason")
            counter.inc(number, tags={"pool": self._pool, "status": status, "reason": reason})
