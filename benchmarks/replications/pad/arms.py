"""The arms of PaD's replication: what differs between them, what a cell depends on, and what it is planned to cost."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.replications.cells import SETS, Arm, Cell, check_set, configured, trained_with
from benchmarks.replications.cli import Plan
from raydistill.pipelines.config.sections import Beam
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.run_config import Run

SETTINGS: dict[str, Any] = {  # what differs from configs/demo.yaml in all arms
    "questions.options": SETS["known"],
    "teacher.n": 1,
    "teacher.rounds": 16,
    "teacher.question_tokens": 200,  # each question is asked again until it has cost these
    "teacher.max_tokens": 400,
    "recipe.max_programs": 16,  # everything distinct and verified is learned
    "train.epochs": 8,
    "train.batch_tokens": 4096,
    "train.micro_batch_tokens": 4096,
    "train.early_stopping_patience": 3,  # the paper's
    "evaluation.max_tokens": 400,
}
MOST_EPOCHS = 50  # the paper's
MOST_VALIDATION = 0.2
TEST_SEED, FIRST_SEED, SEED_STEP = 990_000, 2_000_000, 100_000  # of questions; further apart than any cell draws
ONCE = {"teacher.rounds": 1, "teacher.question_tokens": None}
CONTEXTS = ("straight", "comments", "inline", "reordered", "steps", "steps-small", "givens", "helper")  # seven styles
PASSES = len(CONTEXTS)


@dataclass(frozen=True)
class PadArm(Arm):
    """What differs from SETTINGS, and what a student is expected to cost, for the plan.

    `examples` (per training question), `tokens` (of an example) and `asked` (the teacher's, per question) are planned.
    """

    examples: float = 1.0
    tokens: int = 140
    asked: int = 0
    as_many_as: str | None = None  # learns from the first questions, as many examples as this arm has
    student_of: str | None = None  # trains none; this arm's student is measured
    recorded: bool = False  # its teacher is a file of gold programs
    beam: Beam | None = None
    answer: int = 45  # planned: tokens generated per test question
    shares: str | None = None  # uses what was written, or trained, for this arm

    @property
    def after(self) -> str | None:
        """The arm whose work this one needs."""
        return self.as_many_as or self.student_of or self.shares


GOLD_COT = {"recipe.target": "rationale", "recipe.source": "gold"}
ARMS = {
    "pad": PadArm("PaD: verified programs", asked=240),
    "cot": PadArm("CoT of the teacher, filtered by answer", {"recipe.target": "rationale"}, 1.5, 210, 280, answer=110),
    "cot_practised": PadArm(
        "CoT of the teacher, base practised in sums",
        {"recipe.target": "rationale", "train.student": "demo/models/base-calculator"},
        1.5,
        210,
        answer=110,
        shares="cot",
    ),
    "gold_cot": PadArm("CoT of the data set", GOLD_COT, tokens=210, as_many_as="pad", answer=110),
    "answer": PadArm(
        "answer only", {"recipe.target": "answer", "recipe.source": "gold"}, tokens=95, as_many_as="pad", answer=5
    ),
    "unfiltered": PadArm("PaD, programs not verified", {"recipe.filter": False}, examples=3, shares="pad"),
    "one_pass": PadArm("PaD, one sample", {**ONCE, "teacher.n": 1}, examples=0.6, asked=50),
    "samples": PadArm(f"PaD, {PASSES} samples of one prompt", {**ONCE, "teacher.n": PASSES}, examples=1.2, asked=350),
    "contexts": PadArm(
        f"PaD, {PASSES} contexts, a sample of each",
        {**ONCE, "recipe.contexts": CONTEXTS, "recipe.shots": 1},
        examples=4,
        asked=450,
    ),
    "refine": PadArm(
        "PaD + self-refinement", {"recipe.refine": {"own_samples": 1}}, examples=3, tokens=220, asked=60, shares="pad"
    ),
    "beam": PadArm("PaD, plain beam", student_of="pad", beam=Beam(), answer=700),
    "beam_steps": PadArm("PaD, step verification", student_of="pad", beam=Beam(faithfulness=True), answer=1500),
    "beam_execution": PadArm("PaD, execution-aware beam", student_of="pad", beam=Beam(execution=True), answer=1500),
    "gold_programs": PadArm("gold programs (positive control)", {**ONCE, "recipe.max_programs": 1}, as_many_as="pad"),
}
HEADLINE = ("pad", "cot", "gold_cot")
SPARE = 1.6  # questions per example of an arm that learns gold solutions; not all have one (programs: 72 %)

# Planned rates on 2 cores, as `make demo` has shown them; a cell also starts engines, actors and workers.
TRAINING_TOKENS_PER_S, GENERATED_TOKENS_PER_S, START_S = 8000, 2600, 180


def settings(options: argparse.Namespace, cell: Cell) -> dict[str, Any]:
    """What the cell changes in configs/demo.yaml. Fewer questions get more epochs and a larger share of validation."""
    merged = SETTINGS | options.set | dict(ARMS[cell.arm].changes)
    share = cell.percent / 100
    fixed = {
        "questions.size": max(1, round(options.questions * share)),
        "questions.seed": FIRST_SEED + SEED_STEP * cell.seed,
        "teacher.seed": cell.seed,
        "train.seed": cell.seed,
        "train.epochs": min(max(MOST_EPOCHS, merged["train.epochs"]), round(merged["train.epochs"] / share)),
        "train.validation_fraction": min(MOST_VALIDATION, round(0.03 / share, 4)),
        "evaluation.questions.size": options.test,
        "evaluation.questions.seed": TEST_SEED,
        "evaluation.questions.options": SETS["known"],
    }
    check_set(options, set(fixed) - {"train.epochs"})
    return merged | fixed


make_config = partial(configured, "demo")


def cell_path(options: argparse.Namespace, cell: Cell) -> Path:
    """The cell's file, whose name changes with everything that it depends on."""
    arm = ARMS[cell.arm]
    others = [replace(cell, arm=other) for other in (arm.as_many_as, arm.student_of) if other]
    depends = [_depends(make_config(options, settings(options, one))) for one in (cell, *others)]
    beam = arm.beam.model_dump() if arm.beam else None
    return cell.path(Path(options.out), "pad", content_hash(cell.arm, depends, beam, length=8))


def _depends(config: Run) -> tuple[Any, ...]:
    kept = config.model_dump(
        include={"questions", "recipe", "evaluation", "execution"}, exclude={"execution": {"replicas"}}
    )
    return (kept, *trained_with(config))


def unit(cell: Cell) -> Cell:
    """The cell whose student this one measures or starts from; a machine does both."""
    return replace(cell, arm=ARMS[cell.arm].student_of or ARMS[cell.arm].shares or cell.arm)


def planned_minutes(options: argparse.Namespace, cell: Cell, others: Sequence[Cell] = ()) -> float:
    """Of a cell on 2 cores; work that one of `others`, done or planned, leaves to it is not counted."""
    arm, changes = ARMS[cell.arm], settings(options, cell)
    questions, examples = changes["questions.size"], arm.examples * changes["questions.size"]
    trained = 0.0 if arm.student_of else examples * arm.tokens * changes["train.epochs"]
    generated = questions * arm.asked + len(SETS) * options.test * arm.answer
    seconds = START_S + trained / TRAINING_TOKENS_PER_S + generated / GENERATED_TOKENS_PER_S
    if (first := arm.after) and replace(cell, arm=first) not in others:
        if arm.student_of or "recipe.refine" in arm.changes:
            return seconds / 60 + planned_minutes(options, replace(cell, arm=first))
        seconds += questions * ARMS[first].asked / GENERATED_TOKENS_PER_S
    return seconds / 60


PLAN = Plan(ARMS, unit, cell_path, planned_minutes)
