"""On-policy distillation on the demo models: do a student's own programs, scored by the teacher, teach more than text?

    python -m benchmarks.replications.opd.run --plan     # the cells with planned minutes
    python -m benchmarks.replications.opd.run            # text, OPD, its variants, a control; seeds 0, 1 and 2
    python -m benchmarks.replications.opd.run --arms gkd --set recipe.learning_rate=3e-4 --name opd-rate-3e-4
    python -m benchmarks.replications.opd.run --report   # the page, and the claims, from the cells that there are

A cell is an (arm, seed); its seed draws training questions, teacher samples and training. All arms of a seed start from
the same student of a cold start, and all students are tested greedily on the same questions. `text` goes on with the
teacher's verified programs for about as many tokens as the rounds train. `noised` is a control that starts from the
teacher's own weights with noise. Each cell leaves a file in docs/results/data, and is not done again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.replications.cells import Arm, Cell, by_question, check_set, configured, run_main, trained_with
from benchmarks.replications.cli import Plan, ask_student, cells_of, go_through, make_parser, parse_options, spent
from benchmarks.replications.opd.noised import noised_teacher
from benchmarks.replications.opd.page import write_report
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run

FIRST_SEED, SEED_STEP = 3_000_000, 100_000
RATE = 1e-4  # of the rounds; at 3e-4 and 5e-4 students forgot more than they learned (docs/decisions.md)
TEXT = {"recipe.rounds": 0}
ARMS = {
    "cold": Arm("the student of the cold start", TEXT),
    "text": Arm("as many tokens of the teacher's text", TEXT),
    "opd": Arm("OPD: the teacher scores the student's programs"),
    "opd_verdicts": Arm("OPD and verdicts", {"recipe.reward": 0.5}),
    "opd_verdicts_weak": Arm("OPD and verdicts of a fifth of that weight", {"recipe.reward": 0.1}),
    "gkd": Arm("half of it the teacher's text (GKD)", {"recipe.teacher_share": 0.5}),
    "until": Arm("OPD up to a token that the teacher finds unlikely", {"recipe.until": 3}),
    "gkd_until": Arm("both of these changes", {"recipe.teacher_share": 0.5, "recipe.until": 3}),
    "gkd_until_verdicts": Arm(
        "both of these changes and verdicts", {"recipe.teacher_share": 0.5, "recipe.until": 3, "recipe.reward": 0.5}
    ),
    "sampled": Arm("OPD on sampled tokens alone", {"recipe.top_k": 0}),
    "verdicts": Arm(
        "control: verdicts alone, no teacher", {"recipe.distillation": 0, "recipe.reward": 1, "recipe.top_k": 0}
    ),
    "noised": Arm("control: OPD of a teacher's weights with noise", {"recipe.cold_start": None}),
}
CHANGED = ("opd_verdicts_weak", "gkd", "until", "gkd_until", "gkd_until_verdicts")
HEADLINE = ("cold", "text", "opd", "opd_verdicts", *CHANGED, "noised")
TOLD = ("samples", "accuracy", "reverse_kl", "sampled_tokens", "trained_tokens", "examples")
make_config = partial(configured, "demo-opd")


def settings(options: argparse.Namespace, cell: Cell) -> dict[str, Any]:
    """What the cell changes in configs/demo-opd.yaml."""
    fixed = {
        "questions.size": options.questions,
        "questions.seed": FIRST_SEED + SEED_STEP * cell.seed,
        "teacher.seed": cell.seed,
        "train.seed": cell.seed,
        "recipe.seed": cell.seed,
        "evaluation.questions.size": options.test,
    }
    if cell.arm == "noised":
        fixed["train.student"] = noised_teacher(Path(options.work))
    else:
        fixed["recipe.cold_start.epochs"] = options.text_epochs if cell.arm == "text" else options.cold_epochs
    check_set(options, fixed)
    return {"recipe.learning_rate": RATE} | dict(options.set) | dict(ARMS[cell.arm].changes) | fixed


def cell_path(options: argparse.Namespace, cell: Cell) -> Path:
    """The cell's file, whose name changes with everything that it depends on."""
    config: Run = make_config(options, settings(options, cell))
    depends = config.model_dump(include={"questions", "recipe", "evaluation"}), *trained_with(config)
    return cell.path(Path(options.out), "opd", content_hash(cell.arm, depends, length=8))


def run_cell(options: argparse.Namespace, cell: Cell, console: Console) -> dict[str, Any]:
    """Train the student of a cell and test it; what the rounds were like stands beside it."""
    started = time.monotonic()
    with closing(Runner(make_config(options, settings(options, cell)), console)) as runner:
        result = runner.train(runner.start().synthesize())
        assert runner.ctx.held_out and runner.config.train
        from_text = runner.recipe.asks_teacher() is not None
        start = None if from_text else ask_student(runner, runner.config.train.student, runner.ctx.held_out)[0]
        answers, _ = ask_student(runner, result.student, runner.ctx.held_out)
        rounds = runner.report.get("rounds") or []
    return {
        "passed": by_question(answers)["passed"],
        "before": start and by_question(start)["passed"],
        "tokens": sum(told["trained_tokens"] for told in rounds) if rounds else result.tokens,
        "rounds": [{name: told[name] for name in TOLD} for told in rounds],
        "teacher": spent(runner) if from_text else None,
        "seconds": round(time.monotonic() - started, 1),
    }


def planned_minutes(options: argparse.Namespace, cell: Cell, others: Sequence[Cell] = ()) -> float:
    """Of a cell on 2 cores."""
    return 2.0 if cell.arm in ("cold", "text") else 7.0


def unit(cell: Cell) -> Cell:
    """Cells of a seed go on from the same student."""
    return replace(cell, arm="cold")


PLAN = Plan(ARMS, unit, cell_path, planned_minutes)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "opd", ARMS, HEADLINE)
    parser.add_argument("--questions", type=int, default=400, help="training questions")
    parser.add_argument("--test", type=int, default=400, help="test questions")
    parser.add_argument("--cold-epochs", type=int, default=12, help="over the teacher's text, before the rounds")
    parser.add_argument("--text-epochs", type=int, default=20, help="over it, of the arm that goes on with it")
    return parse_options(parser, ARMS, arguments)


def main() -> None:
    options = parse()
    go_through(options, PLAN, cells_of(options, options.arms), cells_of(options, HEADLINE), run_cell, write_report)


if __name__ == "__main__":
    run_main(main)
