"""Prometheus metrics of the work, through Ray's exporter: every node shows those of its processes on one port.

    raydistill_tokens          tokens of completions, by kind: prompt, completion or scored           {pool, kind}
    raydistill_programs        programs that executors ran                                {pool, status, reason}
    raydistill_verdicts        samples that were judged, with the answers compared                {status, reason}
    raydistill_repeated_calls  calls that were made again after a member died                             {pool}

Prometheus sees them with `ray_` before the name, and counters with `_total` behind it. What of a pool's calls waits, is
under way or has ended is among Ray Serve's own metrics (`ray_serve_...`, with the pool as `application`). The dashboard
that draws both is deploy/grafana.json.
"""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any


def reason_label(reason: str) -> str:
    """The reason of a verdict, from a closed list: programs may name exceptions of their own as they like."""
    kind, colon, name = reason.partition(":")
    return f"{kind}:other" if colon and not hasattr(builtins, name) else reason


@cache
def counter(name: str, description: str, *tags: str) -> Any:
    """Ray's counter of this name, with these tags."""
    from ray.util.metrics import Counter as RayCounter

    return RayCounter(name, description, tag_keys=tags)


def count_verdicts(verdicts: Iterable[Mapping[str, Any]]) -> None:
    """Add judged samples (rows with `status` and `reason`) to raydistill_verdicts."""
    verdicts_of = counter("raydistill_verdicts", "samples that were judged", "status", "reason")
    counts = Counter((row["status"], reason_label(row["reason"])) for row in verdicts)
    for (status, reason), count in counts.items():
        verdicts_of.inc(count, tags={"status": status, "reason": reason})


def count_results(pool: str, result: object) -> None:
    """Add the tokens of completions and the verdicts on programs that a call of a pool has given."""
    tokens: Counter[str] = Counter()
    programs: Counter[tuple[str, str]] = Counter()
    for item in result if isinstance(result, list) else []:
        if hasattr(item, "completion_tokens"):
            tokens.update(prompt=item.prompt_tokens, completion=item.completion_tokens)
        elif hasattr(item, "top_ids"):
            tokens.update(scored=len(item.logprobs))
        elif hasattr(item, "status") and hasattr(item, "reason"):
            programs[item.status, reason_label(item.reason)] += 1
    for kind, number in (+tokens).items():  # Ray refuses to add nothing
        tokens_of = counter("raydistill_tokens", "tokens of completions", "pool", "kind")
        tokens_of.inc(number, tags={"pool": pool, "kind": kind})
    for (status, reason), number in programs.items():
        programs_of = counter("raydistill_programs", "programs run by executors", "pool", "status", "reason")
        programs_of.inc(number, tags={"pool": pool, "status": status, "reason": reason})


def count_repeated_call(pool: str) -> None:
    """A call is made again, as the member that had it died."""
    counter("raydistill_repeated_calls", "calls made again after a member's death", "pool").inc(1, tags={"pool": pool})
