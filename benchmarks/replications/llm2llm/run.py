"""LLM2LLM on the demo models: do new questions like the failed seeds teach more than as many like any seeds?

    python -m benchmarks.replications.llm2llm.run --plan     # the cells with planned minutes
    python -m benchmarks.replications.llm2llm.run            # seeds alone, LLM2LLM, direct synthesis, a control
    python -m benchmarks.replications.llm2llm.run --set recipe.contrast=0 --name llm2llm-contrast-0
    python -m benchmarks.replications.llm2llm.run --report   # the page, and the claims, from the cells that there are

A cell is an (arm, seed); its seed draws the seed questions, what is written, and training. `direct` writes in each
round about seeds drawn at random, as many as its student fails, and is the same otherwise. `more` is a control: as many
further questions as LLM2LLM may add, of the seeds' own kind, with gold labels. The teacher is made first, once, of the
programs of a script (configs/demo-llm2llm-teacher.yaml). Each cell leaves a file in docs/results/data, and is not done
again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from benchmarks.replications.cells import Arm, Cell, by_question, check_set, configured, run_main
from benchmarks.replications.cli import Plan, ask_student, cells_of, go_through, make_parser, parse_options
from benchmarks.replications.llm2llm.page import write_report
from raydistill.demo import stock_programs
from raydistill.demo.rebase_data import FORM, held_out, write_files
from raydistill.demo.target_task import random_example
from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.engines import model_identity
from raydistill.pipelines.training.train import RESOURCES

ARMS = {
    "seeds": Arm("the seeds alone", {"recipe.rounds": 0}),
    "llm2llm": Arm("LLM2LLM: and new questions like those that the student fails"),
    "direct": Arm("direct synthesis: and as many like seeds drawn at random", {"recipe.about": "drawn"}),
    "more": Arm("control: and as many further ones of the seeds' kind", {"recipe.rounds": 0}),
}
TOLD = ("failed", "written", "added", "examples", "dropped")
make_config = partial(configured, "demo-llm2llm")
make_teacher = partial(configured, "demo-llm2llm-teacher")


def settings(options: argparse.Namespace, cell: Cell) -> dict[str, Any]:
    """What the cell changes in configs/demo-llm2llm.yaml; its files are those of `write_questions`."""
    fixed = {
        "questions.path": str(_data(options) / f"{_asked(options, cell)}-{cell.seed}.jsonl"),
        "evaluation.questions.path": str(_data(options) / "held_out.jsonl"),
        "teacher.model": str(Path(options.work, "teacher", "student")),
        "teacher.seed": cell.seed,
        "train.seed": cell.seed,
        "recipe.seed": cell.seed,
    }
    check_set(options, fixed)
    chosen = {"recipe.rounds": options.rounds, "recipe.similar": options.similar, "train.epochs": options.epochs}
    return chosen | dict(options.set) | dict(ARMS[cell.arm].changes) | fixed


def _data(options: argparse.Namespace) -> Path:
    return Path(options.work, "data")


def _asked(options: argparse.Namespace, cell: Cell) -> str:
    return f"more-{options.more}" if cell.arm == "more" else "seeds"


def questions(seed: int, count: int, test: int) -> list[dict[str, str]]:
    """The first `count` questions of a seed with labels; none is one of the `test` ones, none taught the teacher."""
    known = {row["question"] for row in (*held_out(test), *stock_programs.files(0)["programs"])}
    rng, made = Random(f"replicate-llm2llm/{seed}"), dict[str, str]()
    while len(made) < count:
        one = random_example(FORM, rng)
        if one["input"] not in known:
            made.setdefault(one["input"], one["output"])
    return [{"question": question, "answer": answer} for question, answer in made.items()]


def write_questions(options: argparse.Namespace) -> None:
    """The files of all seeds, and the teacher, which learns for some minutes at the first call."""
    files = {"held_out": held_out(options.test), "programs": stock_programs.files(0)["programs"]}
    for seed in options.seeds:
        files[f"seeds-{seed}"] = questions(seed, options.questions, options.test)
        files[f"more-{options.more}-{seed}"] = questions(seed, options.questions + options.more, options.test)
    write_files(_data(options), files)
    recording = str(_data(options) / "programs.jsonl")
    teacher = argparse.Namespace(work=str(Path(options.work, "teacher")))
    config = make_teacher(teacher, {"questions.path": recording, "teacher.model": recording})
    with closing(Runner(config, Console(quiet=True))) as runner:
        runner.train(runner.start().synthesize())


def cell_path(options: argparse.Namespace, cell: Cell) -> Path:
    """The cell's file, whose name changes with everything that it depends on."""
    config: Run = make_config(options, settings(options, cell))
    teacher: Run = make_teacher(options, {})
    assert config.train and teacher.train
    depends = (
        [options.questions, options.test, _asked(options, cell)],
        config.model_dump(include={"recipe"}),
        config.teacher.model_dump(include={*SamplingConfig.model_fields, "dtype", "max_model_len"}),
        config.train.model_dump(exclude={*RESOURCES, "student"}),
        teacher.model_dump(include={"recipe"}),
        teacher.train.model_dump(exclude={*RESOURCES, "student"}),
        [_identity(model) for model in (config.train.student, teacher.train.student, config.recipe.writer.model)],
    )
    return cell.path(Path(options.out), "llm2llm", content_hash(cell.arm, depends, length=8))


_identity = cache(model_identity)


def run_cell(options: argparse.Namespace, cell: Cell, console: Console) -> dict[str, Any]:
    """Train the student of a cell and test it; what the rounds were like stands beside it."""
    started = time.monotonic()
    with closing(Runner(make_config(options, settings(options, cell)), console)) as runner:
        result = runner.train(runner.start().synthesize())
        assert runner.ctx.held_out
        answers, _ = ask_student(runner, result.student, runner.ctx.held_out)
        rounds = runner.report.get("rounds") or []
        examples = rounds[-1]["examples"] if rounds else runner.report["examples"]
    return {
        "passed": by_question(answers)["passed"],
        "examples": examples,
        "rounds": [{name: told[name] for name in TOLD} for told in rounds],
        "seconds": round(time.monotonic() - started, 1),
    }


def planned_minutes(options: argparse.Namespace, cell: Cell, others: Sequence[Cell] = ()) -> float:
    """Of a cell on 2 cores."""
    return 1.0 if cell.arm in ("seeds", "more") else 1.0 + 1.0 * options.rounds


PLAN = Plan(ARMS, lambda cell: cell, cell_path, planned_minutes)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "llm2llm", ARMS, ARMS)
    parser.add_argument("--questions", type=int, default=100, help="seed questions")
    parser.add_argument("--test", type=int, default=400, help="test questions")
    parser.add_argument("--rounds", type=int, default=3, help="of attempts, new questions and training")
    parser.add_argument("--similar", type=int, default=4, help="new questions asked for per seed and round")
    parser.add_argument("--epochs", type=int, default=6, help="over the examples, each time from the base on")
    parser.add_argument("--more", type=int, default=200, help="further questions of the control")
    return parse_options(parser, ARMS, arguments)


def main() -> None:
    options = parse()
    cells = cells_of(options, options.arms)
    go_through(options, PLAN, cells, cells_of(options, ARMS), run_cell, write_report, write_questions)


if __name__ == "__main__":
    run_main(main)
