"""Scripted feedback on BIG-Bench-Hard's own questions, where they are at hand (RAYDISTILL_DATA)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from random import Random

import pytest

from raydistill.pipelines.tasks.stepwise.base import UnreadableQuestion
from raydistill.pipelines.tasks.stepwise.steps import split_lines
from raydistill.pipelines.tasks.stepwise.table import TASKS
from tests import ROOT

DATA = os.environ.get("RAYDISTILL_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="RAYDISTILL_DATA is not set")
PACKAGE = ROOT / "pipelines" / "stepwise"
READ_IN_FULL = {
    "word_sorting": "word_sorting",
    "multistep_arithmetic_two": "multistep_arithmetic",
    "logical_deduction_three_objects": "logical_deduction",
    "logical_deduction_five_objects": "logical_deduction",
}


def rows(name: str) -> list[dict[str, str]]:
    lines = Path(DATA or "", "bbh", f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@needs_data
@pytest.mark.parametrize("name", READ_IN_FULL)
def test_all_gold_answers_are_accepted_and_every_other_is_not(name: str) -> None:
    task = TASKS[READ_IN_FULL[name]]
    benchmark = rows(name)
    assert len(benchmark) == 125
    for row in benchmark:
        *working, last = split_lines(task.rationale(row["question"]))
        stated = f"Step {len(working) + 1}: Therefore, the answer is "
        assert last.startswith(stated)
        assert task.feedback(row["question"], "\n".join([*working, f"{stated}{row['answer']}."])).correct, row
    for row, other in zip(benchmark, benchmark[1:], strict=False):
        found = task.feedback(row["question"], f"Step 1: Therefore, the answer is {other['answer']}.")
        assert found.correct == (row["answer"] == other["answer"])


@needs_data
@pytest.mark.parametrize("name", READ_IN_FULL)
def test_errors_planted_into_the_benchmark_are_found(name: str) -> None:
    task, rng = TASKS[READ_IN_FULL[name]], Random(name)
    for row in [row for row in rows(name) if len(row["question"].split()) > 9][:40]:
        attempt, step = task.plant(
            row["question"], task.rationale(row["question"]), rng.choice(("answer", first_kind(task.name))), rng
        )
        assert task.feedback(row["question"], attempt).step == step


def first_kind(task: str) -> str:
    """A kind of error that every rationale admits."""
    return {"word_sorting": "order", "multistep_arithmetic": "result", "logical_deduction": "misplaced"}[task]


@needs_data
def test_dates_are_judged_by_the_final_answer_and_never_misread() -> None:
    task = TASKS["date_understanding"]
    for row in rows("date_understanding"):
        with pytest.raises(UnreadableQuestion):
            task.feedback(row["question"], "Step 1: Therefore, the answer is (A).")
        wrong = "(A)" if row["answer"] != "(A)" else "(B)"
        assert task.feedback(
            row["question"], f"Step 1: Hm\nStep 2: Therefore, the answer is {row['answer']}.", row["answer"]
        ).correct
        assert task.feedback(row["question"], f"Step 1: Therefore, the answer is {wrong}.", row["answer"]).step == 1


@needs_data
def test_no_stem_of_the_benchmark_is_in_the_source() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.glob("*.py"))
    stems = {
        stem
        for row in rows("date_understanding")
        for stem in re.split(r"(?<=[.?]) ", row["question"].split("What is the date")[0])
    }
    for name in ("logical_deduction_three_objects", "logical_deduction_five_objects"):
        for row in rows(name):
            listing = re.search(r"([A-Z][^.]*) (?:three|five) (\w+): ", row["question"])
            assert listing
            stems |= {listing[1], f"{{count}} {listing[2]}"}
    assert len(stems) > 40
    assert not [stem for stem in stems if len(stem) > 8 and stem.strip() in source]


def test_questions_are_read_wherever_their_objects_come_from() -> None:
    """Without the data: BIG-bench's form with objects and a scene that the generator does not have."""
    question = (
        "The following paragraphs each describe a set of three objects arranged in a fixed order. The statements are "
        "logically consistent within each paragraph. In a choir, there are three voices: a deep voice, a high one, "
        "and an odd voice. The odd voice is to the left of the deep voice. The high one is the second from the left.\n"
        "Options:\n(A) The deep voice is the leftmost\n(B) The high one is the leftmost\n"
        "(C) The odd voice is the leftmost"
    )
    assert TASKS["logical_deduction"].rationale(question).endswith("Therefore, the answer is (C).")
    assert TASKS["multistep_arithmetic"].rationale("((-6 * -2 + 4) * (1 - -3)) =").endswith("the answer is 64.")
