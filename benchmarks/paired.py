"""Arms that take turns, and a row of `docs/results/performance.json` from two of them."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import command
from benchmarks.replications.cells import provenance


def paired_row(
    name: str, ours: Sequence[float], other: Sequence[float], reach: float, *, at_most: bool = False
) -> dict[str, Any]:
    """The median of ours / other turn by turn, beside `reach`, which it is to attain or (`at_most`) not to exceed."""
    ratios = sorted(mine / theirs for mine, theirs in zip(ours, other, strict=True))
    ratio = statistics.median(ratios)
    return {
        "name": name,
        "ours": round(statistics.median(ours), 4),
        "other": round(statistics.median(other), 4),
        "ratio": round(ratio, 3),
        "reach": reach,
        "at_most": at_most,
        "holds": ratio <= reach if at_most else ratio >= reach,
        "n": len(ratios),
        "spread": [round(ratios[0], 3), round(ratios[-1], 3)],
        **provenance(),
        "command": command(),
    }


def take_turns(arms: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Tokens/s of each arm in each round, by its number; every round starts with another arm."""
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds):
        for name in [*arms][turn % len(arms) :] + [*arms][: turn % len(arms)]:
            rates[name].append(arms[name](turn))
            print(f"round {turn + 1}: {name} {rates[name][-1]:.0f} tokens/s", file=sys.stderr)
    return rates
