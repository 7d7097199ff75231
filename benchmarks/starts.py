"""How long the command line takes to say something, and the package to be imported, over a bare interpreter's start.

    python -m benchmarks.starts

Processes of their own, in turns. Prints one JSON line: rows for `docs/results/performance.json`, in seconds; `ratio` is
the difference, which is what is bounded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.paired import paired_row

ARMS = {"bare": ["-c", ""], "import": ["-c", "import raydistill"], "help": ["-m", "raydistill", "--help"]}
MOST = {"import": ("import raydistill", 0.3), "help": ("raydistill --help", 0.4)}  # seconds more than a bare start


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def row(name: str, bound: float, ours: list[float], bare: list[float]) -> dict[str, Any]:
    """The row of differences instead of quotients."""
    more = sorted(mine - other for mine, other in zip(ours, bare, strict=True))
    told = paired_row(f"{name}, seconds more than a bare interpreter", ours, bare, bound, at_most=True)
    middle = round(statistics.median(more), 3)
    return told | {"ratio": middle, "holds": middle <= bound, "spread": [round(more[0], 3), round(more[-1], 3)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    for arguments in ARMS.values():
        seconds(arguments)  # the first of each is not counted
    rounds = [{name: seconds(arguments) for name, arguments in ARMS.items()} for _ in range(options.rounds)]
    times = {name: [told[name] for told in rounds] for name in ARMS}
    print(json.dumps([row(title, bound, times[name], times["bare"]) for name, (title, bound) in MOST.items()]))


if __name__ == "__main__":
    main()
