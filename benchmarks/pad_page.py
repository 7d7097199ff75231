"""The results of PaD's replication for people: docs/results/pad.json, pad.md and pad.svg, from the cells there are."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.pad_arms import ARMS
from benchmarks.replication import SETS, Cell, matrix, mean_of, paired, percents, table

Cells = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""By the cell's name (``pad``, ``pad@35``), then by seed: what was measured."""

SET_TITLES = {"known": "known templates", "held_out": "held-out templates"}
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
    """The page, its data and its plot, of those cells whose files are there."""
    cells: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for cell, path in paths.items():
        if path.exists():
            cells[cell.name][cell.seed] = json.loads(path.read_text(encoding="utf-8"))
    missing = sorted({f"{cell.name}/{cell.seed}" for cell, path in paths.items() if not path.exists()})
    settings = {"questions": options.questions, "test": options.test, "changed": options.changed}
    content = {"command": " ".join(sys.argv), "settings": settings, **summarise(cells), "missing": missing}
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{options.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / f"{options.name}.md").write_text(page(content, f"{options.name}.svg"), encoding="utf-8")
    if content["arms"]:
        plot(content, out / f"{options.name}.svg")


def summarise(cells: Cells) -> dict[str, Any]:
    """Arms, comparisons of those that are there, and where and when all was measured."""
    shown = _with_unrepaired(cells)
    every = [cell for rows in cells.values() for cell in rows.values()]
    return {
        "arms": {name: _arm(rows) for name, rows in shown.items()},
        "comparisons": [
            _compared(claim, shown, name)
            for claim in CLAIMS
            for name in SETS
            if set(shown.get(claim.ours, ())) & set(shown.get(claim.theirs, ()))
        ],
        **{name: sorted({str(cell[name]) for cell in every}) for name in ("date", "commit", "hardware")},
        "versions": every[-1]["versions"] if every else {},
        "seconds": round(sum(cell["seconds"] for cell in every), 1),
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
        told[test]["tokens"] = round(float(np.mean([r["tokens"] for r in results])))
        timed = [r["seconds"] for r in results if r["seconds"] is not None]
        told[test]["seconds"] = round(float(np.mean(timed)), 1) if timed else None
    told["examples"] = round(float(np.mean([cell["examples"] for cell in every])))
    told["training_tokens"] = round(float(np.mean([cell["training"]["tokens"] for cell in every])))
    told["teacher_tokens"] = round(float(np.mean([cell["teacher"]["generated_tokens"] for cell in every])))
    return told


def _compared(claim: Claim, shown: Cells, test: str) -> dict[str, Any]:
    ours, theirs = (
        {seed: cell["tests"][test][claim.measure] for seed, cell in shown[name].items()}
        for name in (claim.ours, claim.theirs)
    )
    told = paired(ours, theirs)
    holds = told["ci95"][0] > 0 and told["gain"] >= claim.least
    return {"claim": claim.text, "ours": claim.ours, "theirs": claim.theirs, "test": test, **told, "holds": holds}


def page(content: Mapping[str, Any], figure: str) -> str:
    """The Markdown page."""
    settings, arms = content["settings"], content["arms"]
    changed = f", changed in all arms: `{' '.join(settings['changed'])}`" if settings["changed"] else ""
    lines = [
        "# PaD on the demo models",
        "",
        f"`{content['command']}`; {settings['questions']:,} training questions and {settings['test']:,} test questions "
        f"of each set{changed}; what else is set stands in `benchmarks/pad_arms.py`. Measured "
        f"{' and '.join(content['date'])} at commit {', '.join(content['commit'])} on "
        f"{'; '.join(content['hardware'])}: {content['seconds'] / 60:.0f} minutes.",
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
        f"Cells that are not measured: {', '.join(content['missing']) or 'none'}.",
        "",
    ]
    return "\n".join(lines)


HEADER = ("arm", "what", "seeds", "known templates", "held-out templates", "executable", "examples", "training tokens",
          "teacher tokens", "test tokens", "test seconds")  # fmt: skip


def _row(name: str, told: Mapping[str, Any]) -> list[str]:
    known, seconds = told["known"], told["known"]["seconds"]
    rates = [percents(told[test]["passed"]) for test in SETS] + [percents(known["executable"])]
    counts = [told["examples"], told["training_tokens"], told["teacher_tokens"], known["tokens"]]
    seeds = str(len(told["seeds"]))
    return [
        name,
        told["title"],
        seeds,
        *rates,
        *(f"{count:,}" for count in counts),
        "-" if seconds is None else f"{seconds:.0f}",
    ]


def _claim_row(told: Mapping[str, Any]) -> list[str]:
    verdict = "yes" if told["holds"] else "no"
    return [told["claim"], SET_TITLES[told["test"]], percents(told, "gain", signed=True), str(told["seeds"]), verdict]


def plot(content: Mapping[str, Any], path: Path) -> None:
    """Left the arms on all questions, right accuracy on known templates over the share of the questions."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = path.stem  # the same numbers give the same file
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.5), width_ratios=(3, 2), layout="constrained")
    whole = {name: told for name, told in content["arms"].items() if told["percent"] == 100}
    for offset, test in ((0.12, "known"), (-0.12, "held_out")):
        heights = [len(whole) - place + offset for place in range(len(whole))]
        _dots(left.errorbar, [told[test]["passed"] for told in whole.values()], heights, SET_TITLES[test], across=True)
    left.set_yticks([len(whole) - place for place in range(len(whole))], list(whole))
    left.set_xlabel("right answers, %")
    curves: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for name, told in content["arms"].items():
        curves[name.partition("@")[0]].append(told)
    for name, points in curves.items():
        points.sort(key=lambda told: told["percent"])
        if len(points) > 1:
            _dots(right.errorbar, [p["known"]["passed"] for p in points], [p["percent"] for p in points], name)
    right.set_xlabel("training questions, %")
    right.set_ylabel("right answers on known templates, %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _dots(
    draw: Any, means: Sequence[Mapping[str, Any]], places: Sequence[float], label: str, across: bool = False
) -> None:
    """Means with their intervals: side by side along `places`, or (`across`) lying at these heights."""
    values = [100 * told["mean"] for told in means]
    bounds = [[max(0.0, sign * (100 * told["ci95"][end] - value)) for told, value in zip(means, values, strict=True)]
              for end, sign in ((0, -1), (1, 1))]  # fmt: skip
    if across:
        draw(values, places, xerr=bounds, fmt="o", capsize=3, label=label)
    else:
        draw(places, values, yerr=bounds, fmt="o-", capsize=3, label=label)
