"""The arms of TriPosT's replication: what differs between them, what a cell depends on, what it is planned to cost."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.replications.cells import Arm, Cell, check_set, configured, trained_with
from benchmarks.replications.cli import Plan
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.run_config import Run

TEST_LEVELS = (1, 2, 3)  # two seen ones, and the unseen one whose conversations fit a context of 1,024 tokens
SPLITS = ("seen", "unseen")
TEST_SEED, FIRST_SEED, SEED_STEP = 990_000, 3_000_000, 100_000  # of questions; further apart than any cell draws


@dataclass(frozen=True)
class Size:
    """How much a task is trained, so that its student works and still errs; and planned numbers of tokens."""

    questions: int  # with gold rationales
    epochs: int  # of these
    rationale: int  # planned: tokens of an example of these, prompt included
    turn: int  # planned: tokens of an example of the replay, prompt included
    attempt: int  # planned: generated per conversation of an iteration
    answer: int  # planned: generated per test question
    demonstrator_epochs: int = 4  # of the same questions, which the demonstrator starts to learn from
    options: Mapping[str, Any] = field(default_factory=dict)  # of its questions, beside the levels


TASKS = {
    "multistep_arithmetic": Size(2000, 1, 137, 380, 350, 505, 2),
    "word_sorting": Size(2000, 1, 102, 265, 225, 350, 6),
    "date_understanding": Size(3000, 2, 121, 280, 175, 225, 3, {"choices": False}),
    "logical_deduction": Size(2000, 1, 140, 265, 175, 205, 4, {"choices": False}),
}


DEMONSTRATOR = "demo/models/base-calculator"
"""What another model's mistakes come from: it has learned the same gold rationales, and has seen none before."""

ARMS = {
    "tripost": Arm("TriPosT: own mistakes, corrected"),
    "si_demo": Arm(
        "SI-demo: another model's mistakes, corrected",
        {"recipe.attempts": "teacher", "teacher.model": DEMONSTRATOR},  # once it has learned the rationales
    ),
    "lmsi": Arm("LMSI: own right attempts", {"recipe.learn": "right_attempts"}),
    "unbalanced": Arm("TriPosT, all turns and no gold", {"recipe.balance": None}),
    "attempts_learned": Arm("TriPosT, wrong attempts learned, too", {"recipe.attempt_weight": 1.0}),
    "reasons_agree": Arm("TriPosT, own feedback kept only with the right reason", {"recipe.agree_in": "reason"}),
    "corrections": Arm(
        "TriPosT, right reasons, corrected steps weighted 10",
        {"recipe.agree_in": "reason", "recipe.correction_weight": 10.0},
    ),
    "weight_1": Arm("TriPosT, feedback weighted 1.0", {"recipe.feedback_weight": 1.0}),
    "gold": Arm("gold rationales found right, no mistakes (control)", {"recipe.balance": [0, 0, 1]}),
}
HEADLINE = ("tripost", "si_demo")  # rationale SFT is what both start from

# Planned rates on 2 cores: training as other demos have shown it, generation a little below twice that of one engine.
TRAINING_TOKENS_PER_S, GENERATED_TOKENS_PER_S = 8000, 4500
START_S, TRAINING_START_S, PASS_S = 50, 10, 4  # of Ray and engines; of training workers; of a pass


@dataclass(frozen=True, order=True)
class TaskCell(Cell):
    """An arm on one of the tasks; its students after 0, 1, 2, ... iterations are measured."""

    task: str = ""

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.task}"


def settings(options: argparse.Namespace, cell: TaskCell) -> dict[str, Any]:
    """What the cell changes in configs/demo-tripost.yaml."""
    size, task = TASKS[cell.task], f"stepwise:{cell.task}"
    fixed = {
        "questions.task": task,
        "questions.options": {"levels": "seen", **size.options},
        "questions.seed": FIRST_SEED + SEED_STEP * cell.seed,
        "recipe.seed": cell.seed,
        "train.seed": cell.seed,
        "recipe.iterations": options.iterations,
        "recipe.max_examples": options.examples,
        "recipe.questions_per_iteration": options.attempts,
        "evaluation.questions.task": task,
        "evaluation.questions.options": {"levels": [*TEST_LEVELS], **size.options},
        "evaluation.questions.seed": TEST_SEED,
        "evaluation.questions.size": options.test * len(TEST_LEVELS),
        "evaluation.models": [],
    }
    defaults: dict[str, Any] = {
        "questions.size": size.questions,
        "train.epochs": size.epochs,
        "recipe.learning_rate": 1e-3,
        "recipe.agree_in": "step",  # as the released code; the demo wants right reasons
    }
    check_set(options, fixed)
    return defaults | options.set | dict(ARMS[cell.arm].changes) | fixed


def make_config(options: argparse.Namespace, cell: TaskCell, **changes: Any) -> Run:
    return configured("demo-tripost", options, settings(options, cell) | changes)


def demonstrator_config(options: argparse.Namespace, cell: TaskCell) -> Run:
    """The training of the task's demonstrator: gold rationales and nothing else, the same for all seeds."""
    changes = {
        "recipe.iterations": 0,
        "train.student": DEMONSTRATOR,
        "train.epochs": TASKS[cell.task].demonstrator_epochs,
        "train.learning_rate": 1e-3,
    }
    return make_config(options, replace(cell, seed=0, arm="tripost"), **changes)


def cell_path(options: argparse.Namespace, cell: TaskCell) -> Path:
    """The cell's file, whose name changes with every setting that it depends on; not with the code."""
    config = make_config(options, cell)
    kept = config.model_dump(include={"questions", "recipe", "evaluation"})
    depends: tuple[Any, ...] = (kept, options.temperature, *trained_with(config))
    if cell.arm == "si_demo":
        depends += trained_with(demonstrator_config(options, cell))
    if options.feedback != "own":
        depends += (options.feedback,)
    return cell.path(Path(options.out), "tripost", content_hash(depends, length=8))


def unit(cell: TaskCell) -> TaskCell:
    """Cells of a task and seed start from the same student; a machine does all of them."""
    return replace(cell, arm="tripost")


def planned_minutes(options: argparse.Namespace, cell: TaskCell, others: Sequence[TaskCell] = ()) -> float:
    """Of a cell on 2 cores; the first of `others` with the same task and seed trains and measures the rationales."""
    size, config = TASKS[cell.task], make_config(options, cell)
    assert config.train and isinstance(config.recipe, TriPosT) and config.questions
    epochs = config.recipe.epochs or config.train.epochs
    tested = len(TEST_LEVELS) * options.test * size.answer / GENERATED_TOKENS_PER_S + PASS_S
    attempted = options.attempts * size.attempt / GENERATED_TOKENS_PER_S + 3 * PASS_S
    replayed = options.examples * size.turn * epochs / TRAINING_TOKENS_PER_S + TRAINING_START_S
    seconds = START_S + options.iterations * (attempted + replayed + tested) + PASS_S
    same = [other for other in others if replace(other, arm=cell.arm) == cell]
    if not same or same[0] == cell:
        learned = (config.questions.size or 0) * size.rationale * config.train.epochs
        seconds += learned / TRAINING_TOKENS_PER_S + TRAINING_START_S + tested
    return seconds / 60


PLAN = Plan(ARMS, unit, cell_path, planned_minutes)
