"""The page of LLM2LLM's replication: accuracy and examples of each arm, what its rounds were like, the claims."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.replications.cells import Cell
from benchmarks.replications.claims import claim_rows, write_claims
from benchmarks.replications.pages import (
    Measured,
    average,
    by_name,
    claim_lines,
    compared,
    opening,
    passed,
    percents,
    table,
    unmeasured,
    write_results,
)
from raydistill.pipelines.evaluation.bootstrap import matrix, mean_of

PAPER = "2403.15042"
CLAIMS = {
    ("llm2llm", "direct"): "questions like the failed seeds over as many like any seeds (direct synthesis)",
    ("llm2llm", "seeds"): "LLM2LLM over its seeds alone",
    ("direct", "seeds"): "direct synthesis over the seeds alone",
    ("more", "seeds"): "control: further questions of the seeds' kind over the seeds alone",
}
ROUND = ("arm", "round", "seeds failed", "questions written", "of them learned", "examples")
NAMES = ("failed", "written", "added", "examples")


def summarise(cells: Mapping[Cell, Measured]) -> dict[str, Any]:
    """Accuracy and examples of each arm, what its rounds were like, and each claim that both sides are there for."""
    named = by_name(cells)
    arms = {
        arm: {
            "accuracy": mean_of(matrix([*passed(seeds).values()])),
            "examples": average(seeds.values(), "examples"),
            "rounds": [  # those that all seeds have
                {name: average(one, name, digits=1) for name in NAMES}
                for one in zip(*(content["rounds"] for content in seeds.values()), strict=False)
            ],
        }
        for arm, seeds in named.items()
    }
    claims = [
        {"claim": text, **told, "holds": told["ci95"][0] > 0}
        for (ours, other), text in CLAIMS.items()
        if (told := compared(passed(named.get(ours, {})), passed(named.get(other, {}))))
    ]
    return {"arms": arms, "claims": claims}


def page(content: Measured, _: str) -> str:
    """The page in Markdown."""
    told = content["settings"]
    sizes = (
        f"{told['questions']} seeds, rounds: {told['rounds']}, {told['similar']} new questions asked for per seed and "
        f"round, {told['epochs']} epochs, {told['more']} further questions of the control, "
        f"{told['test']} test questions"
    )
    rows = [[arm, percents(one["accuracy"]), f"{one['examples']:,.0f}"] for arm, one in content["arms"].items()]
    rounds = [
        [arm, str(number), *(f"{one[name]:,.0f}" for name in NAMES)]
        for arm, all_rounds in content["arms"].items()
        for number, one in enumerate(all_rounds["rounds"], 1)
    ]
    lines = ["# LLM2LLM on the demo models", "", opening(content, sizes, "llm2llm", "run.py"), ""]
    lines += ["Percent of test questions answered rightly, greedily (95 % interval over seeds and questions):", ""]
    lines += [*table(["student", "right", "examples"], rows), ""]
    if rounds:
        lines += ["What each round was like, on average over seeds:", "", *table(ROUND, rounds), ""]
    return "\n".join([*lines, *claim_lines(content), "", unmeasured(content), ""])


def write_report(options: argparse.Namespace, paths: dict[Cell, Path]) -> None:
    """The page, its JSON, and the claims' rows."""
    sizes = ("questions", "test", "rounds", "similar", "epochs", "more")
    content = write_results(options, paths, sizes, summarise, page)
    models = f"demo models, rounds: {options.rounds}, {options.epochs} epochs"
    write_claims(Path(options.out), claim_rows(options, PAPER, content["claims"], models))
