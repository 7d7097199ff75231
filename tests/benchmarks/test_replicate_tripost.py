"""TriPosT's replication: its plan, what its cells depend on, gains on hand-made answers, its page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.replications.cells import part, write_cell
from benchmarks.replications.tripost.arms import (
    ARMS,
    HEADLINE,
    TASKS,
    TaskCell,
    cell_path,
    make_config,
    planned_minutes,
    settings,
    unit,
)
from benchmarks.replications.tripost.control import to_update, updated_as_told
from benchmarks.replications.tripost.page import ALL, CLAIMS, write_report
from benchmarks.replications.tripost.run import by_question, cells_of, parse
from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import Turn
from raydistill.pipelines.recipes.tripost.editing import Judgement, open_draft
from raydistill.pipelines.recipes.tripost.updating import Rollout
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.families.stepwise import StepwiseQuestions
from raydistill.pipelines.tasks.stepwise.prompts import feedback_reply
from raydistill.pipelines.tasks.stepwise.table import TASKS as STEPWISE
from tests.pipelines.recipes.tripost.test_tripost import sections, wrong

CELL = TaskCell(0, 100, "tripost", "word_sorting")


def test_the_headline_fits_a_night() -> None:
    options = parse([])
    cells = cells_of(options, HEADLINE, options.tasks)
    assert len(cells) == 2 * 4 * 3
    assert sum(planned_minutes(options, cell, cells) for cell in cells) < 480


def test_the_first_cell_of_a_task_and_seed_trains_the_rationales_for_all() -> None:
    options, demo = parse([]), replace(CELL, arm="si_demo")
    assert planned_minutes(options, demo) > planned_minutes(options, demo, [CELL, demo])
    assert planned_minutes(options, demo) == planned_minutes(options, demo, [replace(CELL, seed=1), demo])


def test_parts_keep_a_student_on_one_machine() -> None:
    cells = cells_of(parse([]), ARMS, TASKS)
    parts = [part(cells, f"{number}/2", unit) for number in (1, 2)]
    assert len(cells) == len(ARMS) * 12 and sorted([*parts[0], *parts[1]]) == sorted(cells)
    for share in parts:
        assert len({unit(cell) for cell in share}) * len(ARMS) == len(share)


def test_a_cells_file_changes_with_all_that_it_depends_on_and_nothing_else(tmp_path: Path) -> None:
    def path(cell: TaskCell, *arguments: str) -> Path:
        return cell_path(parse(["--out", str(tmp_path), *arguments]), cell)

    cells = [TaskCell(seed, 100, arm, task) for arm in ARMS for task in TASKS for seed in (0, 1)]
    assert len({path(cell) for cell in cells}) == len(cells)
    assert path(CELL, "--seeds", "7", "--work", "elsewhere", "--set", "train.gpus_per_worker=1") == path(CELL)
    for change in (
        ["--test", "9"],
        ["--attempts", "9"],
        ["--examples", "9"],
        ["--temperature", "1"],
        ["--feedback", "script"],
        ["--set", "recipe.epochs=1"],
    ):
        assert path(CELL, *change) != path(CELL)


def test_arms_differ_in_what_they_are_about() -> None:
    recipes = {arm: make_config(parse([]), replace(CELL, arm=arm)).recipe for arm in ARMS}
    whole = recipes.pop("tripost").model_dump()
    changed = {a: {k: v for k, v in r.model_dump().items() if v != whole.get(k)} for a, r in recipes.items()}
    assert changed == {
        "si_demo": {"attempts": "teacher"},
        "lmsi": {"learn": "right_attempts"},
        "unbalanced": {"balance": None},
        "attempts_learned": {"attempt_weight": 1.0},
        "reasons_agree": {"agree_in": "reason"},
        "corrections": {"agree_in": "reason", "correction_weight": 10.0},
        "weight_1": {"feedback_weight": 1.0},
        "gold": {"balance": (0, 0, 1)},
    }
    with pytest.raises(UsageError, match="--set train.seed: the replication sets this itself"):
        settings(parse(["--set", "train.seed=3"]), CELL)


def test_answers_are_told_question_by_question() -> None:
    task, question = StepwiseQuestions(STEPWISE["multistep_arithmetic"]), Question("q", "(3 + 4) =", "7")
    wrong, right = Turn("Step 1: Therefore, the answer is 8."), Turn("Step 1: Therefore, the answer is 7.")
    said = [((wrong, right), "correct"), ((right, wrong), "limit"), ((right,), "repetition"), ((), None)]
    rollouts = [Rollout(f"{n}", question, turns, ending) for n, (turns, ending) in enumerate(said)]
    told = {"before": [0, 1, 1, None], "after": [1, 0, 1, None], "tried": [1, 1, 0, None], "repeated": [0, 0, 1, None]}
    assert by_question(rollouts, task) == told


def test_students_are_told_what_is_wrong_once(cluster: None, tmp_path: Path) -> None:
    """Attempts of three questions: right, wrong and updated, wrong without steps."""
    loaded = load_questions(Run.model_validate(sections("run", "")).questions)
    right, bad, shapeless = loaded.questions[:3]
    attempt, found = wrong(bad)
    said = [right.meta["rationale"], attempt, f"It is {shapeless.answer}."]
    rollouts = [
        Rollout(q.id, q, (Turn(text, "All steps are right."), Turn("left out")), "correct")
        for q, text in zip((right, bad, shapeless), said, strict=True)
    ]
    config = Run.model_validate(sections(tmp_path / "run", tmp_path / "recorded.jsonl", worked_out=False))
    asked = to_update(open_draft(bad.id, bad, [Turn(attempt)]), Judgement(found, feedback_reply(attempt, found)))
    reply = json.dumps({"question": asked.text, "completion": f"\n{bad.meta['rationale']}\nFeedback: Hm."})
    (tmp_path / "recorded.jsonl").write_text(reply + "\n", encoding="utf-8")
    ctx, sampling = RunContext(config, None), SamplingConfig(n=1, temperature=0)
    assert isinstance(config.recipe, TriPosT)
    try:
        told = updated_as_told(ctx, "test", config.teacher, loaded, rollouts, sampling, config.recipe)
    finally:
        ctx.close()
    assert [[turn.attempt for turn in rollout.turns] for rollout in told] == [
        [said[0]],
        [attempt, bad.meta["rationale"]],
        [said[2]],
    ]
    assert told[1].turns[0].verdict == found and told[1].ending == "limit"


# The page ---------------------------------------------------------------------------------------------------------


def measured(*right: int, repeated: int | None = None) -> dict[str, Any]:
    """A made cell: students that answer the first so many of 20 questions, two of them by an update."""
    students = [
        {"before": [1] * (n - 2) + [0] * (22 - n), "after": [1] * n + [0] * (20 - n), "tried": [0] * 10 + [1] * 10}
        for n in right
    ]
    if repeated is not None:
        students = [{**told, "repeated": [1] * repeated + [0] * (20 - repeated)} for told in students]
    account = {"examples": 35, "kept": {"improvement": 15, "self_correct": 10, "gold": 10}}
    return {"tests": [{"seen": s, "unseen": s} for s in students], "iterations": [account] * 3, "seconds": 30.0}


MADE = {
    **{TaskCell(s, 100, "tripost", task): measured(8, 10, 11, 12 + s) for task in TASKS for s in (0, 1, 2)},
    **{TaskCell(0, 100, "si_demo", task): measured(8, 9, 9, 13) for task in TASKS},
    TaskCell(0, 100, "lmsi", "word_sorting"): measured(8, 9, 9, 10, repeated=3),
}


def test_the_page_says_what_was_measured_what_holds_and_what_is_missing(tmp_path: Path) -> None:
    options = parse(["--out", str(tmp_path), "--name", "made", "--set", "recipe.epochs=2"])
    for cell, content in MADE.items():
        write_cell(cell_path(options, cell), cell, {"task": cell.task, **content})
    absent = TaskCell(0, 100, "gold", "word_sorting")
    write_report(options, {cell: cell_path(options, cell) for cell in [*MADE, absent]})
    content = json.loads((tmp_path / "made.json").read_text())
    rates = content["students"]["tripost t=3"][ALL]["seen"]
    assert (rates["before"]["mean"], rates["after"]["mean"], rates["helped"]["mean"]) == (0.55, 0.65, 0.1)
    assert (rates["tried"]["mean"], rates["hurt"]["mean"]) == (0.5, 0.0)
    claims = {(told["claim"], told["task"], told["split"]): told for told in content["comparisons"]}
    headline = claims[CLAIMS[0].text, ALL, "seen"]
    assert headline["gain"] == 0.25 and headline["seeds"] == 3 and headline["holds"]
    assert claims["TriPosT over SI-demo", ALL, "unseen"]["gain"] == -0.05
    assert not claims["TriPosT over SI-demo", "word_sorting", "seen"]["holds"]
    assert claims["TriPosT over LMSI", "word_sorting", "seen"]["gain"] == 0.1
    assert ("TriPosT over LMSI", ALL, "seen") not in claims and content["missing"] == ["gold-word_sorting/0"]
    text = (tmp_path / "made.md").read_text()
    assert "changed in all arms: `recipe.epochs=2`" in text and "+25.0 points (multistep_arithmetic, seen)" in text
    assert "| tripost | TriPosT: own mistakes, corrected | word_sorting | 35 | 15 | 10 | 10 |" in text
    assert f"| si_demo t=3 |{' 50.0 / 10.0 / 0.0 |' * 8}" in text
    assert "| lmsi t=3 | - | - | 50.0 / 10.0 / 0.0 / 15.0 | 50.0 / 10.0 / 0.0 / 15.0 |" in text
    assert "it reaches the paper's 7.13" in text and (tmp_path / "made.svg").read_text().startswith("<?xml")


def test_a_control_measured_on_one_task_says_so_and_compares_nothing_with_the_paper(tmp_path: Path) -> None:
    options = parse(["--out", str(tmp_path), "--name", "made", "--feedback", "script", "--temperature", "1"])
    path = cell_path(options, CELL)
    write_cell(path, CELL, {"task": CELL.task, **MADE[CELL]})
    write_report(options, {CELL: path})
    text = (tmp_path / "made.md").read_text()
    assert text.startswith("# TriPosT on the demo models, told by the script, answers at temperature 1\n")
    assert "## All tasks" not in text and "7.13" not in text and "| tripost t=3 | - | - | 50.0 / 10.0 / 0.0 |" in text
