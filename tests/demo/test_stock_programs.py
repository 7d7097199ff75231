"""The data of LLM2LLM's demo: solvable questions in three files, none in two, with programs that answer them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raydistill.demo import rebase_data, stock_programs, target_task
from raydistill.demo.prompts import unfenced
from raydistill.pipelines.config.files import read_settings
from tests import ROOT


def value(program: str) -> Any:
    space: dict[str, Any] = {}
    exec(program, space)  # a script of this repository wrote it
    return space["solution"]()


def test_questions_are_different_and_answered_by_their_programs() -> None:
    made = stock_programs.files()
    assert {name: len(rows) for name, rows in made.items()} == {"seeds": 100, "held_out": 200, "programs": 1200}
    asked = [row["question"] for rows in made.values() for row in rows]
    assert len(set(asked)) == len(asked)
    for row in (*made["seeds"], *made["programs"]):
        problem = target_task.parse(row["question"], rebase_data.FORM)
        assert problem and problem.fits and str(problem.answer) == row["answer"]
    for row in made["programs"][:200]:
        assert str(value(unfenced(row["completion"]))) == row["answer"]


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    stock_programs.write(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    stock_programs.write(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_the_runs_read_what_is_written() -> None:
    made = read_settings(ROOT / "configs" / "demo-llm2llm-teacher.yaml")
    run = read_settings(ROOT / "configs" / "demo-llm2llm.yaml")
    assert run["teacher"]["model"] == f"{made['run_dir']}/student"
    for path in (run["questions"]["path"], run["evaluation"]["questions"]["path"], made["questions"]["path"]):
        assert Path(path).stem in stock_programs.files(1, 1) and path.startswith("runs/demo-llm2llm/data/")
