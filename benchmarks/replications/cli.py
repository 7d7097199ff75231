"""The command line that replications share: their options, the plan they print, and going through their cells."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import yaml
from rich.console import Console

from benchmarks.replications.cells import RESULTS, ROOT, AnyCell, Arm, Cell, part, write_cell
from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.inference.answering import Answered, Answers, answer_questions
from raydistill.pipelines.models import trained_model
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.job import SamplingStats
from raydistill.pipelines.tasks import LoadedQuestions


@dataclass(frozen=True)
class Plan(Generic[AnyCell]):
    """The arms of a replication, and what is known of a cell before it is run."""

    arms: Mapping[str, Arm]
    unit: Callable[[AnyCell], AnyCell]  # the same for cells that one machine must do
    path: Callable[[argparse.Namespace, AnyCell], Path]  # of the file that it leaves
    minutes: Callable[[argparse.Namespace, AnyCell, Sequence[AnyCell]], float]  # planned, beside other cells


def make_parser(
    description: str | None, name: str, arms: Iterable[str], headline: Iterable[str]
) -> argparse.ArgumentParser:
    """The options of every replication, `name` that of its result page; the caller adds its own.

    Training questions are not shared out (`percents`) unless it does.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=[*arms, "all"], default=[*headline])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--part", default="1/1", help="2/3: the second of three machines; each needs its own --work")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="settings changed in all arms"
    )
    parser.add_argument("--name", default=name, help="of the result page; another one for changed settings")
    parser.add_argument("--work", default=str(ROOT / "runs" / f"replicate-{name}"))
    parser.add_argument("--out", default=str(RESULTS))
    parser.add_argument("--plan", action="store_true", help="only say what would be done, and how long it may take")
    parser.add_argument("--report", action="store_true", help="only write the page")
    parser.set_defaults(percents=[100])
    return parser


def parse_options(
    parser: argparse.ArgumentParser, arms: Iterable[str], arguments: Sequence[str] | None
) -> argparse.Namespace:
    """Those of `arms` that are wanted, in their order; `set` as a mapping of values, `changed` is what was written."""
    options = parser.parse_args(arguments)
    options.arms = [arm for arm in arms if arm in options.arms or "all" in options.arms]
    options.changed = list(options.set)
    options.set = {key: yaml.safe_load(value) for key, _, value in (given.partition("=") for given in options.changed)}
    return options


def cells_of(options: argparse.Namespace, arms: Iterable[str]) -> list[Cell]:
    """Seed after seed, the largest share of the questions first, arm after arm."""
    shares = sorted(options.percents, reverse=True)
    return [Cell(seed, percent, arm) for seed in options.seeds for percent in shares for arm in arms]


def go_through(
    options: argparse.Namespace,
    plan: Plan[AnyCell],
    cells: Sequence[AnyCell],
    page_cells: Iterable[AnyCell],
    run_cell: Callable[[argparse.Namespace, AnyCell, Console], dict[str, Any]],
    report: Callable[[argparse.Namespace, dict[AnyCell, Path]], None],
    prepare: Callable[[argparse.Namespace], None] = lambda options: None,
) -> None:
    """Print the plan of this machine's part, run its cells that are not there yet, and `report` on all that are.

    The page is of `page_cells` and of these. Runs nothing with ``--report``, reports nothing with ``--plan``.
    """
    console = Console(soft_wrap=True, highlight=False)
    mine = part(cells, options.part, plan.unit)
    todo = [] if options.report else [cell for cell in mine if not plan.path(options, cell).exists()]
    if not options.report:
        planned = [plan.minutes(options, cell, mine) for cell in todo]
        for cell, needed in zip(todo, planned, strict=True):
            console.print(f"seed {cell.seed}  {cell.name:<32} {needed:6.1f} min  {plan.arms[cell.arm].title}")
        done = len(mine) - len(todo)
        console.print(f"{len(todo)} cells to do, {done} done: {sum(planned) / 60:.1f} h planned on 2 cores")
    if options.plan:
        return
    if todo:
        prepare(options)
    for cell in todo:
        console.print(f"[bold]seed {cell.seed}, {cell.name}[/]")
        write_cell(plan.path(options, cell), cell, run_cell(options, cell, console))
    report(options, {cell: plan.path(options, cell) for cell in dict.fromkeys([*page_cells, *mine])})


def count_examples(config: Run, console: Console) -> int:
    """How many examples a cell of this configuration trains on; its teacher is asked where that has not been done."""
    with closing(Runner(config, console)) as runner:
        runner.start().synthesize()
        return int(runner.report["examples"])


def ask_student(runner: Runner, student: str, loaded: LoadedQuestions) -> tuple[list[Answered], SamplingStats]:
    """A trained student's greedy answers to test questions in order, as its recipe has it answer; and their cost."""
    assert runner.config.evaluation
    model, answerer = trained_model(runner.config, student), runner.recipe.answerer()
    sampling = SamplingConfig(temperature=0, max_tokens=runner.config.evaluation.max_tokens)
    found = answer_questions(runner.ctx, "evaluating student", model, answerer, loaded, sampling)
    return in_order(found, loaded), found.stats


def in_order(found: Answers, loaded: LoadedQuestions) -> list[Answered]:
    """The first answer to each question."""
    return [found.by_question[question.id][0] for question in loaded.questions]


def spent(runner: Runner) -> dict[str, int]:
    """What the teacher was asked, and wrote."""
    return {name: runner.report["teacher"][name] for name in ("requests", "generated_tokens", "prompt_tokens")}
