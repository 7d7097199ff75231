"""MCC-KD's replication: its plan, what its cells depend on, gains and ratios on hand-made numbers, its page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.replications.cells import Cell, part, write_cell
from benchmarks.replications.cli import cells_of
from benchmarks.replications.mcc_kd.arms import (
    ARMS,
    BLOCKS,
    HEADLINE,
    SAMPLES,
    SETS,
    cell_path,
    make_config,
    planned_minutes,
    rationales_config,
    settings,
    unit,
)
from benchmarks.replications.mcc_kd.page import CLAIMS, write_report
from benchmarks.replications.mcc_kd.run import consistency, in_blocks, in_groups, parse, similarity
from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.evaluation.bootstrap import ratio
from raydistill.pipelines.recipes.mcc_kd.consistency import answer_consistency
from tests.pipelines.training.training_examples import rationales

SEEDS = (0, 1, 2)
MCC_KD, PLAIN = Cell(0, 100, "diverse_kl"), Cell(0, 100, "k_without_kl")


# The plan ---------------------------------------------------------------------------------------------------------


def test_the_headline_is_two_arms_on_three_seeds_planned_within_three_hours() -> None:
    options = parse([])
    cells = cells_of(options, options.arms)
    assert [(cell.arm, cell.seed) for cell in cells] == [(arm, seed) for seed in SEEDS for arm in HEADLINE]
    assert 60 < sum(planned_minutes(options, cell, cells) for cell in cells) < 180


def test_the_teacher_is_planned_once_for_each_seed_and_once_for_the_test_questions() -> None:
    options, later = parse([]), Cell(1, 100, "k_without_kl")
    alone, first, second = (planned_minutes(options, MCC_KD, others) for others in ([], [MCC_KD], [PLAIN, MCC_KD]))
    assert alone == first > second
    assert planned_minutes(options, PLAIN, [PLAIN]) > planned_minutes(options, later, [PLAIN, later]) > second
    half, whole = (planned_minutes(options, replace(PLAIN, arm=arm), [MCC_KD]) for arm in ("half", "k_without_kl"))
    assert half < whole


def test_machines_share_the_seeds() -> None:
    cells = cells_of(parse([]), ARMS)
    parts = [part(cells, f"{number}/2", unit) for number in (1, 2)]
    assert len(cells) == len(ARMS) * len(SEEDS) and sorted([*parts[0], *parts[1]]) == sorted(cells)
    assert [{cell.seed for cell in share} for share in parts] == [{0, 2}, {1}]


def test_a_cells_file_changes_with_all_that_it_depends_on_and_nothing_else(tmp_path: Path) -> None:
    def path(cell: Cell, *arguments: str) -> Path:
        return cell_path(parse(["--out", str(tmp_path), *arguments]), cell)

    cells = [Cell(seed, 100, arm) for arm in ARMS for seed in (0, 1)]
    assert len({path(cell) for cell in cells}) == len(cells)
    assert path(MCC_KD, "--seeds", "7", "--work", "elsewhere", "--set", "train.gpus_per_worker=1") == path(MCC_KD)
    for change in (["--test", "9"], ["--questions", "9"], ["--set", "recipe.ngram=1"], ["--set", "train.epochs=1"]):
        assert path(MCC_KD, *change) != path(MCC_KD)


def test_arms_differ_in_what_they_are_about() -> None:
    configs = {arm: make_config(parse([]), settings(parse([]), replace(MCC_KD, arm=arm))) for arm in ARMS}
    whole = configs["diverse_kl"]
    assert whole.train and whole.questions and whole.recipe.alpha == 0.1  # type: ignore[union-attr]
    recipe = whole.recipe.model_dump()
    assert {a: {k: v for k, v in c.recipe.model_dump().items() if v != recipe[k]} for a, c in configs.items()} == {
        "k_without_kl": {"alpha": 0.0},
        "diverse_kl": {},
        "single": {"rationales": 1},
        "random_kl": {"select": "random"},
        "similar_kl": {"select": "similar"},
        "unfiltered_kl": {"filter": False},
        "alpha_0.01": {"alpha": 0.01},
        "alpha_1": {"alpha": 1.0},
        "alpha_10": {"alpha": 10.0},
        "half": {"alpha": 0.0},
    }
    for arm, config in configs.items():
        assert config.teacher == whole.teacher and config.evaluation == whole.evaluation and config.train
        assert config.train.epochs == (16 if arm == "single" else 8)
        assert config.questions and config.questions.size == (750 if arm == "half" else 1500)
    with pytest.raises(UsageError, match="--set recipe.seed: the replication sets this itself"):
        settings(parse(["--set", "recipe.seed=3"]), MCC_KD)


def test_settings_given_apart_all_count() -> None:
    options = parse(["--set", "teacher.n=8", "recipe.alpha=0.3", "--name", "other", "--set", "train.epochs=2"])
    assert options.set == {"teacher.n": 8, "recipe.alpha": 0.3, "train.epochs": 2}


def test_rationales_are_written_for_the_test_questions_in_the_same_way_for_all_cells() -> None:
    options = parse(["--set", "recipe.alpha=0.3", "--test", "60"])
    known, held_out, larger = (rationales_config(options, name) for name in SETS)
    tested = make_config(options, settings(options, replace(PLAIN, seed=2)))
    assert tested.evaluation and known.questions == tested.evaluation.questions
    assert known.questions and held_out.questions and held_out.questions.options == SETS["held_out"]
    assert known.questions.seed == held_out.questions.seed and known.questions.size == 60
    assert larger.questions and larger.questions.options == SETS["known"] | {"difficulty": 2}
    assert known.teacher == held_out.teacher == larger.teacher and known.teacher.n == SAMPLES and not known.train


# Rationales -------------------------------------------------------------------------------------------------------


def example(question: int, number: int, text: str = "", answer: str = "7") -> Example:
    completion = f"{text}\nTherefore, the answer is {answer}."
    return Example(
        f"{question}/{number}", f"{question}", (), (WeightedText(completion),), group=f"{question:03d}/{answer}"
    )


def test_every_question_with_several_rationales_is_in_one_block() -> None:
    examples = [example(question, number) for question in range(50) for number in range(2)]
    alone = [example(98, 0), example(99, 0, answer="7"), example(99, 1, answer="8")]
    groups = in_groups([*alone, *examples[::-1]])
    assert [{one.question_id for one in group} for group in groups] == [{str(question)} for question in range(50)]
    blocks = in_blocks(groups)
    assert len(blocks) == BLOCKS and {len(block) for block in blocks} == {4, 6}
    assert sorted(one.id for block in blocks for one in block) == sorted(one.id for one in examples)


def test_consistency_over_blocks_is_that_over_all_questions(tiny_model: str) -> None:
    examples = rationales(2 * BLOCKS, each=2)
    found, whole = consistency(examples, tiny_model), answer_consistency(examples, tiny_model)
    assert found["pairs"] == whole.pairs == 2 * BLOCKS
    assert [len(found[part]) for part in ("answer_kl", "agreement", "other_kl")] == [BLOCKS] * 3
    assert np.mean(found["answer_kl"]) == pytest.approx(whole.answer_kl, rel=1e-4)
    assert np.mean(found["agreement"]) == pytest.approx(whole.agreement)


def test_similarity_is_of_the_rationales_without_their_endings() -> None:
    pair = [example(0, 0, "3 + 4 = 7"), example(0, 1, "3 + 4 = 8")]
    other = [example(1, 0, "one two three"), example(1, 1, "four five six")]
    assert similarity(pair, 1) == pytest.approx(4 / 6, abs=1e-4)
    assert similarity([*pair, *other], 1) == pytest.approx(2 / 6, abs=1e-4)
    assert similarity(pair[:1], 1) is None


# Numbers ----------------------------------------------------------------------------------------------------------


def test_a_ratio_is_that_of_the_means_over_the_seeds_that_both_have() -> None:
    ours, theirs = {0: [1.0, 2.0, None], 1: [1.0, 4.0, 2.0]}, {0: [4.0, 4.0, 4.0], 1: [8.0, 4.0, 6.0], 5: [0.1] * 3}
    told = ratio(ours, theirs)
    assert (told["ratio"], told["seeds"], told["by_seed"]) == (0.4, 2, [0.375, round(7 / 18, 4)])
    assert told["ci95"][0] < 0.4 < told["ci95"][1]
    exact = ratio({0: [0.2, 0.6], 1: [0.1, 0.3]}, {0: [0.4, 1.2], 1: [0.2, 0.6]})
    assert exact["ratio"] == 0.5 and exact["ci95"] == [0.5, 0.5]  # the same questions and seeds are drawn for both
    with pytest.raises(ValueError, match="no seed"):
        ratio(ours, {5: [1.0, 1.0, 1.0]})


# The page ---------------------------------------------------------------------------------------------------------


def measured(alpha: float, known: int, held_out: int, kl: float, other: float = 4.0, **more: Any) -> dict[str, Any]:
    """A made cell: of 100 questions of each set the first so many are right; the KLs are the same in all blocks."""
    right = {"known": known, "held_out": held_out, "larger": held_out}
    found = {"answer_kl": [kl] * BLOCKS, "agreement": [0.5] * BLOCKS, "other_kl": [other] * BLOCKS}
    return {
        "alpha": alpha,
        "passed": {test: [1] * count + [0] * (100 - count) for test, count in right.items()},
        "consistency": {test: found | {"pairs": 77, "other_pairs": 70} for test in SETS},
        "similarity": 0.25,
        "examples": 4321,
        "teacher": {"requests": 1, "generated_tokens": 1200, "prompt_tokens": 1},
        "training": {"steps": 1, "tokens": 34567, "pairs": None, "final_loss": 0.1},
        "seconds": 120.0,
        **more,
    }


MADE = {
    **{Cell(seed, 100, "k_without_kl"): measured(0, 61, 30, 0.4) for seed in SEEDS},
    **{Cell(seed, 100, "diverse_kl"): measured(0.1, 60, 40, 0.1, 3.5) for seed in SEEDS},
    **{Cell(seed, 100, "alpha_0.01"): measured(0.01, 60, 30, 0.3) for seed in SEEDS},
    **{Cell(seed, 100, "alpha_1"): measured(1, 50, 30, 0.05) for seed in SEEDS},
    Cell(0, 100, "alpha_10"): measured(10, 40, 20, 0.01),
    Cell(0, 100, "single"): measured(0.1, 40, 40, 0.5, similarity=None),
}


def report(folder: Path, made: dict[Cell, dict[str, Any]], *absent: Cell) -> tuple[dict[str, Any], str]:
    """What the data and the page say of made cells."""
    options = parse(["--out", str(folder), "--set", "teacher.n=8", "--name", "made-0.1"])
    for cell, content in made.items():
        write_cell(cell_path(options, cell), cell, content)
    write_report(options, {cell: cell_path(options, cell) for cell in [*made, *absent]})
    return json.loads((folder / "made-0.1.json").read_text()), (folder / "made-0.1.md").read_text()


def test_the_page_says_what_was_measured_what_holds_and_what_is_missing(tmp_path: Path) -> None:
    content, text = report(tmp_path, MADE, Cell(0, 100, "half"))
    plain = content["arms"]["k_without_kl"]
    assert plain["known"]["passed"]["mean"] == 0.61 and plain["seeds"] == [0, 1, 2]
    assert plain["known"]["answer_kl"] == {"mean": 0.4, "ci95": [0.4, 0.4], "by_seed": [0.4, 0.4, 0.4]}
    gains = content["comparisons"]["diverse_kl"]
    assert gains["held_out"]["passed"]["value"] == 0.1 and gains["known"]["passed"]["by_seed"] == [-0.01] * 3
    assert gains["known"]["answer_kl"]["value"] == 0.25 and gains["known"]["other_kl"]["value"] == 0.875
    assert content["comparisons"]["single"]["known"]["passed"]["seeds"] == 1 and "half" not in content["comparisons"]
    held = {(told["claim"], told["test"]): (told["holds"], told["certain"]) for told in content["claims"]}
    halves, typically, kept, close, not_below, above, over_one = (claim.text for claim in CLAIMS[:7])
    assert held[halves, "known"] == (True, True) and held[typically, "known"] == (True, True)
    assert held[kept, "known"] == (False, False)
    assert held[close, "known"] == (True, False)  # 1 of 100 questions, of which a resample may draw 3
    assert held[not_below, "known"] == (False, False) and (not_below, "held_out") not in held
    assert held[above, "held_out"] == (True, True) and (above, "known") not in held
    assert held[over_one, "known"] == (True, True) and held[over_one, "held_out"] == (False, False)
    assert held["answer KL falls with alpha: 0, 0.01, 0.1, 1", "held_out"] == (True, True)
    assert held["control: alpha 10 at least halves answer KL", "known"] == (True, True)
    assert content["missing"] == ["half/0"] and "not measured: half/0." in text
    assert "changed in all arms: `teacher.n=8`" in text and "(made-0.1.svg)" in text
    assert "| diverse_kl | MCC-KD: K diverse rationales, with KL | 0.1 | 3 | 60.0 (" in text
    assert "| 4,321 | - | 34,567 | 1,200 | 2 |" in text and "| 0.25 (0.25 to 0.25) |" in text
    assert "0, 0.01, 0.1, 1 | known templates | 0.4, 0.3, 0.1, 0.05 | 3 | yes |" in text
    assert f"| {close} | known templates | -1.0 (-3.0 to " in text
    assert "| 3 | on average; its interval reaches beyond |" in text
    assert f"| {kept} | held-out templates | 0.88 (0.88 to 0.88) | 3 | no |" in text
    assert (tmp_path / "made-0.1.svg").read_text().startswith("<?xml")


def test_one_pair_of_many_decides_the_mean_and_not_the_typical_kl(tmp_path: Path) -> None:
    one = measured(0.1, 60, 40, 0.1)
    one["consistency"]["known"]["answer_kl"] = [*[0.1] * (BLOCKS - 1), 20.0]
    made = {Cell(0, 100, "k_without_kl"): measured(0, 61, 30, 0.4), Cell(0, 100, "diverse_kl"): one}
    claims = {(told["claim"], told["test"]): told for told in report(tmp_path, made)[0]["claims"]}
    halves, typically = (claims[claim.text, "known"] for claim in CLAIMS[:2])
    assert halves["value"] > 2 and not halves["holds"]
    assert typically["value"] == pytest.approx(0.25 * 200 ** (1 / BLOCKS), abs=1e-3) and typically["holds"]


def test_a_rise_between_two_alphas_is_no_fall(tmp_path: Path) -> None:
    made = {Cell(0, 100, arm): MADE[Cell(0, 100, arm)] for arm in ("k_without_kl", "diverse_kl", "alpha_1")}
    assert not any(told["claim"].startswith("answer KL falls") for told in report(tmp_path, made)[0]["claims"])
    rising = made | {Cell(0, 100, "alpha_0.01"): measured(0.01, 60, 30, 0.41)}
    falls = report(tmp_path, rising)[0]["claims"][0]
    assert falls["values"] == [0.4, 0.41, 0.1, 0.05] and not falls["holds"] and not falls["certain"]


def test_without_cells_the_page_names_all_as_missing(tmp_path: Path) -> None:
    content, text = report(tmp_path, {}, MCC_KD, PLAIN)
    assert content["missing"] == ["diverse_kl/0", "k_without_kl/0"] and content["claims"] == []
    assert "Measured not yet" in text and not (tmp_path / "made-0.1.svg").exists()
