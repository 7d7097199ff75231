"""PaD's replication: its plan, what its cells depend on, gains and intervals on hand-made numbers, its page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.replications.cells import Cell, by_question, part, write_cell
from benchmarks.replications.cli import cells_of
from benchmarks.replications.pad.arms import ARMS, HEADLINE, cell_path, planned_minutes, settings, unit
from benchmarks.replications.pad.page import CLAIMS, summarise, write_report
from benchmarks.replications.pad.run import first_examples, gold_program, parse
from raydistill.actors.errors import UsageError
from raydistill.demo import gold
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.evaluation.bootstrap import interval, matrix, paired
from raydistill.pipelines.inference.answering import Answered
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.extract import extract_program

SEEDS = (0, 1, 2)


# The plan ---------------------------------------------------------------------------------------------------------


def test_the_headline_is_three_arms_on_three_seeds_planned_within_three_hours() -> None:
    options = parse([])
    cells = cells_of(options, options.arms)
    assert [(cell.arm, cell.seed) for cell in cells] == [(arm, seed) for seed in SEEDS for arm in HEADLINE]
    assert 60 < sum(planned_minutes(options, cell, cells) for cell in cells) < 180


def test_a_cell_alone_is_planned_with_the_work_that_it_needs() -> None:
    options, pad = parse([]), Cell(0, 100, "pad")
    for arm in ("gold_cot", "unfiltered", "refine", "beam_steps"):
        cell = replace(pad, arm=arm)
        alone, run_on_driver_node = planned_minutes(options, cell), planned_minutes(options, cell, [pad])
        assert alone > run_on_driver_node
        trains_pad = arm in ("refine", "beam_steps")
        assert (alone - run_on_driver_node == pytest.approx(planned_minutes(options, pad))) == trains_pad


def test_parts_share_all_cells_out_and_keep_a_student_on_one_machine() -> None:
    options = parse(["--arms", "all"])
    cells = cells_of(options, options.arms)
    assert len(cells) == len(ARMS) * len(SEEDS)
    parts = [part(cells, f"{number}/2", unit) for number in (1, 2)]
    assert sorted([*parts[0], *parts[1]]) == sorted(cells)
    for share in parts:
        for cell in share:
            assert not ARMS[cell.arm].student_of or unit(cell) in share
    with pytest.raises(UsageError, match="'3/2': expected"):
        part(cells, "3/2", unit)


def test_fewer_questions_are_learned_in_more_epochs_up_to_the_papers_fifty() -> None:
    options = parse(["--percents", "5", "35", "100"])
    told = {percent: settings(options, Cell(1, percent, "pad")) for percent in options.percents}
    assert [told[percent]["questions.size"] for percent in (5, 35, 100)] == [125, 875, 2500]
    assert [told[percent]["train.epochs"] for percent in (5, 35, 100)] == [50, 23, 8]
    assert [told[percent]["train.validation_fraction"] for percent in (5, 35, 100)] == [0.2, 0.0857, 0.03]


def test_a_cells_file_changes_with_all_that_it_depends_on_and_nothing_else(tmp_path: Path) -> None:
    def path(cell: Cell, *arguments: str) -> Path:
        return cell_path(parse(["--out", str(tmp_path), *arguments]), cell)

    cells = [Cell(seed, percent, arm) for arm in ARMS for percent in (35, 100) for seed in (0, 1)]
    assert len({path(cell) for cell in cells}) == len(cells)
    for cell in (Cell(0, 100, "pad"), Cell(0, 100, "gold_cot"), Cell(0, 100, "beam")):
        same = path(cell, "--seeds", "7", "--work", "elsewhere", "--set", "train.gpus_per_worker=1")
        assert same == path(cell)
        for change in (["--test", "9"], ["--questions", "9"], ["--set", "teacher.temperature=1"]):
            assert path(cell, *change) != path(cell)


def test_settings_that_the_replication_makes_itself_cannot_be_set() -> None:
    with pytest.raises(UsageError, match="--set train.seed: the replication sets this itself"):
        settings(parse(["--set", "train.seed=3"]), Cell(0, 100, "pad"))
    assert settings(parse(["--set", "train.epochs=2"]), Cell(0, 100, "pad"))["train.epochs"] == 2


# Gold, and as many examples ---------------------------------------------------------------------------------------

QUESTIONS = Questions(task="reasoning_gym:gsm_symbolic", size=30, seed=2_000_000, options={"templates": [0, 69]})


def test_gold_programs_answer_the_questions_that_they_are_recorded_for() -> None:
    written = 0
    for question in load_questions(QUESTIONS).questions:
        if program := extract_program(gold_program(question, QUESTIONS.seed)):
            assert gold.returns_answer(program, question.answer)
            written += 1
    assert written > 20


def test_gold_arms_learn_the_first_questions_and_as_many_as_asked(tmp_path: Path) -> None:
    config = Run.model_validate(
        {
            "run_dir": str(tmp_path),
            "questions": QUESTIONS.model_dump(),
            "teacher": {"model": "not/asked"},
            "recipe": {"target": "rationale", "source": "gold"},
        }
    )
    runner = Runner(config)
    examples = runner.start().synthesize()
    taken = {example.question_id for example in read_examples(first_examples(runner, examples, 12).folder)}
    assert taken == {question.id for question in runner.ctx.questions.questions[:12]}
    assert runner.report["examples"] == 12
    with pytest.raises(UsageError, match="31 examples wanted"):
        first_examples(runner, examples, 31)


# Numbers ----------------------------------------------------------------------------------------------------------


def test_a_gain_is_paired_by_question_over_the_seeds_that_both_have() -> None:
    ours = {0: [1, 1, 1, 0], 1: [1, 1, 0, 0], 2: [1, 1, 1, 1]}
    theirs = {0: [1, 0, 0, 0], 1: [1, 0, 0, 0], 5: [0, 0, 0, 0]}
    told = paired(ours, theirs)
    assert (told["gain"], told["seeds"], told["by_seed"]) == (0.375, 2, [0.5, 0.25])
    with pytest.raises(ValueError, match="no seed"):
        paired(ours, {5: [0, 0, 0, 0]})


def test_pairs_that_never_differ_leave_no_width_and_noise_leaves_its_own() -> None:
    answers = [[1, 0] * 100, [0, 1] * 100]
    assert paired(dict(enumerate(answers)), dict(enumerate(answers)))["ci95"] == [0.0, 0.0]
    binomial = interval(matrix([[1, 0] * 100]))  # 200 questions: 0.5 +- 1.96 sqrt(0.25 / 200)
    assert binomial == pytest.approx([0.431, 0.569], abs=0.011)


def test_seeds_that_disagree_widen_the_interval() -> None:
    agreeing, disagreeing = np.full((3, 400), 0.5), np.repeat([[0.0], [0.5], [1.0]], 400, axis=1)
    assert interval(agreeing) == [0.5, 0.5]
    low, high = interval(disagreeing)
    assert low < 0.1 and high > 0.9


def test_what_is_unknown_counts_for_nobody() -> None:
    told = paired({0: [1, None, 1, 1]}, {0: [0, 0, None, 1]})
    assert told["gain"] == 0.5
    said = [("passed", "12"), ("failed", ""), ("unknown", ""), ("failed", "9")]
    told = by_question(Answered(status, "", value) for status, value in said)
    assert told == {"passed": [1, 0, None, 0], "executable": [1, 0, None, 1]}


# The page ---------------------------------------------------------------------------------------------------------


def measured(right: int, executable: int = 100, **more: Any) -> dict[str, Any]:
    """A made cell: of 100 questions of each set the first `right` are right."""
    test = {name: [1] * count + [0] * (100 - count) for name, count in (("passed", right), ("executable", executable))}
    tests = {name: {**test, "tokens": 5000, "seconds": 3.0, **more} for name in ("known", "held_out")}
    teacher = {"requests": 1, "generated_tokens": 1200, "prompt_tokens": 1}
    training = {"steps": 1, "tokens": 34567, "final_loss": 0.1}
    return {"tests": tests, "teacher": teacher, "questions": 9, "examples": 11, "training": training, "seconds": 30.0}


BEFORE = {"passed": [1] * 60 + [0] * 40, "executable": [1] * 80 + [0] * 20}
MADE = {
    **{Cell(seed, 100, "pad"): measured(60 + seed) for seed in SEEDS},
    **{Cell(seed, 35, "pad"): measured(50) for seed in SEEDS},
    **{Cell(seed, 100, "cot"): measured(30) for seed in SEEDS},
    Cell(0, 100, "gold_cot"): measured(70),
    Cell(0, 100, "refine"): measured(62, 90, before_repairs=BEFORE),
}


def test_the_page_says_what_was_measured_what_holds_and_what_is_missing(tmp_path: Path) -> None:
    options = parse(["--out", str(tmp_path), "--set", "teacher.temperature=1", "--name", "made"])
    for cell, content in MADE.items():
        write_cell(cell_path(options, cell), cell, content)
    paths = {cell: cell_path(options, cell) for cell in [*MADE, Cell(0, 100, "beam")]}
    write_report(options, paths)
    content = json.loads((tmp_path / "made.json").read_text())
    pad = content["arms"]["pad"]
    assert pad["known"]["passed"]["mean"] == 0.61 and pad["seeds"] == [0, 1, 2] and pad["teacher_tokens"] == 1200
    claims = {(told["claim"], told["test"]): told for told in content["comparisons"]}
    headline = claims[CLAIMS[0].text, "known"]
    assert headline["gain"] == 0.31 and headline["holds"] and headline["ci95"][0] > 0.2
    gold_rationales = claims[CLAIMS[2].text, "held_out"]
    assert gold_rationales["gain"] == -0.1 and not gold_rationales["holds"] and gold_rationales["seeds"] == 1
    assert claims["repairs at inference, executable", "known"]["gain"] == 0.1
    assert content["missing"] == ["beam/0"]
    text = (tmp_path / "made.md").read_text()
    assert "changed in all arms: `teacher.temperature=1`" in text and "(made.svg)" in text
    assert "| pad | PaD: verified programs | 3 | 61.0 (" in text and "| 11 | 34,567 | 1,200 | 5,000 | 3 |" in text
    assert "held-out templates | -10.0 (" in text and "not measured: beam/0." in text
    assert (tmp_path / "made.svg").read_text().startswith("<?xml")


def test_a_gain_below_the_papers_ten_points_does_not_hold_the_headline() -> None:
    about = {"date": "d", "commit": "c", "hardware": "h", "versions": {}, "percent": 100}
    cells = {arm: {0: {**measured(right), **about, "arm": arm}} for arm, right in (("pad", 65), ("cot", 58))}
    told = summarise(cells)["comparisons"][0]
    assert told["gain"] == 0.07 and told["ci95"][0] > 0 and not told["holds"]


def test_without_cells_the_page_names_all_as_missing(tmp_path: Path) -> None:
    options = parse(["--out", str(tmp_path)])
    write_report(options, {Cell(0, 100, "pad"): tmp_path / "none.json"})
    assert "not measured: pad/0." in (tmp_path / "pad.md").read_text()
    assert not (tmp_path / "pad.svg").exists()
