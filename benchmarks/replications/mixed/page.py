"""The page of Mixed Distillation's replication: what each arm scores in each way of answering, and the claims."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.replications.cells import Cell
from benchmarks.replications.claims import write_claims
from benchmarks.replications.pages import (
    Cells,
    Measured,
    by_name,
    claim_lines,
    compared,
    opening,
    percents,
    table,
    unmeasured,
    write_results,
)
from raydistill.pipelines.evaluation.bootstrap import matrix, mean_of

PAPER = "2312.10730"
WAYS = {"greedy": "greedy", "sampled": "vote over samples"}
ROWS = (("programs", "vote"), ("rationales", "vote"), ("mixed", "programs"), ("mixed", "rationales"), ("mixed", "vote"))
TITLES = {
    ("programs", "vote"): "programs alone",
    ("rationales", "vote"): "rationales alone",
    ("mixed", "programs"): "mixed, its programs",
    ("mixed", "rationales"): "mixed, its rationales",
    ("mixed", "vote"): "mixed, both vote",
}


def outcomes(cells: Cells, arm: str, answered: str, way: str) -> dict[int, list[int | None]]:
    """By seed: 1 or 0 for each test question."""
    return {seed: content["tests"][answered][way] for seed, content in cells.get(arm, {}).items()}


def summarise(cells: Mapping[Cell, Measured]) -> dict[str, Any]:
    """The mean of each arm and way of answering, and the gain of the mixed vote over the better half."""
    named = by_name(cells)
    scores: dict[str, Any] = {}
    for arm, answered in ROWS:
        for way in WAYS:
            if found := outcomes(named, arm, answered, way):
                scores.setdefault(f"{arm}, {answered}", {})[way] = mean_of(matrix(list(found.values())))
    return {"scores": scores, "claims": [told for way in WAYS if (told := _claim(named, way))]}


def _claim(named: Cells, way: str) -> dict[str, Any] | None:
    """The mixed student's vote against the better half alone, over the seeds that all have."""
    mixed = outcomes(named, "mixed", "vote", way)
    halves = {
        arm: told for arm in ("programs", "rationales") if (told := compared(mixed, outcomes(named, arm, "vote", way)))
    }
    if len(halves) < 2:
        return None
    better = max(halves, key=lambda arm: halves[arm]["other"])
    return {
        "claim": f"both formats and a vote are not below the better one alone ({better}), {WAYS[way]}",
        "way": way,
        **halves[better],
        "holds": halves[better]["gain"] >= 0,
    }


def page(content: Measured, _: str) -> str:
    """The page in Markdown."""
    sizes = f"{content['settings']['questions']:,} training questions, {content['settings']['test']} test questions"
    lines = ["# Mixed Distillation on the demo models", "", opening(content, sizes, "mixed", "run.py"), ""]
    rows = [
        [TITLES[arm, answered], *(percents(told[way]) if way in told else "-" for way in WAYS)]
        for arm, answered in ROWS
        if (told := content["scores"].get(f"{arm}, {answered}"))
    ]
    lines += ["Percent of test questions answered rightly (95 % interval over seeds and questions):", ""]
    lines += [*table(["student", *WAYS.values()], rows), ""]
    return "\n".join([*lines, *claim_lines(content), "", unmeasured(content), ""])


def write_report(options: argparse.Namespace, paths: dict[Cell, Path]) -> None:
    """The page, its JSON, and the claims' rows."""
    content = write_results(options, paths, ("questions", "test"), summarise, page)
    changed = " ".join(options.changed) or "the demo's"
    write_claims(
        Path(options.out),
        [
            {
                "id": f"{options.name}-{claim['way']}",
                "paper": PAPER,
                "setting": changed,
                "command": command(),
                **{name: claim[name] for name in ("claim", "ours", "other", "gain", "ci95", "seeds", "n", "holds")},
            }
            for claim in content["claims"]
        ],
    )
