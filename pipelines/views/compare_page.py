"""The page of a comparison, of the same make as a run's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from raydistill.pipelines.views import charts
from raydistill.pipelines.views.compare import Comparison, Disagreement, compare, disagreements, shown
from raydistill.pipelines.views.page import render
from raydistill.pipelines.views.run_folder import RunFolder
from raydistill.pipelines.views.text import cut, one_line

MOST_QUESTIONS, MOST_CHARACTERS = 500, 1200


def comparison_page(runs: Sequence[RunFolder], model: str = "student") -> str:
    """HTML: all tables, and the questions that one run's `model` gets right and another's does not."""
    found, different = compare(runs), disagreements(runs, model)
    told = [_told(one) for one in different[:MOST_QUESTIONS]]
    return render(
        "compare.html",
        title=f"{' · '.join(found.runs)} · raydistill",
        found=found,
        model=model,
        score_rows=_score_rows(found),
        score_charts=list(_score_charts(found)),
        gain_rows=[
            (gain.model, gain.run, gain.n, *(f"{100 * x:+.1f}" for x in (gain.gain, gain.low, gain.high)))
            + (gain.only_this, gain.only_first)
            for gain in found.gains
        ],
        setting_rows=[(name, *map(shown, values)) for name, values in found.settings.items()],
        spent_rows=[(name, *(f"{x:,}" if x is not None else "-" for x in xs)) for name, xs in found.spent.items()],
        questions=told,
        count=len(different),
        choices=[("right", "Right", sorted({one["right"] for one in told}))],
    )


def _score_rows(found: Comparison) -> list[tuple[str, ...]]:
    """A row for each model: accuracy and interval in each run."""
    return [
        (model, *(f"{one.accuracy:.1%} ({one.low:.1%} to {one.high:.1%})" if one else "-" for one in several))
        for model, several in found.scores.items()
    ]


def _score_charts(found: Comparison) -> Any:
    for model, several in found.scores.items():
        told = {name: (one.accuracy, one.low, one.high) for name, one in zip(found.runs, several, strict=True) if one}
        yield charts.intervals(f"Right answers: {model}", told)


def _told(one: Disagreement) -> dict[str, Any]:
    answers: list[tuple[str, str, str, Markup]] = [
        (one_line(run), status, cut(value, 200), escape(cut(text, MOST_CHARACTERS)))
        for run, status, value, text in one.answers
    ]
    return {
        "title": one_line(one.question, 160),
        "question": cut(one.question, MOST_CHARACTERS),
        "gold": cut(one.gold, 200),
        "right": one_line(", ".join(one.right)),
        "answers": answers,
    }
