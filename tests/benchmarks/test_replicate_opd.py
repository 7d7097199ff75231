"""On-policy distillation's replication: its plan, what its arms differ in, gains on hand-made answers, its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.replications.cells import ROOT, Cell, write_cell
from benchmarks.replications.opd.noised import noised_teacher
from benchmarks.replications.opd.page import write_report
from benchmarks.replications.opd.run import ARMS, HEADLINE, cell_path, make_config, parse, settings
from raydistill.actors.errors import UsageError


def changed(arm: str, work: Path) -> dict[str, Any]:
    """What of the recipe is another than in the arm without changes."""
    options = parse(["--work", str(work)])
    plain, found = (make_config(options, settings(options, Cell(0, 100, one))).recipe for one in ("opd", arm))
    return {name: value for name, value in found.model_dump().items() if value != plain.model_dump()[name]}


def test_arms_differ_in_what_they_are_about(tmp_path: Path) -> None:
    assert {arm: changed(arm, tmp_path) for arm in ARMS} == {
        "cold": {"rounds": 0},
        "text": {"rounds": 0, "cold_start": {"epochs": 20, "max_answers": 1}},
        "opd": {},
        "opd_verdicts": {"reward": 0.5},
        "opd_verdicts_weak": {"reward": 0.1},
        "gkd": {"teacher_share": 0.5},
        "until": {"until": 3.0},
        "gkd_until": {"teacher_share": 0.5, "until": 3.0},
        "gkd_until_verdicts": {"teacher_share": 0.5, "until": 3.0, "reward": 0.5},
        "sampled": {"top_k": 0},
        "verdicts": {"distillation": 0.0, "reward": 1.0, "top_k": 0},
        "noised": {"cold_start": None},
    }
    with pytest.raises(UsageError, match="--set recipe.seed: the replication sets this itself"):
        settings(parse(["--set", "recipe.seed=3"]), Cell(0, 100, "opd"))


def test_a_cells_file_changes_with_all_that_it_depends_on_and_nothing_else(tmp_path: Path) -> None:
    def path(cell: Cell, *arguments: str) -> Path:
        return cell_path(parse(["--out", str(tmp_path), "--work", str(tmp_path), *arguments]), cell)

    cell = Cell(0, 100, "opd")
    assert len({path(Cell(seed, 100, arm)) for arm in ARMS for seed in (0, 1)}) == 2 * len(ARMS)
    assert path(cell, "--work", "elsewhere", "--text-epochs", "9", "--set", "train.gpus_per_worker=1") == path(cell)
    for change in (["--test", "9"], ["--cold-epochs", "9"], ["--set", "recipe.learning_rate=1e-3"]):
        assert path(cell, *change) != path(cell)


def test_the_control_starts_from_the_teacher_beside_itself(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    folder = noised_teacher(tmp_path)
    teacher = load_file(ROOT / "demo" / "models" / "teacher" / "model.safetensors")
    for name, weights in load_file(f"{folder}/model.safetensors").items():
        noise = (weights - teacher[name].float()).std() / teacher[name].float().std()
        assert 0.25 < noise < 0.35 if weights.dim() > 1 else noise == 0


def measured(right: int, tokens: int, *rounds: float) -> dict[str, Any]:
    """A made cell: a student that answers the first `right` of 40 questions, and samples of that accuracy by round."""
    told = [
        {
            "samples": 80,
            "accuracy": share,
            "reverse_kl": 0.5,
            "sampled_tokens": 900,
            "trained_tokens": 1000,
            "examples": 80,
        }
        for share in rounds
    ]
    return {"passed": [1] * right + [0] * (40 - right), "tokens": tokens, "rounds": told, "seconds": 60.0}


def test_the_page_says_what_was_measured_what_holds_and_what_is_missing(tmp_path: Path) -> None:
    options = parse(["--out", str(tmp_path), "--work", str(tmp_path), "--name", "made", "--set", "recipe.beta=1"])
    made = {
        **{Cell(seed, 100, "cold"): measured(8, 3000) for seed in (0, 1, 2)},
        **{Cell(seed, 100, "text"): measured(20, 5000) for seed in (0, 1, 2)},
        **{Cell(seed, 100, "opd"): measured(30, 2000, 0.25, 0.5) for seed in (0, 1, 2)},
        Cell(0, 100, "verdicts"): measured(7, 2000, 0.2, 0.1),
        Cell(0, 100, "noised"): {**measured(36, 2000, 0.5, 0.8), "before": [1] * 16 + [0] * 24},
    }
    for cell, content in made.items():
        write_cell(cell_path(options, cell), cell, content)
    write_report(
        options, {cell: cell_path(options, cell) for cell in [*made, *(Cell(0, 100, arm) for arm in HEADLINE)]}
    )
    claims = {row["id"]: row for row in json.loads((tmp_path / "claims.json").read_text())}
    over_text = claims["made-opd-over-as-many-tokens-of-the-teacher-s-text"]
    assert (over_text["ours"], over_text["other"], over_text["gain"], over_text["seeds"]) == (0.75, 0.5, 0.25, 3)
    assert over_text["holds"] and over_text["setting"] == "demo models, recipe.beta=1"
    assert not claims["made-control-verdicts-alone-over-the-student-they-start-from"]["holds"]
    control = claims["made-control-opd-of-a-teacher-s-weights-with-noise-over-where-they-start"]
    assert control["gain"] == 0.5 and control["holds"]
    text = (tmp_path / "made.md").read_text()
    assert "| opd | 75.0 (" in text and " | 5,000 |\n" in text and "| opd | 2 | 50.0 | 0.50 | 900 | 1,000 |" in text
    assert (
        "12 epochs before the rounds, 20 of the arm that goes on with text, changed in all arms: `recipe.beta=1`"
        in text
    )
    missing = ("gkd", "gkd_until", "gkd_until_verdicts", "opd_verdicts", "opd_verdicts_weak", "until")
    assert text.endswith(f"Cells that are not measured: {'; '.join(f'{arm}/0' for arm in missing)}.\n")
