"""LLM2LLM's replication: its questions, what its arms differ in, its claims on hand-made answers, its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.replications.cells import Cell, write_cell
from benchmarks.replications.llm2llm.page import write_report
from benchmarks.replications.llm2llm.run import ARMS, cell_path, make_config, parse, questions, settings
from raydistill.demo import rebase_data, stock_programs, target_task


def test_arms_differ_in_what_they_are_about(tmp_path: Path) -> None:
    options = parse(["--work", str(tmp_path)])
    configs = {arm: make_config(options, settings(options, Cell(0, 100, arm))) for arm in ARMS}
    told = {arm: (config.recipe.rounds, config.recipe.about) for arm, config in configs.items()}
    assert told == {"seeds": (0, "failed"), "llm2llm": (3, "failed"), "direct": (3, "drawn"), "more": (0, "failed")}
    paths = {arm: config.questions.path.rpartition("/")[2] for arm, config in configs.items()}
    assert paths == {arm: "more-200-0.jsonl" if arm == "more" else "seeds-0.jsonl" for arm in ARMS}


def test_a_seeds_questions_are_its_own_labelled_rightly_and_neither_held_out_nor_taught() -> None:
    first, more, other = questions(0, 100, 400), questions(0, 130, 400), questions(1, 100, 400)
    assert more[:100] == first and len({row["question"] for row in (*more, *other)}) > 220
    read = [target_task.parse(row["question"]) for row in more]
    assert [str(problem and problem.answer) for problem in read] == [row["answer"] for row in more]
    taught = {row["question"] for row in (*stock_programs.files(0)["programs"], *rebase_data.held_out(400))}
    assert not taught & {row["question"] for row in (*more, *other)}


def test_a_cells_file_changes_with_all_that_it_depends_on_and_nothing_else(tmp_path: Path) -> None:
    def path(cell: Cell, *arguments: str) -> Path:
        return cell_path(parse(["--out", str(tmp_path), "--work", str(tmp_path), *arguments]), cell)

    cell, control = Cell(0, 100, "llm2llm"), Cell(0, 100, "more")
    assert len({path(Cell(seed, 100, arm)) for arm in ARMS for seed in (0, 1)}) == 2 * len(ARMS)
    assert path(cell, "--work", "elsewhere", "--more", "9") == path(cell) and path(control, "--more", "9") != path(
        control
    )
    for change in (["--test", "9"], ["--similar", "9"], ["--epochs", "9"], ["--set", "recipe.contrast=0"]):
        assert path(cell, *change) != path(cell)


def measured(right: int, examples: int, *added: int) -> dict[str, Any]:
    """A made cell: a student that answers the first `right` of 40 questions, and what its rounds have added."""
    rounds = [
        {"failed": 30 - n, "written": 60, "added": n, "examples": examples + n, "dropped": {"length": 60 - n}}
        for n in added
    ]
    return {
        "passed": [1] * right + [0] * (40 - right),
        "examples": examples + sum(added),
        "rounds": rounds,
        "seconds": 9.0,
    }


def test_the_page_says_what_was_measured_what_holds_and_what_is_missing(tmp_path: Path) -> None:
    options = parse(["--out", str(tmp_path), "--work", str(tmp_path), "--name", "made", "--seeds", "0", "1"])
    made = {
        **{Cell(seed, 100, "seeds"): measured(10, 70) for seed in (0, 1)},
        **{Cell(seed, 100, "llm2llm"): measured(30, 70, 20, 10) for seed in (0, 1)},
        Cell(0, 100, "direct"): measured(28, 70, 25),
    }
    for cell, content in made.items():
        write_cell(cell_path(options, cell), cell, content)
    cells = [Cell(seed, 100, arm) for seed in (0, 1) for arm in ARMS]
    write_report(options, {cell: cell_path(options, cell) for cell in cells})
    claims = {row["id"]: row for row in json.loads((tmp_path / "claims.json").read_text())}
    over_direct = claims["made-questions-like-the-failed-seeds-over-as-many-like-any-seeds-direct-synthesis"]
    assert (over_direct["ours"], over_direct["other"], over_direct["seeds"], over_direct["n"]) == (0.75, 0.7, 1, 40)
    assert over_direct["setting"] == "demo models, rounds: 3, 6 epochs"
    over_seeds = claims["made-llm2llm-over-its-seeds-alone"]
    assert over_seeds["gain"] == 0.5 and over_seeds["seeds"] == 2 and over_seeds["holds"]
    text = (tmp_path / "made.md").read_text()
    assert "| llm2llm | 75.0 (" in text and " | 100 |\n" in text and "| llm2llm | 2 | 20 | 60 | 10 | 80 |" in text
    assert text.endswith("Cells that are not measured: direct/1; more/0,1.\n")
