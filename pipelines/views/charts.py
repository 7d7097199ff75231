"""Charts as SVG inside a page: drawn by matplotlib, coloured by the page's own CSS, so that they follow its theme."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from raydistill.pipelines.views.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {"#010101": "ink", "#020202": "line", "#030303": "panel"} | {f"#0{n}0{n}a{n}": f"c{n}" for n in range(1, 6)}
"""Placeholders that matplotlib draws with, and the CSS variables that take their places."""
INK, LINE, PANEL, *SERIES = COLOURS
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor"), INK),
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
WIDTH = 5.0  # inches; the page scales it


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, what it shows in words, and its numbers as a table for who cannot see it."""

    svg: Markup
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def lines(title: str, x_label: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> Chart:
    """Curves over one axis; a series of few points is shown with its points."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes) -> None:
        for (name, points), colour in zip(series.items(), SERIES, strict=False):
            marker = "o" if len(points) < 30 else ""
            axes.plot(*zip(*points, strict=True), color=colour, label=one_line(name, 30), marker=marker, markersize=4)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        if len(series) > 1:
            axes.legend(loc="best")

    rows = [(name, f"{p[0][1]:.4g}", f"{p[-1][1]:.4g}", f"{min(y for _, y in p):.4g}") for name, p in series.items()]
    return Chart(_drawn(title, draw, 3.0), title, ("curve", "first", "last", "lowest"), rows)


def intervals(title: str, values: Mapping[str, tuple[float, float, float]]) -> Chart:
    """Fractions with their intervals (value, low, high), one below the other."""
    names = list(values)

    def draw(axes: Axes) -> None:
        for place, (value, low, high) in enumerate(values.values()):
            axes.plot([100 * low, 100 * high], [place, place], color=SERIES[0], linewidth=2.5, alpha=0.5)
            axes.plot(100 * value, place, "o", color=SERIES[0], markersize=7)
        axes.set_yticks(range(len(names)), [one_line(name, 24) for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("% right")

    rows = [(name, *(f"{100 * number:.1f} %" for number in told)) for name, told in values.items()]
    return Chart(_drawn(title, draw, 1.1 + 0.36 * len(names)), title, ("model", "right", "from", "to"), rows)


def spans(title: str, bars: Sequence[tuple[str, float, float, str]]) -> Chart:
    """Stages as bars in time: name, start and end in seconds, and its kind, which gives the colour."""
    kinds = sorted({kind for *_, kind in bars})

    def draw(axes: Axes) -> None:
        for place, (_, start, end, kind) in enumerate(bars):
            width = max(end - start, 0.004 * bars[-1][2])
            axes.barh(place, width, left=start, height=0.6, color=SERIES[kinds.index(kind)])
        for kind, colour in zip(kinds, SERIES, strict=False):
            axes.barh(0, 0, color=colour, label=kind)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(kinds))
        axes.set_yticks(range(len(bars)), [one_line(name, 40) for name, *_ in bars])
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_xlabel("seconds since the start")
        axes.grid(axis="y", visible=False)

    rows = [(name, f"{start:.1f} s", f"{end - start:.1f} s", kind) for name, start, end, kind in bars]
    return Chart(
        _drawn(title, draw, 1.4 + 0.3 * len(bars), 2 * WIDTH), title, ("stage", "begins at", "takes", "kind"), rows
    )


def _drawn(title: str, draw: Callable[[Axes], None], height: float, width: float = WIDTH) -> Markup:
    """The SVG of one pair of axes; the same numbers give the same text."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = STYLE | {"svg.hashsalt": title}  # its stubs want the names of settings as literals
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        axes.patch.set_alpha(0)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return _themed(file.getvalue(), title)


def _themed(svg: str, title: str) -> Markup:
    """matplotlib's file as an element of a page: without a size or styles of its own, with the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*"', r"\1", svg)
    svg = re.sub(r"font: (?:bold )?(\S+) [^;\"]*", lambda m: f"font-size: {m[1]}", svg)
    for placeholder, name in COLOURS.items():
        svg = svg.replace(placeholder, f"var(--{name})")
    label = escape(title)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{label}" focusable="false"', 1))
