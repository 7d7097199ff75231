"""The arms on real weights: what differs between them, what a cell depends on, and what it is planned to cost."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.replications.cells import Arm, Cell, check_set, configured, trained_with
from benchmarks.replications.cli import Plan
from benchmarks.replications.real.pool import completions, rows_of_test, training, write_rows
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.run_config import Run

SETTINGS: dict[str, Any] = {  # what differs from configs/recorded-programs.yaml in all arms
    "questions.answer_column": "answer",
    "teacher.completion_column": "completion",
    "recipe.recipe": "pad",
    "recipe.max_programs": 1,
    "student.dtype": "float32",
    "student.max_model_len": 768,
    "student.kv_cache_gb": 1,
    "student.max_num_seqs": 64,
    "student.replicas": [2, 2],
    "train.learning_rate": 5e-4,
    "train.epochs": 3,
    "train.warmup_ratio": 0.03,
    "train.schedule": "cosine",
    "train.batch_tokens": 4096,
    "train.micro_batch_tokens": 4096,
    "train.validation_fraction": 0.03,
    "train.save_steps": 25,
    "evaluation.max_tokens": 256,
}


@dataclass(frozen=True)
class RealArm(Arm):
    """`kind`: what of the teacher it learns; `tokens` of an example and `answer` of a test question are planned."""

    kind: str = "program"
    tokens: int = 150
    answer: int = 60


ARMS = {
    "pad": RealArm("PaD: programs"),
    "cot": RealArm("CoT: rationales", {"recipe.target": "rationale"}, "rationale", 185, 90),
    "answer": RealArm("answer only", {"recipe.target": "answer", "recipe.source": "gold"}, "rationale", 95, 8),
    "pad_documented": RealArm("PaD: programs with the question as docstring", kind="documented", tokens=190, answer=95),
}
HEADLINE = ("pad", "cot")

# Planned rates of SmolLM2-135M on 2 cores.
TRAINING_TOKENS_PER_S, GENERATED_TOKENS_PER_S, START_S = 160, 400, 120


make_config = partial(configured, "recorded-programs")


def count_of(options: argparse.Namespace, cell: Cell) -> int:
    """Training questions of a cell."""
    return max(1, round(options.questions * cell.percent / 100))


def settings(options: argparse.Namespace, cell: Cell) -> dict[str, Any]:
    """What the cell changes in configs/recorded-programs.yaml, without its files. Fewer questions get more epochs."""
    merged = SETTINGS | options.set | dict(ARMS[cell.arm].changes)
    fixed = {
        "train.student": options.student,
        "train.seed": cell.seed,
        "train.epochs": min(20, round(merged["train.epochs"] * 100 / cell.percent)),
        "evaluation.questions.task": "table",
        "evaluation.questions.grader": "numeric",
        "evaluation.models": ["student"],
    }
    check_set(options, set(fixed) - {"train.epochs"})
    return merged | fixed


def with_files(options: argparse.Namespace, cell: Cell) -> Mapping[str, Any]:
    """The same together with the files of its questions, of its teacher's answers and of the first test."""
    folder, asked = Path(options.work) / "data", rows_of_test(options.tests[0], options.test, options.pool)
    learned = training(cell.seed, count_of(options, cell), options.pool)
    written = str(write_rows(folder, completions(learned, ARMS[cell.arm].kind)))
    return settings(options, cell) | {
        "questions.path": written,
        "teacher.model": written,
        "evaluation.questions.path": str(write_rows(folder, asked)),
    }


def cell_path(options: argparse.Namespace, cell: Cell) -> Path:
    """The cell's file, whose name changes with everything that it depends on but where files lie."""
    config: Run = make_config(options, with_files(options, cell))
    learned = completions(training(cell.seed, count_of(options, cell), options.pool), ARMS[cell.arm].kind)
    tests = [rows_of_test(name, options.test, options.pool) for name in options.tests]
    kept = config.model_dump(include={"recipe", "execution"}, exclude={"execution": {"replicas"}})
    return cell.path(
        Path(options.out), "real", content_hash(cell.arm, learned, tests, kept, trained_with(config)[1:], length=8)
    )


def unit(cell: Cell) -> Cell:
    """Each cell is its own: nothing that was done for one is used by another."""
    return cell


def planned_minutes(options: argparse.Namespace, cell: Cell, others: Sequence[Cell] = ()) -> float:
    """Of a cell on 2 cores."""
    arm, changes = ARMS[cell.arm], settings(options, cell)
    asked = sum(len(rows_of_test(name, options.test, options.pool)) for name in options.tests)
    trained = count_of(options, cell) * arm.tokens * changes["train.epochs"]
    return (START_S + trained / TRAINING_TOKENS_PER_S + asked * arm.answer / GENERATED_TOKENS_PER_S) / 60


PLAN = Plan(ARMS, unit, cell_path, planned_minutes)
