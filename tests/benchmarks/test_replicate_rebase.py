"""ReBase's replication: its plan, what its cells depend on, its comparisons on hand-made numbers, its page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.replications.cells import ROOT, Cell, part, write_cell
from benchmarks.replications.cli import cells_of
from benchmarks.replications.rebase.arms import ARMS, HEADLINE, cell_path, make_config, planned_minutes, settings, unit
from benchmarks.replications.rebase.page import CLAIMS, write_report
from benchmarks.replications.rebase.run import parse, prepare, questions_of
from benchmarks.retrieval_families import FAMILIES, shares
from raydistill.actors.errors import UsageError
from raydistill.demo.target_task import solve
from raydistill.pipelines.data.examples import write_examples
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.data.rewritten import Rewritten
from raydistill.pipelines.datastore.settings import Datastore, load_settings
from raydistill.pipelines.recipes.rebase.recipe import RetrievalBasedDistillation
from raydistill.pipelines.run import Runner
from raydistill.pipelines.tasks import load_questions

SEEDS = (0, 1, 2)
ROW = Cell(0, 100, "row")


def test_the_headline_is_four_arms_on_three_seeds_planned_within_three_hours() -> None:
    options = parse([])
    cells = cells_of(options, options.arms)
    assert [(cell.arm, cell.seed) for cell in cells] == [(arm, seed) for seed in SEEDS for arm in HEADLINE]
    assert 30 < sum(planned_minutes(options, cell, cells) for cell in cells) < 180
    for arm in ("direct", "no_reasoning"):
        cell = replace(ROW, arm=arm)
        assert planned_minutes(options, cell) > planned_minutes(options, cell, [ROW])


def test_machines_share_the_cells_and_each_has_the_work_that_a_cell_goes_on_with() -> None:
    cells = cells_of(parse([]), ARMS)
    parts = [part(cells, f"{number}/2", unit) for number in (1, 2)]
    assert sorted([*parts[0], *parts[1]]) == sorted(cells)
    assert all(unit(cell) in share for share in parts for cell in share)


def test_a_cells_file_changes_with_all_that_it_depends_on_and_nothing_else(tmp_path: Path) -> None:
    def path(cell: Cell, *arguments: str) -> Path:
        return cell_path(parse(["--out", str(tmp_path), *arguments]), cell)

    cells = [Cell(seed, 100, arm) for arm in ARMS for seed in (0, 1)]
    assert len({path(cell) for cell in cells}) == len(cells)
    for cell in (ROW, replace(ROW, arm="direct")):
        assert path(cell, "--seeds", "7", "--work", "elsewhere", "--set", "train.gpus_per_worker=1") == path(cell)
        for change in (["--test", "9"], ["--rows", "9"], ["--rows-per-task", "9"], ["--set", "teacher.temperature=2"]):
            assert path(cell, *change) != path(cell)


def test_settings_that_the_replication_makes_itself_cannot_be_set() -> None:
    with pytest.raises(UsageError, match="--set recipe.rows: the replication sets this itself"):
        settings(parse(["--set", "recipe.rows=3"]), ROW)
    assert settings(parse(["--set", "train.epochs=2"]), ROW)["train.epochs"] == 2


def test_the_datastore_and_the_test_questions_are_written_for_all_cells(tmp_path: Path) -> None:
    options = parse(["--work", str(tmp_path), "--rows-per-task", "3", "--test", "7"])
    prepare(options)
    config = make_config(options, settings(options, ROW))
    assert config.evaluation and len(load_questions(config.evaluation.questions).questions) == 7
    store = load_settings(config.recipe.datastore, Datastore)  # type: ignore[union-attr]
    for source in store.sources:
        path = source.file()
        assert path and len(path.read_text(encoding="utf-8").splitlines()) == 3


def test_contents_of_word_problems_are_of_the_target_and_solvable(tmp_path: Path) -> None:
    options = parse(["--test", "30", "--rows-per-task", "2", "--contents", "word_problems", "--work", str(tmp_path)])
    prepare(options)
    config = make_config(options, settings(options, ROW))
    assert config.evaluation
    questions = load_questions(config.evaluation.questions).questions
    assert len(questions) == 30
    assert all(str(solve(question.text)) == question.answer for question in questions)
    assert cell_path(options, ROW) != cell_path(parse(["--test", "30", "--rows-per-task", "2"]), ROW)


def test_the_questions_that_differ_are_those_that_the_teacher_wrote(tmp_path: Path) -> None:
    options = parse(["--work", str(tmp_path), "--set", "teacher.model=not/asked"])
    config = make_config(options, settings(options, ROW)).model_copy(update={"evaluation": None, "train": None})
    recipe = RetrievalBasedDistillation(config.recipe)  # type: ignore[arg-type]
    asked = ["How many?", "One:\n\nQuestion: two?"]
    write_examples([recipe.example(Question("r", "", ""), Rewritten(text, "3")) for text in asked], str(tmp_path / "e"))
    assert questions_of(Runner(config), str(tmp_path / "e")) == asked


def measured(right: int, distinct: float) -> dict[str, Any]:
    """A made cell: of 100 questions the first `right` are right."""
    diversity = {"distinct_1": 0.1, "distinct_2": distinct, "self_bleu": 1 - distinct, "spread": distinct}
    return {
        "passed": [1] * right + [0] * (100 - right),
        "candidates_right": 0.5,
        "diversity": diversity,
        "teacher": {"requests": 1, "generated_tokens": 1200, "prompt_tokens": 1},
        "examples": 321,
        "seconds": 30.0,
    }


def test_the_page_says_what_was_measured_what_holds_and_what_is_missing(tmp_path: Path) -> None:
    options = parse(["--out", str(tmp_path), "--set", "teacher.temperature=1", "--name", "made"])
    made = {("row", seed): measured(70 + seed, 0.5) for seed in SEEDS} | {("direct", 0): measured(40, 0.6)}
    made |= {("dataset", seed): measured(70 + seed, 0.2) for seed in SEEDS}
    paths = {}
    for (arm, seed), content in made.items():
        cell = Cell(seed, 100, arm)
        paths[cell] = cell_path(options, cell)
        write_cell(paths[cell], cell, content)
    write_report(options, paths | {Cell(0, 100, "raw"): tmp_path / "none.json"})
    content = json.loads((tmp_path / "made.json").read_text())
    told = {found["claim"]: found for found in content["comparisons"]}
    assert set(told) == {CLAIMS[0].text, CLAIMS[3].text}
    by_dataset, direct = told[CLAIMS[0].text], told[CLAIMS[3].text]
    assert (by_dataset["gain"], by_dataset["holds"], by_dataset["more_diverse"]) == (0.0, False, True)
    assert (direct["gain"], direct["holds"], direct["more_diverse"], direct["seeds"]) == (0.3, True, False, 1)
    assert direct["diversity"]["self_bleu"] == [-0.1]
    text = (tmp_path / "made.md").read_text()
    assert "changed in all arms: `teacher.temperature=1`" in text and "not measured: raw/0." in text
    assert "| row | ReBase: rows by their values, rewritten | 3 | 71.0 (" in text and "| 321 | 1,200 | 0.500 |" in text
    assert content["missing"] == ["raw/0"]


def test_without_cells_the_page_names_all_as_missing(tmp_path: Path) -> None:
    write_report(parse(["--out", str(tmp_path)]), {ROW: tmp_path / "none.json"})
    assert "not measured: row/0." in (tmp_path / "rebase.md").read_text()


def test_the_share_of_a_family_counts_its_rows() -> None:
    told = shares(["gsm8k", "svamp", "mnli", "gsm8k"], FAMILIES["arithmetic"])
    assert told == {"share": 0.75, "sources": {"gsm8k": 2, "svamp": 1, "mnli": 1}} and shares([], set())["share"] == 0
    store = load_settings(ROOT / "configs" / "datastores" / "public-reasoning.yaml", Datastore)
    assert set().union(*FAMILIES.values()) == {source.name for source in store.sources}
    assert all((ROOT / "configs" / "targets" / f"{name}.yaml").is_file() for name in FAMILIES)
