"""What a stage of several actors costs: k engines that k Generate actors ask, beside one engine that one asks.

    python -m benchmarks.synthesis.generates                            ten minutes on two quiet cores
    python -m benchmarks.synthesis.generates --questions 500 --turns 1  a look

Recorded answers and real executors, as benchmarks/synthesis/scale.py has them; processor time of the driver and all
below it, a question. What an actor costs to start is in it: two seconds of processor time, which more questions share.
Prints one JSON line, a row for `docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.paired import paired_row
from benchmarks.synthesis.scale import measure
from raydistill.pipelines.sampling import job

REACH = 1.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=50_000)
    parser.add_argument("--generates", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    job.ENGINES_PER_GENERATE = 1  # recorded engines are never what is waited for
    spent: dict[int, list[float]] = {1: [], options.generates: []}
    for turn in range(options.turns):
        for generates in [*spent][:: -1 if turn % 2 else 1]:
            spent[generates].append(measure(options.questions, generates)["cpu_ms_per_row"]["all"])
            print(f"turn {turn + 1}: {generates} Generate, {spent[generates][-1]} ms a question", file=sys.stderr)
    name = f"{options.questions:,} recorded answers, processor ms a question, {options.generates} Generates beside one"
    print(json.dumps([paired_row(name, spent[options.generates], spent[1], REACH, at_most=True)]))


if __name__ == "__main__":
    main()
