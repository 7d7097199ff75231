"""What a run that is killed pays twice: tokens generated again after kill -9, beside those that were in flight.

    python -m benchmarks.synthesis.resume                            ten minutes with the demo's teacher
    python -m benchmarks.synthesis.resume --questions 50 --rounds 1  a look

A synthesis with real vLLM is killed with -9 at a random moment, and the same command is run to its end. What the ledger
has of generated tokens beyond those of the stored samples was generated twice; in flight were samples that had begun
and were not stored yet, each of the run's mean length. Prints one JSON line, a row for `docs/results/performance.json`;
exits 1 where a sample was lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from typing import Any

from benchmarks.paired import paired_row
from benchmarks.synthesis import chaos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--model", default="demo/models/teacher")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        kill = argparse.Namespace(**vars(options), faults=["driver"], disk=None, out=scratch)
        expected = chaos.reference(kill)
        played = [chaos.play(kill, number, expected) for number in range(options.rounds)]
    print(*played, sep="\n", file=sys.stderr)
    if bad := [told for told in played if not chaos.passed(told, limit=1.0)]:
        sys.exit(f"samples were lost, doubled or judged otherwise: {bad}")
    print(json.dumps([row(played, options.questions * options.samples)]))


def row(played: list[dict[str, Any]], samples: int) -> dict[str, Any]:
    """Tokens twice beside tokens in flight, each round's."""
    twice = [told["extra_tokens"] * told["tokens_of_one_pass"] for told in played]
    in_flight = [told["in_flight"] * told["tokens_of_one_pass"] / samples for told in played]
    name = f"kill -9 and the same command, {samples:,} samples: tokens generated twice, beside those in flight"
    return paired_row(name, twice, in_flight, 1.0, at_most=True)


if __name__ == "__main__":
    main()
