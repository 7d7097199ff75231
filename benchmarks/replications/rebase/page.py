"""The results of ReBase's replication for people: docs/results/rebase.json and rebase.md, from the cells there are."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.replications.cells import Cell
from benchmarks.replications.claims import claim_rows, write_claims
from benchmarks.replications.pages import Cells, average, by_name, opening, percents, table, unmeasured, write_results
from benchmarks.replications.rebase.arms import ARMS
from raydistill.pipelines.evaluation.bootstrap import matrix, mean_of, paired

PAPER = "2407.05463"
MORE_IS_DIVERSE = {"distinct_2": True, "spread": True, "self_bleu": False}


class Claim(NamedTuple):
    """`ours` is above `theirs` in right answers and, where `diverse`, its questions differ more from each other."""

    text: str
    ours: str
    theirs: str
    diverse: bool = True


CLAIMS = (
    Claim("rows by their values over rows by their dataset", "row", "dataset"),
    Claim("rows by their dataset over random rows", "dataset", "random"),
    Claim("rows by their values over random rows", "row", "random"),
    Claim("retrieved and rewritten over direct synthesis, as many examples", "row", "direct"),
    Claim("rewritten over raw rows", "row", "raw", diverse=False),
    Claim("with reasoning over answers only", "row", "no_reasoning", diverse=False),
    Claim("positive control: all rows over a quarter of them", "row", "quarter", diverse=False),
)


def write_report(options: argparse.Namespace, paths: Mapping[Cell, Path]) -> None:
    """The page, its data and its rows of claims, of those cells whose files are there."""
    sizes = ("rows", "rows_per_task", "test", "contents")
    told = write_results(
        options, paths, sizes, lambda cells: summarise(by_name(cells)), lambda content, _: page(content)
    )
    write_claims(Path(options.out), claim_rows(options, PAPER, told["comparisons"]))


def summarise(cells: Cells) -> dict[str, Any]:
    """Arms, and comparisons of those that are there."""
    return {
        "arms": {name: _arm(rows) for name, rows in cells.items()},
        "comparisons": [
            _compared(claim, cells)
            for claim in CLAIMS
            if set(cells.get(claim.ours, ())) & set(cells.get(claim.theirs, ()))
        ],
    }


def _arm(rows: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds; the accuracy with its interval."""
    seeds = sorted(rows)
    told: dict[str, Any] = {"title": ARMS[rows[seeds[0]]["arm"]].title, "seeds": seeds}
    told["passed"] = mean_of(matrix([rows[seed]["passed"] for seed in seeds]))
    every = [rows[seed] for seed in seeds]
    told["diversity"] = {name: average(every, "diversity", name, digits=4) for name in MORE_IS_DIVERSE}
    told["candidates_right"] = average(every, "candidates_right", digits=4)
    told["examples"] = average(every, "examples")
    told["teacher_tokens"] = average(every, "teacher", "generated_tokens")
    return told


def _compared(claim: Claim, cells: Cells) -> dict[str, Any]:
    """The gain with its interval, and by how much each measure of diversity is better, seed by seed."""
    ours, theirs = cells[claim.ours], cells[claim.theirs]
    told = paired(*({seed: cell["passed"] for seed, cell in rows.items()} for rows in (ours, theirs)))
    shared = sorted(set(ours) & set(theirs))
    diversity = {
        name: [
            round((1 if more_is_better else -1) * (ours[seed]["diversity"][name] - theirs[seed]["diversity"][name]), 4)
            for seed in shared
        ]
        for name, more_is_better in MORE_IS_DIVERSE.items()
    }
    holds = told["ci95"][0] > 0
    if claim.diverse:
        more = all(np.mean(values).round(4) > 0 for values in diversity.values())
        told |= {"diversity": diversity, "more_diverse": more}
    return {"claim": claim.text, "arms": [claim.ours, claim.theirs], **told, "holds": holds}


def page(content: Mapping[str, Any]) -> str:
    """The Markdown page."""
    asked = content["settings"]
    sizes = (
        f"{asked['rows']:,} rows out of a datastore with {asked['rows_per_task']:,} of each task, "
        f"{asked['test']:,} test questions" + CONTENTS[asked["contents"]]
    )
    lines = [
        "# ReBase on the demo models",
        "",
        opening(content, sizes, "rebase"),
        "",
        "Right answers in %, with 95 % intervals: bootstrap over test questions and seeds; everything else is a mean "
        "over seeds. Candidates right: of what the teacher wrote, what passed form, guards and checker. Diversity is "
        "of up to 200 of the questions that the student learned: different of all bigrams (distinct-2), mean cosine "
        "distance of sentence embeddings (spread), mean BLEU-4 against the others (self-BLEU: less is more diverse).",
        "",
        *table((*HEADER, *HEADER_OF_DIVERSITY), [_row(name, told) for name, told in content["arms"].items()]),
        "",
        *table(("claim", "seeds", "gain", "holds", "more diverse"), [_claim(told) for told in content["comparisons"]]),
        "",
        unmeasured(content),
        "",
    ]
    return "\n".join(lines)


CONTENTS = {"drawn": "", "word_problems": " whose things and quantities come from word problems"}
HEADER = ("arm", "what it is", "seeds", "right", "candidates right", "examples", "teacher's tokens")
HEADER_OF_DIVERSITY = ("distinct-2", "spread", "self-BLEU")


def _row(name: str, told: Mapping[str, Any]) -> list[str]:
    counts = [f"{told['candidates_right']:.1%}", f"{told['examples']:,}", f"{told['teacher_tokens']:,}"]
    diversity = [f"{told['diversity'][measure]:.3f}" for measure in MORE_IS_DIVERSE]
    return [name, told["title"], str(len(told["seeds"])), percents(told["passed"]), *counts, *diversity]


def _claim(told: Mapping[str, Any]) -> list[str]:
    diverse = {True: "yes", False: "no", None: "-"}[told.get("more_diverse")]
    holds = "yes" if told["holds"] else "no"
    return [told["claim"], str(told["seeds"]), percents(told, "gain", signed=True), holds, diverse]
