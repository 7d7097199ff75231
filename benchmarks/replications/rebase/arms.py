"""The arms of ReBase's replication: what differs between them, what a cell depends on, what it is planned to cost."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.replications.cells import ROOT, Arm, Cell, check_set, configured, trained_with
from benchmarks.replications.cli import Plan
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.run_config import Run

SETTINGS: dict[str, Any] = {  # what differs from configs/demo-rebase.yaml in all arms
    "teacher.temperature": 0.7,  # the paper's
    "train.epochs": 20,
}


@dataclass(frozen=True)
class RowsArm(Arm):
    """What differs from SETTINGS, and what a student is expected to cost, for the plan."""

    examples: float = 0.6  # planned: per row
    tokens: int = 110  # planned: of an example
    written: int = 150  # planned: tokens of the teacher per row
    portion: float = 1.0  # of the rows
    as_many_as: str | None = None  # learns as many examples as this arm has
    shares: str | None = None  # learns from what the teacher has written for this arm


ARMS = {
    "row": RowsArm("ReBase: rows by their values, rewritten"),
    "dataset": RowsArm("rows by their dataset's description, rewritten", {"recipe.retrieval": "dataset"}),
    "random": RowsArm("random rows, rewritten", {"recipe.retrieval": "random"}, examples=0.4),
    "direct": RowsArm("no rows: new questions from the examples", {"recipe.retrieval": "none"}, as_many_as="row"),
    "raw": RowsArm("rows by their values, as they are", {"recipe.rewrite": False}, examples=0.9, tokens=80, written=0),
    "no_reasoning": RowsArm("ReBase, answers without reasoning", {"recipe.reasoning": False}, tokens=80, shares="row"),
    "quarter": RowsArm("positive control: a quarter of ReBase's rows, the best ones", portion=0.25),
}
HEADLINE = ("row", "dataset", "random", "direct")
SPARE = 1.5  # questions asked for per row of the other arm, where as many examples are wanted

# Planned rates on 2 cores, as `make demo` has shown them; a cell also starts engines, actors and workers.
TRAINING_TOKENS_PER_S, GENERATED_TOKENS_PER_S, ANSWER_TOKENS, START_S = 8000, 1500, 40, 180


def settings(options: argparse.Namespace, cell: Cell) -> dict[str, Any]:
    """What the cell changes in configs/demo-rebase.yaml."""
    fixed = {
        "recipe.datastore": f"{options.work}/datastore.yaml",
        "recipe.rows": asked_for(options, cell),
        "recipe.seed": cell.seed,
        "teacher.seed": cell.seed,
        "train.seed": cell.seed,
        "evaluation.questions.path": f"{options.work}/data/held_out.jsonl",
    }
    check_set(options, fixed)
    return SETTINGS | options.set | dict(ARMS[cell.arm].changes) | fixed


def asked_for(options: argparse.Namespace, cell: Cell) -> int:
    """How many rows are retrieved, or questions asked for."""
    arm = ARMS[cell.arm]
    return round(options.rows * arm.portion * (SPARE if arm.as_many_as else 1))


make_config = partial(configured, "demo-rebase")


def cell_path(options: argparse.Namespace, cell: Cell) -> Path:
    """The cell's file, whose name changes with everything that it depends on."""
    other = ARMS[cell.arm].as_many_as
    cells = [cell] + ([replace(cell, arm=other)] if other else [])
    depends = [_depends(make_config(options, settings(options, one))) for one in cells]
    made_by = ["demo/rebase_data.py"] + ["benchmarks/replications/rebase/held_out.py"] * (
        options.contents == "word_problems"
    )
    data = (options.rows_per_task, options.test, *((ROOT / name).read_text(encoding="utf-8") for name in made_by))
    return cell.path(Path(options.out), "rebase", content_hash(cell.arm, depends, data, length=8))


def _depends(config: Run) -> tuple[Any, ...]:
    assert config.evaluation
    recipe = config.recipe.model_dump(exclude={"datastore"}) | {"approximate": False}  # once a setting; names stay
    return (recipe, config.evaluation.max_tokens, *trained_with(config))


def unit(cell: Cell) -> Cell:
    """The cell whose work this one goes on with; a machine does both."""
    return replace(cell, arm=ARMS[cell.arm].as_many_as or ARMS[cell.arm].shares or cell.arm)


def planned_minutes(options: argparse.Namespace, cell: Cell, others: Sequence[Cell] = ()) -> float:
    """Of a cell on 2 cores; what one of `others`, done or planned, leaves to it is not counted."""
    arm, changes = ARMS[cell.arm], settings(options, cell)
    needed = [name for name in (arm.as_many_as, arm.shares) if name and replace(cell, arm=name) not in others]
    written = options.rows * sum(ARMS[name].written for name in needed)
    written += 0 if arm.shares else asked_for(options, cell) * arm.written
    trained = arm.examples * options.rows * arm.portion * arm.tokens * changes["train.epochs"]
    generated = written + options.test * ANSWER_TOKENS
    return (START_S + trained / TRAINING_TOKENS_PER_S + generated / GENERATED_TOKENS_PER_S) / 60


PLAN = Plan(ARMS, unit, cell_path, planned_minutes)
