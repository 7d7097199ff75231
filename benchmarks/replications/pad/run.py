"""PaD's claims (arXiv 2305.13888) on the demo models: do verified programs teach better than chains of thought?

    python -m benchmarks.replications.pad.run --plan  # the headline's cells with planned minutes
    python -m benchmarks.replications.pad.run  # cot, gold_cot and pad, seeds 0, 1 and 2
    python -m benchmarks.replications.pad.run --percents 5 35 100                                   # the data curve
    python -m benchmarks.replications.pad.run --arms all --part 1/2 --work W  # every other one, for one of two machines
    python -m benchmarks.replications.pad.run --set teacher.temperature=1 --name pad-temperature-1  # a changed setting
    python -m benchmarks.replications.pad.run --report  # page and plot from the cells that there are

A cell is an (arm, share of the questions, seed); its seed draws training questions, teacher samples and training.
Students are tested on fresh questions of the templates they train on (known) and of all others (held_out). Each cell
leaves a file in docs/results/data, and is not done again; the same command goes on after kill -9. Cells of one `--work`
share what the teacher has written.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.replications.cells import SETS, Cell, by_question, questions_of_set, run_main
from benchmarks.replications.cli import (
    ask_student,
    cells_of,
    count_examples,
    go_through,
    in_order,
    make_parser,
    parse_options,
    spent,
)
from benchmarks.replications.pad.arms import ARMS, HEADLINE, PLAN, SPARE, PadArm, make_config, settings
from benchmarks.replications.pad.page import write_report
from raydistill.actors.errors import UsageError
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.config.sections import Student
from raydistill.pipelines.context import ExampleSet
from raydistill.pipelines.data.examples import read_examples, write_by_content
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.evaluation.measure import search_beams
from raydistill.pipelines.models import student_hosting, trained_model
from raydistill.pipelines.prompts import fence
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks import load_questions


def run_cell(options: argparse.Namespace, cell: Cell, console: Console) -> dict[str, Any]:
    """Train the student of a cell, or find it where another cell has trained it, and measure it."""
    arm, started = ARMS[cell.arm], time.monotonic()
    changes = settings(options, replace(cell, arm=arm.student_of or cell.arm))
    count = (
        count_examples(make_config(options, settings(options, replace(cell, arm=arm.as_many_as))), console)
        if arm.as_many_as
        else None
    )
    if count is not None:
        changes["questions.size"] = math.ceil(SPARE * count) + 8
    config = make_config(options, changes)
    if arm.recorded:
        recorded = {"engine": "recorded", "model": str(record_gold(config, Path(options.work)))}
        hosted = Student(**student_hosting(config))  # as all arms' students are
        config = config.model_copy(update={"teacher": config.teacher.model_copy(update=recorded), "student": hosted})
    with closing(Runner(config, console)) as runner:
        examples = runner.start().synthesize()
        if count is not None:
            examples = first_examples(runner, examples, count)
        result = runner.train(examples)
        tests = {name: measure(runner, arm, result.student, SETS[name]) for name in SETS}
    return {
        "tests": tests,
        "teacher": spent(runner),
        "questions": len({example.question_id for example in read_examples(examples.folder)}),
        "examples": runner.report["examples"],
        "training": {"steps": result.steps, "tokens": result.tokens, "final_loss": result.final_loss},
        "seconds": round(time.monotonic() - started, 1),
    }


def first_examples(runner: Runner, made: ExampleSet, count: int) -> ExampleSet:
    """The first `count` of the examples in the order of the questions."""
    order = {question.id: place for place, question in enumerate(runner.ctx.questions.questions)}
    examples = sorted(read_examples(made.folder), key=lambda example: (order[example.question_id], example.id))
    if len(examples) < count:
        raise UsageError(f"{count} examples wanted, but {len(order)} questions gave {len(examples)}: raise SPARE")
    key = write_by_content(sorted(examples[:count], key=lambda e: e.id), f"{runner.ctx.root}/examples")
    return runner.ctx.exported(ExampleSet(f"{runner.ctx.root}/examples/{key}", key, count))


def record_gold(config: Run, work: Path) -> Path:
    """A file of the gold programs of the training questions, empty where a template has none, as a teacher's."""
    assert config.questions
    rows = [
        {"question": question.text, "completion": gold_program(question, config.questions.seed)}
        for question in load_questions(config.questions).questions
    ]
    path = work / "gold" / f"{content_hash(rows)}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(str(path), "".join(json.dumps(row) + "\n" for row in rows).encode())
    return path


def gold_program(question: Question, seed: int) -> str:
    """The hand-written program of a gsm_symbolic question drawn with `seed`, fenced; "" where there is none."""
    from raydistill.demo import gold, gsm

    template = int(question.meta["template"].rpartition("/")[2])
    instance = gsm.instance(template, seed + question.meta["row"])
    if instance.question != question.text:
        raise UsageError(f"template {template} gives {instance.question[:60]!r}; expected {question.text[:60]!r}")
    return fence(gold.program(instance)) if template in gold.PROGRAMS else ""


def measure(runner: Runner, arm: PadArm, student: str, templates: Mapping[str, Any]) -> dict[str, Any]:
    """What the student answers to each test question: greedily, with repairs, or by beam search; and what it cost."""
    config, ctx = runner.config, runner.ctx
    assert config.evaluation
    loaded, asked = load_questions(questions_of_set(config, templates)), runner.recipe.student
    if arm.beam:
        model = trained_model(config, student)
        found = search_beams(ctx, config.evaluation, arm.beam, "student", model, asked, loaded)
        answers, stats = in_order(found, loaded), found.stats
    else:
        answers, stats = ask_student(runner, student, loaded)
    told: dict[str, Any] = {**by_question(answers), "tokens": stats.completion_tokens}
    told |= {"seconds": round(stats.wall_s, 1) if stats.generated == stats.samples else None}  # None: resumed
    if runner.recipe.answerer().limit:
        told |= {"before_repairs": by_question(answer.trail[0] if answer.trail else answer for answer in answers)}
    return told


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = make_parser(__doc__, "pad", ARMS, HEADLINE)
    parser.add_argument("--percents", nargs="+", type=int, default=[100], help="shares of the training questions")
    parser.add_argument("--questions", type=int, default=2500)
    parser.add_argument("--test", type=int, default=500, help="test questions of each set")
    return parse_options(parser, ARMS, arguments)


def main() -> None:
    options = parse()
    curve = [replace(cell, percent=percent) for cell in cells_of(options, HEADLINE) for percent in (5, 35, 100)]
    page_cells = [*curve, *cells_of(options, ARMS)]
    go_through(options, PLAN, cells_of(options, options.arms), page_cells, run_cell, write_report)


if __name__ == "__main__":
    run_main(main)
