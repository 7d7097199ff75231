"""The data of ReBase's demo: of the target's format, solvable, with a file for every source of its datastore."""

from __future__ import annotations

from raydistill.demo import rebase_data, source_rows, target_task
from raydistill.pipelines.data.decontamination import Guards
from raydistill.pipelines.datastore.settings import Datastore, TargetTask, load_settings
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.run_config import load_config
from tests import ROOT

TARGET = load_settings(ROOT / "configs" / "targets" / "demo-stock.yaml", TargetTask)


def test_the_targets_examples_are_of_the_format_that_is_held_out() -> None:
    for example in TARGET.examples:
        problem = target_task.parse(example["input"], rebase_data.FORM)
        assert problem and problem.fits and str(problem.answer) == example["output"]
        [who] = [who for who in target_task.WHO["place"] if example["input"].startswith(who)]
        assert example == target_task.example(rebase_data.FORM, who, problem.things, problem.quantities)


def test_held_out_questions_are_different_solvable_and_no_copies() -> None:
    held_out = rebase_data.held_out()
    assert len({row["question"] for row in held_out}) == rebase_data.HELD_OUT
    assert all(str(target_task.solve(row["question"])) == row["answer"] for row in held_out)
    guards = Guards(examples=[example["input"] for example in TARGET.examples])
    assert not [row for row in held_out if guards.check_input(row["question"])]


def test_every_source_of_the_datastore_has_rows_with_columns_of_its_own() -> None:
    sources = load_settings(ROOT / "configs" / "datastores" / "demo.yaml", Datastore).sources
    assert {source.name for source in sources} == set(rebase_data.FAMILIES)
    assert all(source.path == f"runs/demo-rebase/data/{source.name}.jsonl" for source in sources)
    for name in rebase_data.UNSEEN:
        rows = rebase_data.rows(name, 5)
        assert len(rows) == 5 and len({tuple(row) for row in rows}) == 1 and rows == rebase_data.rows(name, 5)
    assert not set(rebase_data.UNSEEN) & set(source_rows.FAMILIES)


def test_the_demo_is_shown_rows_as_its_teacher_has_learned_to_read_them() -> None:
    config = load_config(ROOT / "configs" / "demo-rebase.yaml")
    assert isinstance(config.recipe, ReBase) and config.recipe.value_characters == source_rows.VALUE_CHARACTERS
    [row] = rebase_data.rows("basic_arithmetic", 1)
    assert max(map(len, row.values())) <= source_rows.VALUE_CHARACTERS
