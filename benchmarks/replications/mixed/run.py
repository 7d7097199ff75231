"""Mixed Distillation's claim (arXiv 2312.10730) on the demo models: do two formats and a vote beat the better one?

    python -m benchmarks.replications.mixed.run --plan     # the cells with planned minutes
    python -m benchmarks.replications.mixed.run            # programs, rationales, mixed; seeds 0, 1 and 2
    python -m benchmarks.replications.mixed.run --set train.epochs=8 --name mixed-epochs-8    # a changed setting
    python -m benchmarks.replications.mixed.run --report   # the page, and the claims, from the cells that there are

A cell is an (arm, seed); its seed draws training questions, teacher samples and training. All arms start from the same
base and see the same questions and answers of the teacher; all students are tested on the demo's questions, greedily
and by a vote over samples. Each cell leaves a file in docs/results/data, and is not done again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.replications.cells import Arm, Cell, by_question, check_set, configured, run_main, trained_with
from benchmarks.replications.cli import Plan, cells_of, go_through, make_parser, parse_options, spent
from benchmarks.replications.mixed.page import write_report
from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.inference.answering import Answered, answer_questions
from raydistill.pipelines.models import trained_model
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks.judging import elect

FIRST_SEED, SEED_STEP = 2_000_000, 100_000
ARMS = {
    "programs": Arm("programs alone", {"recipe.formats": ["program"]}),
    "rationales": Arm("rationales alone", {"recipe.formats": ["rationale"]}),
    "mixed": Arm("both formats, told apart by the instruction"),
}
make_config = partial(configured, "demo-mixed")


def settings(options: argparse.Namespace, cell: Cell) -> dict[str, Any]:
    """What the cell changes in configs/demo-mixed.yaml."""
    fixed = {
        "questions.size": options.questions,
        "questions.seed": FIRST_SEED + SEED_STEP * cell.seed,
        "teacher.seed": cell.seed,
        "train.seed": cell.seed,
        "evaluation.questions.size": options.test,
    }
    check_set(options, fixed)
    return dict(options.set) | dict(ARMS[cell.arm].changes) | fixed


def cell_path(options: argparse.Namespace, cell: Cell) -> Path:
    """The cell's file, whose name changes with everything that it depends on."""
    config: Run = make_config(options, settings(options, cell))
    depends = config.model_dump(include={"questions", "recipe", "evaluation"}), *trained_with(config)
    return cell.path(Path(options.out), "mixed", content_hash(cell.arm, depends, length=8))


def run_cell(options: argparse.Namespace, cell: Cell, console: Console) -> dict[str, Any]:
    """Train the student of a cell, and measure the vote and each of its formats."""
    started = time.monotonic()
    with closing(Runner(make_config(options, settings(options, cell)), console)) as runner:
        result = runner.train(runner.start().synthesize())
        tests = measure(runner, result.student)
    return {
        "tests": tests,
        "teacher": spent(runner),
        "examples": runner.report["examples"],
        "training": {"steps": result.steps, "tokens": result.tokens, "final_loss": result.final_loss},
        "seconds": round(time.monotonic() - started, 1),
    }


def measure(runner: Runner, student: str) -> dict[str, Any]:
    """By way of answering: whether each test question is answered rightly, greedily and by a vote over samples."""
    config, loaded = runner.config.evaluation, runner.ctx.held_out
    assert config and loaded
    model = trained_model(runner.config, student)
    greedy = SamplingConfig(temperature=0, max_tokens=config.max_tokens)
    sampled = greedy.model_copy(update={"n": config.n, "temperature": config.temperature})
    tests: dict[str, Any] = {}
    for name, answerer in {"vote": runner.recipe.answerer(), **runner.recipe.answerers()}.items():
        tests[name] = {}
        for how, drawn in (("greedy", greedy), ("sampled", sampled)):
            found = answer_questions(runner.ctx, f"testing {name}, {how}", model, answerer, loaded, drawn)
            answers = [elected(found.by_question[question.id]) for question in loaded.questions]
            tests[name][how] = by_question(answers)["passed"]
    return tests


def elected(answers: Sequence[Answered]) -> Answered:
    """The answer that the others elect."""
    return answers[elect([answer.value for answer in answers]) or 0]


def planned_minutes(options: argparse.Namespace, cell: Cell, others: Sequence[Cell] = ()) -> float:
    """Of a cell on 2 cores."""
    formats: Mapping[str, float] = {"programs": 1.0, "rationales": 1.3, "mixed": 2.3}
    return 1.5 + 2.5 * formats[cell.arm] * options.questions / 800


def unit(cell: Cell) -> Cell:
    """Cells of a seed learn from the same samples of the teacher."""
    return replace(cell, arm="mixed")


PLAN = Plan(ARMS, unit, cell_path, planned_minutes)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "mixed", ARMS, ARMS)
    parser.add_argument("--questions", type=int, default=800, help="training questions")
    parser.add_argument("--test", type=int, default=200, help="test questions")
    return parse_options(parser, ARMS, arguments)


def main() -> None:
    options = parse()
    go_through(options, PLAN, cells_of(options, options.arms), cells_of(options, ARMS), run_cell, write_report)


if __name__ == "__main__":
    run_main(main)
