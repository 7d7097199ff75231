"""The arms of MCC-KD's replication: what differs between them, what a cell depends on, what it is planned to cost."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.replications.cells import SETS as TEMPLATES
from benchmarks.replications.cells import Arm, Cell, check_set, configured, questions_of_set, trained_with
from benchmarks.replications.cli import Plan
from benchmarks.replications.pages import SET_TITLES
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.run_config import Run

SETTINGS: dict[str, Any] = {  # what differs from configs/demo-mcc-kd.yaml in all arms
    "teacher.n": 12,  # in one round, so that there is something to choose from, and the same for all arms
    "teacher.rounds": 1,
    "recipe.rationales": 3,
    "train.epochs": 8,
}
SETS = TEMPLATES | {"larger": TEMPLATES["known"] | {"difficulty": 2}}
TITLES = SET_TITLES | {"larger": "larger numbers"}
"""Fresh questions of the templates that students train on, of all others, and of the first with larger numbers."""

TEST_SEED, FIRST_SEED, SEED_STEP = 990_000, 2_000_000, 100_000  # of questions; further apart than any cell draws
SAMPLES = 6  # of the teacher for each test question, among them the rationales that consistency is measured over
BLOCKS = 20  # of test questions; consistency is a mean for each


@dataclass(frozen=True)
class MccKDArm(Arm):
    """What differs from SETTINGS; `tokens` of a question and epoch are planned, two rationales with their prompts."""

    share: float = 1.0  # of the training questions
    epochs: int = 1  # times those of the others
    tokens: int = 330


ARMS = {
    "k_without_kl": MccKDArm("K diverse rationales in pairs, no KL (alpha 0)", {"recipe.alpha": 0.0}),
    "diverse_kl": MccKDArm("MCC-KD: K diverse rationales, with KL"),
    "single": MccKDArm("one rationale, twice as many epochs", {"recipe.rationales": 1}, epochs=2, tokens=165),
    "random_kl": MccKDArm("K random rationales, with KL", {"recipe.select": "random"}),
    "similar_kl": MccKDArm("the K most similar rationales, with KL", {"recipe.select": "similar"}),
    "unfiltered_kl": MccKDArm("MCC-KD, rationales not verified", {"recipe.filter": False}, tokens=350),
    "alpha_0.01": MccKDArm("MCC-KD, alpha 0.01", {"recipe.alpha": 0.01}),
    "alpha_1": MccKDArm("MCC-KD, alpha 1", {"recipe.alpha": 1.0}),
    "alpha_10": MccKDArm("control, alpha 10: answer KL must fall", {"recipe.alpha": 10.0}),
    "half": MccKDArm("control, half of the questions, no KL: accuracy must fall", {"recipe.alpha": 0.0}, share=0.5),
}
HEADLINE = ("k_without_kl", "diverse_kl")
TEACHER = Cell(0, 100, "diverse_kl")  # the cell with whose settings rationales for the test questions are written

# Planned rates on 2 cores, as `make demo-mcc-kd` has shown them; a cell also starts engines, actors and workers.
TRAINING_TOKENS_PER_S, GENERATED_TOKENS_PER_S, START_S = 6500, 2500, 180
RATIONALE_TOKENS, ANSWER_TOKENS = 125, 110


def settings(options: argparse.Namespace, cell: Cell) -> dict[str, Any]:
    """What the cell changes in configs/demo-mcc-kd.yaml; its seed draws questions, the teacher's samples, training."""
    arm = ARMS[cell.arm]
    fixed = {
        "questions.size": max(1, round(options.questions * arm.share)),
        "questions.seed": FIRST_SEED + SEED_STEP * cell.seed,
        "questions.options": SETS["known"],
        "teacher.seed": cell.seed,
        "recipe.seed": cell.seed,
        "train.seed": cell.seed,
        "evaluation.questions.size": options.test,
        "evaluation.questions.seed": TEST_SEED,
        "evaluation.questions.options": SETS["known"],
    }
    check_set(options, fixed)
    merged = SETTINGS | options.set | dict(arm.changes) | fixed
    return merged | {"train.epochs": arm.epochs * merged["train.epochs"]}


make_config = partial(configured, "demo-mcc-kd")


def rationales_config(options: argparse.Namespace, name: str) -> Run:
    """The configuration by which the teacher writes rationales for the test questions of the set `name`."""
    config = make_config(options, settings(options, TEACHER) | {"teacher.n": SAMPLES})
    asked = questions_of_set(config, SETS[name])
    return config.model_copy(update={"questions": asked, "evaluation": None, "train": None})


def cell_path(options: argparse.Namespace, cell: Cell) -> Path:
    """The cell's file, whose name changes with everything that it depends on."""
    depends = [_depends(make_config(options, settings(options, one))) for one in (cell, TEACHER)]
    return cell.path(Path(options.out), "mcc_kd", content_hash(cell.arm, depends, SAMPLES, BLOCKS, length=8))


def _depends(config: Run) -> tuple[Any, ...]:
    return (config.model_dump(include={"questions", "recipe", "evaluation"}), *trained_with(config))


def unit(cell: Cell) -> Cell:
    """Cells of a seed learn from the same samples of the teacher; a machine does all of them."""
    return replace(cell, arm=HEADLINE[0])


def planned_minutes(options: argparse.Namespace, cell: Cell, others: Sequence[Cell] = ()) -> float:
    """Of a cell on 2 cores; the first of `others` of a seed has the teacher asked, the first of all for the tests."""
    changes = settings(options, cell)
    trained = changes["questions.size"] * ARMS[cell.arm].tokens * changes["train.epochs"]
    same = [other for other in others if other.seed == cell.seed]
    samples = options.questions * changes["teacher.n"] if not same or same[0] == cell else 0
    samples += len(SETS) * options.test * SAMPLES if not others or others[0] == cell else 0
    generated = samples * RATIONALE_TOKENS + len(SETS) * options.test * ANSWER_TOKENS
    return (START_S + trained / TRAINING_TOKENS_PER_S + generated / GENERATED_TOKENS_PER_S) / 60


PLAN = Plan(ARMS, unit, cell_path, planned_minutes)
