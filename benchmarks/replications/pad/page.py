"""The results of PaD's replication for people: docs/results/pad.json, pad.md and pad.svg, from the cells there are."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.replications.cells import SETS, Cell
from benchmarks.replications.claims import claim_rows, write_claims
from benchmarks.replications.pad.arms import ARMS
from benchmarks.replications.pages import (
    SET_TITLES,
    Cells,
    average,
    by_name,
    drawn,
    opening,
    percents,
    table,
    unmeasured,
    whiskers,
    write_results,
)
from raydistill.pipelines.evaluation.bootstrap import matrix, mean_of, paired

PAPER = "2305.13888"
UNREPAIRED = ", before repairs"


class Claim(NamedTuple):
    """`ours` is above `theirs` by `least`, in answers that are right (`passed`) or have a value (`executable`)."""

    text: str
    ours: str
    theirs: str
    least: float = 0.0
    measure: str = "passed"


CLAIMS = (
    Claim("PaD over CoT: same questions and teacher tokens", "pad", "cot", least=0.1),
    Claim("PaD over CoT of a base that has practised sums in sentences", "pad", "cot_practised"),
    Claim("PaD over CoT from gold rationales: as many examples", "pad", "gold_cot"),
    Claim("PaD on 35 % of the questions over CoT on all", "pad@35", "cot"),
    Claim("PaD over answers only: as many examples", "pad", "answer"),
    Claim("verified over unverified programs", "pad", "unfiltered"),
    Claim("eight contexts over one sample", "contexts", "one_pass"),
    Claim("eight contexts over eight samples of one prompt", "contexts", "samples"),
    Claim("self-refinement over PaD", "refine", "pad"),
    Claim("self-refinement over PaD, executable", "refine", "pad", measure="executable"),
    Claim("repairs at inference", "refine", f"refine{UNREPAIRED}"),
    Claim("repairs at inference, executable", "refine", f"refine{UNREPAIRED}", measure="executable"),
    Claim("plain beam over greedy", "beam", "pad"),
    Claim("step verification over plain beam", "beam_steps", "beam"),
    Claim("execution-aware over plain beam", "beam_execution", "beam"),
    Claim("control: gold programs over gold rationales, as many examples", "gold_programs", "gold_cot"),
    Claim("control: gold programs over PaD, as many examples", "gold_programs", "pad"),
)


def write_report(options: argparse.Namespace, paths: Mapping[Cell, Path]) -> None:
    """The page, its data, its plot and its rows of claims, of those cells whose files are there."""
    told = write_results(options, paths, ("questions", "test"), lambda cells: summarise(by_name(cells)), page, plot)
    write_claims(Path(options.out), claim_rows(options, PAPER, told["comparisons"]))


def summarise(cells: Cells) -> dict[str, Any]:
    """Arms, and comparisons of those that are there."""
    shown = _with_unrepaired(cells)
    return {
        "arms": {name: _arm(rows) for name, rows in shown.items()},
        "comparisons": [
            _compared(claim, shown, name)
            for claim in CLAIMS
            for name in SETS
            if set(shown.get(claim.ours, ())) & set(shown.get(claim.theirs, ()))
        ],
    }


def _with_unrepaired(cells: Cells) -> dict[str, dict[int, Mapping[str, Any]]]:
    """The cells, and beside those with repairs the same without."""
    shown: dict[str, dict[int, Mapping[str, Any]]] = {}
    for name, rows in cells.items():
        shown[name] = dict(rows)
        for seed, cell in rows.items():
            if all("before_repairs" in cell["tests"][test] for test in SETS):
                before = {test: cell["tests"][test] | cell["tests"][test]["before_repairs"] for test in SETS}
                shown.setdefault(f"{name}{UNREPAIRED}", {})[seed] = {**cell, "tests": before}
    return shown


def _arm(rows: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, of accuracy and executable rate with intervals."""
    first, every = next(iter(rows.values())), list(rows.values())
    told: dict[str, Any] = {"title": ARMS[first["arm"]].title, "percent": first["percent"], "seeds": sorted(rows)}
    for test in SETS:
        results = [rows[seed]["tests"][test] for seed in sorted(rows)]
        told[test] = {m: mean_of(matrix([r[m] for r in results])) for m in ("passed", "executable")}
        told[test]["tokens"] = average(results, "tokens")
        timed = [r for r in results if r["seconds"] is not None]
        told[test]["seconds"] = average(timed, "seconds", digits=1) if timed else None
    told["examples"] = average(every, "examples")
    told["training_tokens"] = average(every, "training", "tokens")
    told["teacher_tokens"] = average(every, "teacher", "generated_tokens")
    return told


def _compared(claim: Claim, shown: Cells, test: str) -> dict[str, Any]:
    ours, theirs = (
        {seed: cell["tests"][test][claim.measure] for seed, cell in shown[name].items()}
        for name in (claim.ours, claim.theirs)
    )
    told = paired(ours, theirs)
    holds = told["ci95"][0] > 0 and told["gain"] >= claim.least
    return {"claim": claim.text, "arms": [claim.ours, claim.theirs], "test": test, **told, "holds": holds}


def page(content: Mapping[str, Any], figure: str) -> str:
    """The Markdown page."""
    settings, arms = content["settings"], content["arms"]
    sizes = f"{settings['questions']:,} training questions and {settings['test']:,} test questions of each set"
    lines = [
        "# PaD on the demo models",
        "",
        opening(content, sizes, "pad"),
        "",
        "In %, with 95 % intervals: bootstrap over test questions and seeds. Executable: answers that have a value, "
        "right or wrong. Tokens and seconds are means over seeds; those of tests are of the known templates.",
        "",
        f"![Accuracy of all arms, and over the share of training questions]({figure})",
        "",
        *table(HEADER, [_row(name, told) for name, told in arms.items()]),
        "",
        "## Claims",
        "",
        "Gains in points, question by question over the seeds that both arms have.",
        "",
        *table(("claim", "test", "gain", "seeds", "holds"), [_claim_row(told) for told in content["comparisons"]]),
        "",
        unmeasured(content),
        "",
    ]
    return "\n".join(lines)


HEADER = ("arm", "what", "seeds", "known templates", "held-out templates", "executable", "examples", "training tokens",
          "teacher tokens", "test tokens", "test seconds")  # fmt: skip


def _row(name: str, told: Mapping[str, Any]) -> list[str]:
    known, seconds = told["known"], told["known"]["seconds"]
    rates = [percents(told[test]["passed"]) for test in SETS] + [percents(known["executable"])]
    counts = [told["examples"], told["training_tokens"], told["teacher_tokens"], known["tokens"]]
    costs = [*(f"{count:,}" for count in counts), "-" if seconds is None else f"{seconds:.0f}"]
    return [name, told["title"], str(len(told["seeds"])), *rates, *costs]


def _claim_row(told: Mapping[str, Any]) -> list[str]:
    verdict = "yes" if told["holds"] else "no"
    return [told["claim"], SET_TITLES[told["test"]], percents(told, "gain", signed=True), str(told["seeds"]), verdict]


def plot(content: Mapping[str, Any], path: Path) -> None:
    """Left the arms on all questions; right, where it is measured, accuracy over the share of the questions."""
    whole = {name: told for name, told in content["arms"].items() if told["percent"] == 100}
    curves: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for name, told in content["arms"].items():
        curves[name.partition("@")[0]].append(told)
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    with drawn(path, (11 if curves else 7, 4.5), (3, 2) if curves else (1,)) as axes:
        _plot_arms(axes[0], whole)
        if curves:
            _plot_curves(axes[1], curves)


def _plot_arms(axes: Any, arms: Mapping[str, Mapping[str, Any]]) -> None:
    for offset, test in ((0.12, "known"), (-0.12, "held_out")):
        values, bounds = whiskers([told[test]["passed"] for told in arms.values()], 100)
        heights = [len(arms) - place + offset for place in range(len(arms))]
        axes.errorbar(values, heights, xerr=bounds, fmt="o", capsize=3, label=SET_TITLES[test])
    axes.set_yticks([len(arms) - place for place in range(len(arms))], list(arms))
    axes.set_xlabel("right answers, %")


def _plot_curves(axes: Any, curves: Mapping[str, list[Mapping[str, Any]]]) -> None:
    for name, points in curves.items():
        points.sort(key=lambda told: told["percent"])
        values, bounds = whiskers([point["known"]["passed"] for point in points], 100)
        axes.errorbar([point["percent"] for point in points], values, yerr=bounds, fmt="o-", capsize=3, label=name)
    axes.set_xlabel("training questions, %")
    axes.set_ylabel("right answers on known templates, %")
