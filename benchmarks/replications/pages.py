"""The pages that replications share: results of the cells there are as JSON, Markdown and plot; tables, error bars."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks import command
from benchmarks.replications.cells import Cell
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.evaluation.bootstrap import matrix, mean_of, paired

AnyCell = TypeVar("AnyCell", bound=Cell)
Measured = Mapping[str, Any]
Cells = Mapping[str, Mapping[int, Measured]]
"""By the cell's name (``pad``, ``pad@35``), then by seed: what was measured."""

Outcomes = Mapping[int, Sequence[int | None]]
"""By seed: for each test question 1 where it was answered rightly, 0 where not, None where that is unknown."""

SET_TITLES = {"known": "known templates", "held_out": "held-out templates"}


def write_results(
    options: argparse.Namespace,
    paths: Mapping[AnyCell, Path],
    sizes: Sequence[str],
    summarise: Callable[[Mapping[AnyCell, Measured]], Measured],
    page: Callable[[Measured, str], str],
    plot: Callable[[Measured, Path], None] | None = None,
) -> Measured:
    """``<options.name>.json``, ``.md`` and, where there is something to plot, ``.svg``, of the cells that are there.

    Told with what `summarise` makes of them: the options named in `sizes`, where all was measured, what is missing.
    `page` is given this content and the name of the plot's file. Returns the content.
    """
    cells = {cell: json.loads(path.read_text(encoding="utf-8")) for cell, path in paths.items() if path.exists()}
    content = {
        "command": command(),
        "settings": {name: getattr(options, name) for name in (*sizes, "changed")},
        **summarise(cells),
        **_origin([*cells.values()]),
        "missing": sorted(f"{cell.name}/{cell.seed}" for cell in paths if cell not in cells),
    }
    figure = Path(options.out) / f"{options.name}.svg"
    write_atomic(str(figure.with_suffix(".json")), json.dumps(content, indent=1).encode() + b"\n")
    write_atomic(str(figure.with_suffix(".md")), page(content, figure.name).encode())
    if plot and cells:
        plot(content, figure)
    return content


def _origin(cells: Sequence[Measured]) -> dict[str, Any]:
    """Where and when cells were measured, and how long that took."""
    return {
        **{name: sorted({str(cell[name]) for cell in cells}) for name in ("date", "commit", "hardware")},
        "versions": cells[-1]["versions"] if cells else {},
        "seconds": round(sum(cell["seconds"] for cell in cells), 1),
    }


def by_name(cells: Mapping[Cell, Measured]) -> Cells:
    """Cells by their names and seeds."""
    named: dict[str, dict[int, Measured]] = defaultdict(dict)
    for cell, content in cells.items():
        named[cell.name][cell.seed] = content
    return named


def average(cells: Iterable[Measured], *keys: str, digits: int | None = None) -> Any:
    """The rounded mean over cells of what each has under ``keys[0]``, in that under ``keys[1]``, and so on."""
    return round(float(np.mean([reduce(getitem, keys, cell) for cell in cells])), digits)


def opening(content: Measured, sizes: str, name: str, arms: str = "arms.py") -> str:
    """The first paragraph of a page: command, `sizes` in words, the file of the arms, where and when."""
    changes = " ".join(content["settings"]["changed"])
    changed = f", changed in all arms: `{changes}`" if changes else ""
    return (
        f"`{content['command']}`; {sizes}{changed}; "
        f"what else is set stands in `benchmarks/replications/{name}/{arms}`. "
        f"Measured {' and '.join(content['date']) or 'not yet'} at commit {', '.join(content['commit']) or '-'} on "
        f"{'; '.join(content['hardware']) or '-'}: {content['seconds'] / 60:.0f} minutes."
    )


def passed(cells: Mapping[int, Measured]) -> Outcomes:
    """What an arm's students made of the test questions, by seed."""
    return {seed: content["passed"] for seed, content in cells.items()}


def compared(ours: Outcomes, other: Outcomes) -> dict[str, Any] | None:
    """The columns of a claim from `ours` to `n`, over the seeds that both have; None where they have none."""
    seeds = sorted(ours.keys() & other.keys())
    if not seeds:
        return None
    mine, theirs = ({seed: arm[seed] for seed in seeds} for arm in (ours, other))
    means = [float(mean_of(matrix([*arm.values()]))["mean"]) for arm in (mine, theirs)]
    return {"ours": means[0], "other": means[1], "n": len(mine[seeds[0]]), **paired(mine, theirs)}


def claim_lines(content: Measured) -> list[str]:
    """Each claim as a point of a list: its gain with interval, and whether it holds."""
    return [
        f"- {claim['claim']}: {percents(claim, 'gain', signed=True)} points, {claim['seeds']} seeds: "
        f"{'holds' if claim['holds'] else 'does not hold'}"
        for claim in content["claims"]
    ]


def unmeasured(content: Measured) -> str:
    """The last line of a page: the cells that are missing, ``Cells that are not measured: beam/0,1,2; refine/2.``"""
    seeds: dict[str, list[str]] = defaultdict(list)
    for name, _, seed in (cell.rpartition("/") for cell in content["missing"]):
        seeds[name].append(seed)
    cells = "; ".join(f"{name}/{','.join(found)}" for name, found in seeds.items())
    return f"Cells that are not measured: {cells or 'none'}."


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, its first column to the left, the others to the right."""
    rule = "|---|" + "--:|" * (len(header) - 1)
    return [f"| {' | '.join(header)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]


def percents(told: Measured, key: str = "mean", signed: bool = False) -> str:
    """``61.0 (58.2 to 63.9)`` of a mean, or of a gain with its sign."""
    return with_interval(told, key, "{:+.1f}" if signed else "{:.1f}", 100)


def with_interval(told: Measured, key: str = "mean", form: str = "{:.3f}", scale: float = 1) -> str:
    """``0.250 (0.190 to 0.310)``: a value with its interval."""
    value, low, high = (form.format(scale * number) for number in (told[key], *told["ci95"]))
    return f"{value} ({low} to {high})"


@contextmanager
def drawn(path: Path, size: tuple[float, float], widths: Sequence[float]) -> Iterator[Sequence[Any]]:
    """Axes side by side, with a grid and legends, saved as `path` at the end; the same numbers give the same file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = path.stem
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(widths), figsize=size, width_ratios=widths, layout="constrained", squeeze=False
    )
    yield axes[0]
    for one in axes[0]:
        one.grid(alpha=0.3)
        names = one.get_legend_handles_labels()[1]
        if names and one.get_title():
            one.legend()
        elif names:  # above the axes, where it hides no point
            one.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(3, len(names)), frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def whiskers(means: Sequence[Measured], scale: float = 1) -> tuple[np.ndarray, np.ndarray]:
    """Means [n], and how far their intervals reach down and up from them [2, n], for matplotlib's error bars."""
    values, low, high = scale * np.array([(told["mean"], *told["ci95"]) for told in means]).T
    return values, np.clip([values - low, high - values], 0, None)
