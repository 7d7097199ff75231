"""The page of the replication on real weights: what each arm scores on each test, and the claims."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.replications.cells import Cell
from benchmarks.replications.claims import write_claims
from benchmarks.replications.pages import (
    Cells,
    Measured,
    average,
    by_name,
    claim_lines,
    opening,
    percents,
    table,
    unmeasured,
    write_results,
)
from benchmarks.replications.real.arms import ARMS
from benchmarks.replications.real.pool import clusters, rows_of_test
from raydistill.pipelines.evaluation.bootstrap import matrix, mean_of, paired

PAPER = "2305.13888"
TITLES = {"svamp": "SVAMP", "multiarith": "MultiArith", "gsm8k": "GSM8K", "dev": "questions for development"}
TEXTS = {"svamp": "GPT-3.5's texts", "gsm8k": "the data set's solutions"}
WAYS = {"passed": "right", "calculated": "right with a calculator", "executable": "with any answer"}
CLAIMS = {
    "passed": "programs teach more than rationales of the same questions",
    "calculated": "programs teach more than rationales with a calculator at hand",
}
IDS = {  # by pool: of the claims above
    "svamp": {"passed": "pad-over-cot", "calculated": "pad-over-calculated-cot"},
    "gsm8k": {"passed": "programs-over-text", "calculated": "programs-over-calculated-text"},
}


def outcomes(cells: Cells, arm: str, test: str, way: str) -> dict[int, list[int | None]]:
    """By seed: 1 or 0 for each question of a test; {} where that was not measured."""
    told = {seed: content["tests"].get(test, {}).get(way) for seed, content in cells.get(arm, {}).items()}
    return {seed: row for seed, row in told.items() if row}


def summarise(options: argparse.Namespace, cells: Mapping[Cell, Measured]) -> dict[str, Any]:
    """The mean of each arm, test and way of counting; what training took; the claims on each test."""
    named = by_name(cells)
    groups = {
        test: clusters(row["question"] for row in rows_of_test(test, options.test, options.pool)) for test in TITLES
    }
    scores: dict[str, Any] = {}
    for arm, seeds in named.items():
        scores[arm] = {
            "seeds": len(seeds),
            "examples": average(seeds.values(), "examples"),
            "trained_tokens": average(seeds.values(), "training", "tokens"),
            "minutes": average(seeds.values(), "seconds") / 60,
        }
        for test, group in groups.items():
            for way in WAYS:
                if found := outcomes(named, arm, test, way):
                    scores[arm].setdefault(test, {})[way] = mean_of(matrix([*found.values()]), clusters=group)
    claims = [
        {"id": f"{IDS[options.pool][way]}-{test}", "test": TITLES[test], **told}
        for test in groups
        for way in CLAIMS
        if test != "dev" and (told := _claim(named, way, test, groups[test]))
    ]
    return {"scores": scores, "claims": claims}


def _claim(named: Cells, way: str, test: str, group: list[int]) -> dict[str, Any] | None:
    """Programs beside rationales on a test, over the seeds that both have."""
    pad, cot = outcomes(named, "pad", test, "passed"), outcomes(named, "cot", test, way)
    seeds = sorted(pad.keys() & cot.keys())
    if not seeds:
        return None
    told = paired(pad, cot, clusters=group)
    means = [float(mean_of(matrix([rows[seed] for seed in seeds]))["mean"]) for rows in (pad, cot)]
    return {
        "claim": f"{CLAIMS[way]}, {TITLES[test]}",
        "ours": means[0],
        "other": means[1],
        **told,
        "n": len(pad[seeds[0]]),
        "holds": told["ci95"][0] > 0,
    }


def page(content: Measured, _: str) -> str:
    """The page in Markdown."""
    sizes = f"{content['settings']['questions']:,} training questions"
    lines = ["# Programs and rationales of a real teacher, on real weights", "", opening(content, sizes, "real"), ""]
    for test, title in TITLES.items():
        rows = [
            [
                ARMS[arm.partition("@")[0]].title + arm[len(arm.partition("@")[0]) :],
                *(percents(told[test][way]) if way in told[test] else "-" for way in WAYS),
                f"{told['examples']:,.0f}",
                f"{told['trained_tokens']:,.0f}",
                str(told["seeds"]),
            ]
            for arm, told in content["scores"].items()
            if test in told
        ]
        if rows:
            lines += [f"## {title}", "", "Percent of questions (95 % interval over seeds and questions):", ""]
            lines += [*table(["student", *WAYS.values(), "examples", "trained tokens", "seeds"], rows), ""]
    return "\n".join([*lines, *claim_lines(content), "", unmeasured(content), ""])


def write_report(options: argparse.Namespace, paths: dict[Cell, Path]) -> None:
    """The page, its JSON, and the claims' rows."""
    content = write_results(options, paths, ("questions",), partial(summarise, options), page)
    suffix = options.name.removeprefix("real").removeprefix(f"-{options.pool}")
    told = f"{options.questions:,} questions, {TEXTS[options.pool]}"
    write_claims(
        Path(options.out),
        [
            {
                **claim,
                "id": claim["id"] + suffix,
                "paper": PAPER,
                "setting": ", ".join(["SmolLM2-135M-Instruct", claim["test"], told, *options.changed]),
                "command": command(),
            }
            for claim in content["claims"]
        ],
    )
