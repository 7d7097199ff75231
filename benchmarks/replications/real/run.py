"""PaD's claim (arXiv 2305.13888) on real weights: do programs teach SmolLM2-135M more than chains of thought?

    raydistill model get smollm2-135m-instruct --folder ~/models && export RAYDISTILL_MODELS=~/models
    python -m benchmarks.replications.real.run --plan                 # the headline's cells with planned minutes
    python -m benchmarks.replications.real.run --work W               # pad and cot, seeds 0, 1 and 2
    python -m benchmarks.replications.real.run --questions 2096 --arms pad --name real-full    # the full pool
    python -m benchmarks.replications.real.run --pool gsm8k --name real-gsm8k        # GSM8K's own solutions, as both
    python -m benchmarks.replications.real.run --tests dev --set train.learning_rate=1e-4 --name real-rate   # a try
    python -m benchmarks.replications.real.run --report               # page and claims from the cells that there are

Both arms learn from answers of GPT-3.5 to the same questions, programs or rationales, all of them verified;
RAYDISTILL_DATA names the folder where they lie. Tests are SVAMP and MultiArith, greedily. What a rationale would answer
with a calculator at hand is measured beside it. Of GSM8K it is the format alone that differs: programs are made from
the worked solutions that are the rationales. Each cell leaves a file in docs/results/data, and is not done again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.replications.cells import Cell, by_question, run_main
from benchmarks.replications.cli import ask_student, cells_of, go_through, make_parser, parse_options
from benchmarks.replications.real.arms import ARMS, HEADLINE, PLAN, make_config, with_files
from benchmarks.replications.real.calculator import calculated
from benchmarks.replications.real.page import write_report
from benchmarks.replications.real.pool import POOLS, TESTS, TESTS_OF, rows_of_test, write_rows
from raydistill.actors.errors import UsageError
from raydistill.pipelines.inference.answering import Answered
from raydistill.pipelines.run import Runner
from raydistill.pipelines.tasks import LoadedQuestions, load_questions

MODEL = "smollm2-135m-instruct"


def run_cell(options: argparse.Namespace, cell: Cell, console: Console) -> dict[str, Any]:
    """Train the student of a cell, and ask it the tests."""
    started = time.monotonic()
    config = make_config(options, with_files(options, cell))
    with closing(Runner(config, console)) as runner:
        result = runner.train(runner.start().synthesize())
        trained = time.monotonic() - started
        tests = {name: measure(runner, options, cell, result.student, name) for name in options.tests}
    return {
        "tests": tests,
        "examples": runner.report["examples"],
        "training": {
            "steps": result.steps,
            "tokens": result.tokens,
            "final_loss": result.final_loss,
            "seconds": round(trained, 1),
        },
        "seconds": round(time.monotonic() - started, 1),
    }


def measure(runner: Runner, options: argparse.Namespace, cell: Cell, student: str, name: str) -> dict[str, Any]:
    """What the student answers to the questions of a test, and what it would with a calculator."""
    assert runner.config.evaluation
    path = write_rows(Path(options.work) / "data", rows_of_test(name, options.test, options.pool))
    loaded = load_questions(runner.config.evaluation.questions.model_copy(update={"path": str(path)}))
    answers, stats = ask_student(runner, student, loaded)
    told: dict[str, Any] = {**by_question(answers), "tokens": stats.completion_tokens}
    if ARMS[cell.arm].kind == "rationale" and cell.arm != "answer":
        told["calculated"] = [grade_calculated(one, loaded, place) for place, one in enumerate(answers)]
    return told


def grade_calculated(answer: Answered, loaded: LoadedQuestions, place: int) -> int:
    """1 where the text is right once its sums are done right, else 0."""
    text = answer.trail[0].text
    return int(loaded.task.grade(calculated(text), loaded.questions[place]).status == "passed")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "real-svamp", ARMS, HEADLINE)
    models = os.environ.get("RAYDISTILL_MODELS")
    parser.add_argument("--student", default=models and f"{models}/{MODEL}", help=f"folder of {MODEL}")
    parser.add_argument("--percents", nargs="+", type=int, default=[100], help="shares of the training questions")
    parser.add_argument("--questions", type=int, default=1500)
    parser.add_argument("--pool", choices=POOLS, default="svamp", help="where training questions are from")
    parser.add_argument("--tests", nargs="+", choices=[*TESTS, "dev"], help="others than those of the pool")
    parser.add_argument("--test", type=int, help="only the first so many questions of each test")
    options = parse_options(parser, ARMS, arguments)
    options.tests = options.tests or [*TESTS_OF[options.pool]]
    if not options.student:
        raise UsageError("RAYDISTILL_MODELS is not set: expected the folder of models, or --student")
    return options


def main() -> None:
    options = parse()
    go_through(options, PLAN, cells_of(options, options.arms), cells_of(options, HEADLINE), run_cell, write_report)


if __name__ == "__main__":
    run_main(main)
