"""TriPosT's claims (arXiv 2310.13522) on the demo models: does a student learn more from its own corrected mistakes?

    python -m benchmarks.replications.tripost.run --plan  # the headline's cells with planned minutes
    python -m benchmarks.replications.tripost.run  # tripost and si_demo, seeds 0, 1 and 2
    python -m benchmarks.replications.tripost.run --arms all                                     # all arms and controls
    python -m benchmarks.replications.tripost.run --tasks word_sorting --part 1/2 --work W  # for one of two machines
    python -m benchmarks.replications.tripost.run --set recipe.epochs=2 --name tripost-2-epochs  # a changed setting
    python -m benchmarks.replications.tripost.run --feedback script --name tripost-told  # control: right feedback
    python -m benchmarks.replications.tripost.run --report  # page and plot from the cells that there are

A cell is an (arm, task, seed); its seed draws training questions, attempts and training. Its student first learns gold
rationales (the baseline, which all arms start from), then learns in iterations; after each it is measured, before and
after self-update, on fresh questions of the levels that it trains on (seen) and of a harder one (unseen). Each cell
leaves a file in docs/results/data, and is not done again; the same command goes on after kill -9. Cells of one `--work`
share the student that has learned the rationales.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

from rich.console import Console

from benchmarks.replications.cells import run_main
from benchmarks.replications.cli import go_through, make_parser, parse_options
from benchmarks.replications.tripost.arms import (
    ARMS,
    HEADLINE,
    PLAN,
    SPLITS,
    TASKS,
    TaskCell,
    demonstrator_config,
    make_config,
)
from benchmarks.replications.tripost.control import updated_as_told
from benchmarks.replications.tripost.page import write_report
from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.models import trained_model
from raydistill.pipelines.recipes.tripost.account import Outcome, outcome
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.updating import Rollout, roll_out
from raydistill.pipelines.run import Runner
from raydistill.pipelines.tasks import Task

ACCOUNT = ("conversations", "accepted", "rejected", "unknown", "updates", "turns", "repeats", "kept", "examples")


def run_cell(options: argparse.Namespace, cell: TaskCell, console: Console) -> dict[str, Any]:
    """Train the students of a cell, one per iteration, and measure each of them and the one that they start from."""
    started = time.monotonic()
    trained = {"teacher.model": demonstrator(options, cell, console)} if cell.arm == "si_demo" else {}
    with closing(Runner(make_config(options, cell, **trained), console)) as runner:
        result = runner.train(runner.start().synthesize())
        accounts = runner.report["iterations"]
        students = [account["student"] for account in [runner.report["rationales"], *accounts] if "student" in account]
        tests = [measure(runner, f"t={n}", student, options) for n, student in enumerate(students)]
    return {
        "task": cell.task,
        "tests": tests,
        "iterations": [{name: account[name] for name in ACCOUNT} for account in accounts],
        "training": {"steps": result.steps, "tokens": result.tokens, "final_loss": result.final_loss},
        "seconds": round(time.monotonic() - started, 1),
    }


def demonstrator(options: argparse.Namespace, cell: TaskCell, console: Console) -> str:
    """The model whose mistakes SI-demo shows: trained by the first cell of a task, found by the others."""
    with closing(Runner(demonstrator_config(options, cell), console)) as runner:
        runner.train(runner.start().synthesize())
        return str(runner.report["rationales"]["student"])


def measure(
    runner: Runner, title: str, student: str, options: argparse.Namespace
) -> dict[str, dict[str, list[int | None]]]:
    """What a student answers to the test questions of each split, before and after self-update."""
    config, loaded = runner.config, runner.ctx.held_out
    assert isinstance(config.recipe, TriPosT) and config.evaluation and loaded
    sampling = SamplingConfig(n=1, temperature=options.temperature, max_tokens=config.evaluation.max_tokens)
    model, told = trained_model(config, student), options.feedback == "script"
    asked = (runner.ctx, f"testing {title}", model, loaded)
    rollouts = roll_out(*asked, sampling, updates=0 if told else config.recipe.updates)
    rollouts = updated_as_told(*asked, rollouts, sampling, config.recipe) if told else rollouts
    by_split = {split: [r for r in rollouts if r.question.meta["split"] == split] for split in SPLITS}
    return {split: by_question(part, loaded.task) for split, part in by_split.items()}


def by_question(rollouts: Sequence[Rollout], task: Task) -> dict[str, list[int | None]]:
    """What became of each question in order, by the names of Outcome: 1 or 0, None where it is unknown."""
    found = [outcome(rollout, task) if rollout.known else None for rollout in rollouts]
    return {name: [None if one is None else int(getattr(one, name)) for one in found] for name in Outcome._fields}


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "tripost", ARMS, HEADLINE)
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS], default=[*TASKS])
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=2000, help="questions attempted per iteration")
    parser.add_argument(
        "--examples", type=int, default=2000, help="learned per iteration, at most; the same for all arms"
    )
    parser.add_argument(
        "--temperature", type=float, default=0.0, help="of the answers measured; 0 is greedy, attempts are drawn at 1"
    )
    parser.add_argument(
        "--feedback", choices=["own", "script"], default="own", help="whose a student's answers are updated after"
    )
    parser.add_argument(
        "--test", type=int, default=50, help="test questions of each of two seen levels and an unseen one"
    )
    return parse_options(parser, ARMS, arguments)


def cells_of(options: argparse.Namespace, arms: Iterable[str], tasks: Iterable[str]) -> list[TaskCell]:
    """Seed after seed, task after task, arm after arm."""
    return [TaskCell(seed, 100, arm, task) for seed in options.seeds for task in tasks for arm in arms]


def main() -> None:
    options = parse()
    cells, page_cells = cells_of(options, options.arms, options.tasks), cells_of(options, ARMS, TASKS)
    go_through(options, PLAN, cells, page_cells, run_cell, write_report)


if __name__ == "__main__":
    run_main(main)
