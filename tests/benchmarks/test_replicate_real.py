"""The replication on real weights: its pool, its calculator, intervals over clusters, cells of a tiny student."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.replications.cells import Cell, write_cell
from benchmarks.replications.real.arms import PLAN, cell_path
from benchmarks.replications.real.calculator import calculated
from benchmarks.replications.real.page import write_report
from benchmarks.replications.real.pool import clusters, completions, pool, rows_of_test, training, undocumented
from benchmarks.replications.real.run import parse, run_cell
from benchmarks.replications.real.worked import program_of, text_of
from raydistill.actors.errors import UsageError
from raydistill.pipelines.evaluation.bootstrap import interval

needs_data = pytest.mark.skipif("RAYDISTILL_DATA" not in os.environ, reason="RAYDISTILL_DATA names no data")


@needs_data
def test_the_pool_is_verified_and_apart_from_the_tests() -> None:
    assert len(pool()) > 2200 and len(rows_of_test("svamp")) == 850 and len(rows_of_test("multiarith")) == 580
    questions = {one.question for one in pool()}
    assert questions.isdisjoint(row["question"] for test in ("svamp", "multiarith") for row in rows_of_test(test))
    learned, asked = {one.question for one in training(1, 1500)}, {row["question"] for row in rows_of_test("dev")}
    assert len(learned) == 1500 and len(asked) == 200 and not learned & asked
    assert training(1, 5) == training(1, 5) != training(2, 5)
    assert all('"""' not in row["completion"] for row in completions(training(0, 100), "program"))
    with pytest.raises(UsageError, match="9999 training questions wanted"):
        training(0, 9999)


@needs_data
def test_worked_solutions_are_programs_that_return_the_answer() -> None:
    assert len(pool("gsm8k")) > 6900 and len(rows_of_test("gsm8k")) == 660
    for one in training(0, 200, "gsm8k"):
        names: dict = {}
        exec(one.program, names)
        assert names["solution"]() == pytest.approx(float(one.answer.replace(",", "")))
        assert "<<" not in one.rationale and one.rationale.endswith(f"The answer is {one.answer}.")


def test_steps_name_what_earlier_steps_gave() -> None:
    worked = "He ate 20% of 10: <<10*20%=2>>2.\nSo 010 - 2 = <<010-2=8>>8 are left.\n#### 8"
    program = "def solution():\n    step1 = 10*20/100\n    step2 = 10-step1\n    return step2"
    assert program_of(worked, 8) == program
    assert program_of(worked, 9) is program_of("no marks #### 8", 8) is program_of("<<x+1=8>>8 #### 8", 8) is None
    assert text_of(worked, "8") == "He ate 20% of 10: 2.\nSo 010 - 2 = 8 are left.\nThe answer is 8."


def test_only_docstrings_are_taken_away() -> None:
    assert undocumented('def solution():\n    """Two\n    lines."""\n    a = """kept"""\n    return a') == (
        'def solution():\n    a = """kept"""\n    return a'
    )
    assert undocumented("def solution(:") == "def solution(:"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("29 kinds * 7 pairs per kind = 213 pairs. 213 + 1 = 214. It is 214.", "203 pairs. 203 + 1 = 204. It is 204."),
        ("5,000 x $2 = $10,001. The answer is 10001.", "$10000. The answer is 10000."),
        ("(3 + 4) * 2 = 15", "(3 + 4) * 2 = 14"),
        ("20% * 50 = 11, so 11.", "20% * 50 = 10, so 10."),
        ("(7 / 25) x 100% = 29%. So 29%.", "x 100% = 28%. So 28%."),
    ],
)
def test_a_calculator_does_the_sums_again(text: str, right: str) -> None:
    assert calculated(text).endswith(right)


@pytest.mark.parametrize("text", ["10 / 3 = 3.33", "7/12 = x/216", "10(10-1) = 10(9) = 90 games", "2 + 2 = 4", "x = 5"])
def test_a_calculator_leaves_alone_what_is_right_or_no_sum(text: str) -> None:
    assert calculated(text) == text


def test_questions_of_a_cluster_are_drawn_together() -> None:
    assert clusters(["Ann has 3 cats.", "Ann has 14 cats.", "Bob has 3 cats."]) == [0, 0, 1]
    values = np.array([[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]])
    [low, high], [wide_low, wide_high] = interval(values), interval(values, clusters=[0, 0, 0, 1, 1, 1])
    assert (wide_low, wide_high) == (0, 1) and 0 < low < high < 1


@needs_data
@pytest.mark.slow
def test_a_cell_with_a_tiny_student_ends_in_a_page_and_claims(tiny_model, tmp_path: Path) -> None:
    given = ["--student", tiny_model, "--work", str(tmp_path / "work"), "--out", str(tmp_path), "--seeds", "0"]
    few = ["--questions", "12", "--test", "4", "--set", "train.epochs=1", "evaluation.max_tokens=64"]
    options = parse([*given, *few, "student.replicas=[1,1]", "student.max_model_len=512"])
    paths = {}
    for arm in ("pad", "cot"):
        cell = Cell(0, 100, arm)
        paths[cell] = cell_path(options, cell)
        write_cell(paths[cell], cell, run_cell(options, cell, Console(quiet=True)))
    write_report(options, paths)
    assert "pad-over-cot-svamp" in (tmp_path / "claims.json").read_text()
    assert "right with a calculator" in (tmp_path / "real-svamp.md").read_text()
    assert PLAN.minutes(options, Cell(0, 100, "pad"), []) < 5


@needs_data
def test_claims_go_by_pool_and_test(tmp_path: Path) -> None:
    options = parse(["--student", "none", "--out", str(tmp_path), "--questions", "800", "--name", "real-svamp-800"])
    made = {"pad": {"passed": 400, "executable": 800}, "cot": {"passed": 200, "executable": 850, "calculated": 450}}
    for arm, told in made.items():
        right = {way: [1] * count + [0] * (850 - count) for way, count in told.items()}
        cell = {"tests": {"svamp": {**right, "tokens": 1}}, "examples": 800, "training": {"tokens": 1}, "seconds": 1.0}
        write_cell(cell_path(options, Cell(0, 100, arm)), Cell(0, 100, arm), cell)
    write_report(options, {Cell(0, 100, arm): cell_path(options, Cell(0, 100, arm)) for arm in made})
    rows = {row["id"]: row for row in json.loads((tmp_path / "claims.json").read_text())}
    assert [*rows] == ["pad-over-cot-svamp-800", "pad-over-calculated-cot-svamp-800"]
    assert [row["holds"] for row in rows.values()] == [True, False]


@needs_data
def test_a_cell_depends_on_its_settings_and_not_on_where_files_lie(tiny_model, tmp_path: Path) -> None:
    def path(work: str, *given: str) -> str:
        options = parse(["--student", tiny_model, "--work", str(tmp_path / work), *given])
        return cell_path(options, Cell(0, 100, "pad")).name

    assert path("a", "--questions", "50") == path("b", "--questions", "50")
    assert len({path("a", "--questions", "50"), path("a", "--questions", "40"), path("a", "--test", "9")}) == 3
