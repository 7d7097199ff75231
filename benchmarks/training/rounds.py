"""Does a round of on-policy distillation overlap? Sampling beside training, against the slower of the two alone.

    python -m benchmarks.training.rounds                               six minutes on a quiet machine with two cores
    python -m benchmarks.training.rounds --questions 20 --rounds 3     a look

The demo's models, from the base on: each question is answered four times, and the teacher scores what came. Engine and
trainer have one core each. Two runs of the same rounds, one after the other and with `recipe.overlap`, where the
training of a round and the samples of the next one are compared. Prints one line of JSON, a row for
`docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.paired import paired_row
from benchmarks.replications.cells import ROOT
from raydistill.pipelines.context import ExampleSet, RunContext
from raydistill.pipelines.recipes.opd.config import OPD
from raydistill.pipelines.recipes.opd.recipe import OnPolicyDistillation
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import load_config
from raydistill.pipelines.training.train import TrainResult


class Timed(OnPolicyDistillation):
    """The recipe, with the seconds that each round's samples and its training took."""

    def __init__(self, config: OPD) -> None:
        super().__init__(config)
        self.collecting: list[float] = []
        self.learning: list[float] = []  # and, with `overlap`, what goes on beside it

    def _collect(self, *arguments: Any) -> ExampleSet:
        started = time.monotonic()
        collected = super()._collect(*arguments)
        self.collecting.append(time.monotonic() - started)
        return collected

    def _learn(self, ctx: RunContext, *arguments: Any) -> tuple[TrainResult, ExampleSet | None]:
        started = time.monotonic()
        learned = super()._learn(ctx, *arguments)
        self.learning.append(time.monotonic() - started)
        return learned


def timed_run(run_dir: Path, questions: int, rounds: int, *, overlap: bool) -> Timed:
    """The recipe of a run, once it is through."""
    changes: dict[str, Any] = {"questions.size": questions, "recipe.cold_start": "null", "recipe.rounds": rounds}
    changes |= {"recipe.questions_per_round": "null", "recipe.overlap": str(overlap).lower(), "evaluation": "null"}
    changes |= {"teacher.cpus": 1, "teacher.replicas": "[1, 1]", "train.cpus_per_worker": 1, "run_dir": str(run_dir)}
    config = load_config(ROOT / "configs" / "demo-opd.yaml", [f"{name}={value}" for name, value in changes.items()])
    assert isinstance(config.recipe, OPD)
    runner, recipe = Runner(config), Timed(config.recipe)
    runner.recipe = recipe
    try:
        runner.start()
        runner.train(runner.synthesize())
    finally:
        runner.close()
    return recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=120, help="of a round, each with four samples")
    parser.add_argument("--rounds", type=int, default=6, help="one more than is compared")
    parser.add_argument("--reach", type=float, default=1.2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        told = [
            timed_run(Path(scratch, str(overlap)), options.questions, options.rounds, overlap=overlap)
            for overlap in (False, True)
        ]
    alone, both = told
    slower = [max(pair) for pair in zip(alone.collecting[1:], alone.learning[:-1], strict=True)]
    for name, seconds in {"sampled": alone.collecting, "trained": alone.learning, "both": both.learning}.items():
        print(f"{name}: {', '.join(f'{one:.1f}' for one in seconds)} s", file=sys.stderr)
    name = f"a round of {4 * options.questions:,} on-policy samples beside training, seconds, beside the slower alone"
    print(json.dumps([paired_row(name, both.learning[:-1], slower, options.reach, at_most=True)]))


if __name__ == "__main__":
    main()
