"""The replication's arithmetic: means, intervals and comparisons of made-up cells; what a cell's file depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.replicate_mcc_kd import ARMS, cell_path, interval, page, parse, summarise


def cell(seed: int, right_in: int, right_out: int, kl: float) -> dict[str, Any]:
    passed = {"in": [1] * right_in + [0] * (100 - right_in), "out": [1] * right_out + [0] * (100 - right_out)}
    consistency = {"pairs": 9, "answer_kl": kl, "agreement": 0.5, "other_pairs": 9, "other_kl": 4.0}
    return {"seed": seed, "passed": passed, "consistency": consistency, "seconds": 1.0}


CELLS = {
    "k_without_kl": [cell(0, 60, 20, 0.4), cell(1, 62, 22, 0.6)],
    "diverse_kl": [cell(0, 60, 30, 0.1), cell(1, 64, 32, 0.2), cell(2, 99, 99, 9.0)],
}


def test_arms_and_comparisons_by_hand():
    arms, comparisons = summarise(CELLS)
    assert arms["k_without_kl"]["in"]["accuracy"] == [0.6, 0.62]
    assert arms["k_without_kl"]["in"]["mean"] == 0.61
    ood = comparisons["diverse_kl_vs_no_kl_ood"]
    assert (ood["gain"], ood["seeds"]) == (0.1, 2)  # the third seed has no counterpart
    assert 0 < ood["ci95"][0] < 0.1 < ood["ci95"][1] < 0.2
    assert comparisons["diverse_kl_vs_no_kl_id"]["gain"] == 0.01
    assert comparisons["answer_kl_ratio"] == pytest.approx(0.3)
    assert comparisons["other_kl_ratio_diverse_kl"] == 1.0


def test_interval_holds_a_binomials_mean():
    values = np.array([[1.0] * 50 + [0.0] * 50])
    low, high = interval(values)
    assert (low, high) == pytest.approx((0.402, 0.598), abs=0.02)


def test_a_cells_file_changes_with_its_arm_seed_and_size_and_not_with_the_other_seeds():
    paths = {cell_path(parse([]), arm, seed) for arm in ARMS for seed in (0, 1)}
    assert len(paths) == 2 * len(ARMS)
    assert cell_path(parse(["--seeds", "5"]), "single", 0) == cell_path(parse([]), "single", 0)
    assert cell_path(parse(["--questions", "9"]), "single", 0) != cell_path(parse([]), "single", 0)
    assert cell_path(parse(["--test", "9"]), "single", 0) != cell_path(parse([]), "single", 0)


def test_the_page_names_what_is_missing():
    arms, comparisons = summarise(CELLS)
    about = {"command": "c", "date": "d", "commit": "0", "hardware": "h", "seconds": 120.0}
    text = page({"arms": arms, "comparisons": comparisons, "missing": ["single/0"], **about})
    assert "| k_without_kl | 2 | 61.0% (" in text
    assert "Missing cells: single/0." in text
