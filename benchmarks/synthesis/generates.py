"""What several actors of a stage cost: a synthesis whose questions go through k Generate actors, beside one.

    python -m benchmarks.synthesis.generates                           ten minutes on two quiet cores
    python -m benchmarks.synthesis.generates --questions 500 --turns 1  a look

Recorded answers and real executors, as benchmarks/synthesis/scale.py has them, with k engines in both arms; processor
time of the driver and all below it, a question. Prints one JSON line, a row for `docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import sys

from benchmarks.paired import paired_row
from benchmarks.synthesis.scale import measure
from raydistill.pipelines.sampling import job

REACH = 1.05


def processor_ms(questions: int, engines: int, generates: int) -> float:
    """Of a question of a synthesis with so many actors of Generate; sets how many engines keep one of them busy."""
    job.ENGINES_PER_GENERATE = math.ceil(engines / generates)
    return measure(questions, engines)["cpu_ms_per_row"]["all"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--generates", type=int, default=2)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    spent: dict[int, list[float]] = {1: [], options.generates: []}
    for turn in range(options.turns):
        for generates in [*spent][:: -1 if turn % 2 else 1]:
            spent[generates].append(processor_ms(options.questions, options.generates, generates))
            print(f"turn {turn + 1}: {generates} Generate, {spent[generates][-1]} ms a question", file=sys.stderr)
    name = (
        f"synthesis of {options.questions:,} recorded answers, processor ms a question, {options.generates} Generates"
    )
    print(json.dumps([paired_row(f"{name} beside one", spent[options.generates], spent[1], REACH, at_most=True)]))


if __name__ == "__main__":
    main()
