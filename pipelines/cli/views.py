"""`raydistill report`, `compare`, `samples` and `watch`: what people look at, made of runs' folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raydistill.pipelines.cli.outputs import check_out

if TYPE_CHECKING:
    from raydistill.pipelines.views.compare import Comparison

RunName = Annotated[str, typer.Argument(help="folder or URI of a run", metavar="RUN", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts instead")]


def report(
    run: RunName, seed: Annotated[int, typer.Option(help="which samples are drawn for the browser")] = 0
) -> None:
    """Write RUN/report.html anew: everything about a run in one file that loads nothing. Also of a failed run."""
    from raydistill.pipelines.views.page import write_page
    from raydistill.pipelines.views.run_folder import RunFolder

    print(write_page(RunFolder.open(run), seed))


def compare(
    runs: Annotated[list[str], typer.Argument(help="folders or URIs of runs", metavar="RUN RUN ...")],
    out: Annotated[Path | None, typer.Option(help="HTML file for a page with all of it and the questions")] = None,
    model: Annotated[str, typer.Option(help="whose answers the page shows where runs differ")] = "student",
    as_json: AsJson = False,
) -> None:
    """Compare runs with the first: accuracies with paired intervals, settings that differ, tokens, time."""
    from raydistill.pipelines.views.compare import compare as compare_runs
    from raydistill.pipelines.views.compare_page import comparison_page
    from raydistill.pipelines.views.run_folder import RunFolder

    if out:
        check_out(out)
    opened = [RunFolder.open(run) for run in runs]
    found = compare_runs(opened)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(comparison_page(opened, model), encoding="utf-8")
    if as_json:
        print(json.dumps(found.to_json(), indent=2, default=str))
    else:
        _print_comparison(found)


def _print_comparison(found: Comparison) -> None:
    from raydistill.pipelines.views.compare import shown
    from raydistill.pipelines.views.text import cut

    console = Console(soft_wrap=True)
    scores = [
        [model, *(f"{one.accuracy:.1%} ({one.low:.1%} to {one.high:.1%})" if one else "-" for one in several)]
        for model, several in found.scores.items()
    ]
    gains = [
        [
            gain.model,
            gain.run,
            f"{gain.n:,}",
            f"{100 * gain.gain:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})",
        ]
        + [f"{gain.only_this:,}", f"{gain.only_first:,}"]
        for gain in found.gains
    ]
    settings = [[name, *(cut(shown(value), 60) for value in values)] for name, values in found.settings.items()]
    spent = [[name, *(f"{x:,}" if x is not None else "-" for x in values)] for name, values in found.spent.items()]
    columns = ["model", "run", "questions", "gain in points", "only this right", "only the first right"]
    _print_table(console, "accuracy (95 %)", ["model", *found.runs], scores)
    _print_table(console, f"gains over {found.runs[0]}, paired by question", columns, gains)
    _print_table(console, "settings that differ", ["setting", *found.runs], settings)
    _print_table(console, "cost and time", ["", *found.runs], spent)


def _print_table(console: Console, title: str, columns: list[str], rows: list[list[str]]) -> None:
    if not rows:
        console.print(f"{escape(title)}: none")
        return
    table = Table(title=escape(title), title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(escape(column), justify="right" if place else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def samples(
    run: RunName,
    status: Annotated[str | None, typer.Option(help="passed, failed or unknown")] = None,
    reason: Annotated[str | None, typer.Option(help="such as wrong_answer; exception for all exceptions")] = None,
    context: Annotated[str | None, typer.Option(help="name of the prompt")] = None,
    stage: Annotated[str | None, typer.Option(help="title of a sampling job; default: all but evaluations")] = None,
    search: Annotated[str | None, typer.Option(help="text that question or completion must hold")] = None,
    limit: Annotated[int | None, typer.Option(help="most samples; default: 20, with --json all", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Read samples: question, completion with its program, verdict. On a terminal they are paged."""
    from raydistill.pipelines.views.terminal import chosen, show_samples

    found = chosen(run, status=status, reason=reason, context=context, stage=stage, search=search)
    if as_json:
        for place, sample in enumerate(found):
            if place == limit:
                break
            print(json.dumps(sample.to_json()))  # ASCII: whatever a model wrote, a terminal only shows it
        return
    show_samples(found, limit or 20)


def watch(run: RunName, once: Annotated[bool, typer.Option("--once", help="look once, and end")] = False) -> None:
    """Watch all stages of a run that another process works on: done, rate, share passed, tokens, time left."""
    from raydistill.pipelines.views.watch import watch as watch_run

    watch_run(run, once=once)


VIEWS: dict[str, Callable[..., None]] = {"report": report, "compare": compare, "samples": samples, "watch": watch}
