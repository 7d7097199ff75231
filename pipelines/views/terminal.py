"""Samples on a terminal, as a person reads them; what a model wrote is shown there and never acts."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from raydistill.actors.errors import UsageError
from raydistill.pipelines.views.run_folder import RunFolder, Sampling
from raydistill.pipelines.views.samples import Filter, ShownSample, everything
from raydistill.pipelines.views.text import cut

STATUSES = ("passed", "failed", "unknown")
COLOURS = {"passed": "green", "failed": "red", "unknown": "yellow"}
MOST = 4000  # characters of a text


def chosen(
    path: str, *, status: str | None, reason: str | None, context: str | None, stage: str | None, search: str | None
) -> Iterator[ShownSample]:
    """The samples of a run that fit. Raises UsageError for a stage or a status that there is not."""
    run = RunFolder.open(path)
    if status not in (None, *STATUSES):
        raise UsageError(f"--status {status}: expected one of {', '.join(STATUSES)}")
    wanted, stages = Filter(status, reason, context), _stages(run, stage)
    found = (sample for sampling in stages for sample in everything(run, sampling, wanted))
    if search is None:
        return found
    return (one for one in found if search.lower() in f"{one.question}\n{one.text}".lower())


def _stages(run: RunFolder, title: str | None) -> list[Sampling]:
    if not run.samplings:
        raise UsageError(f"{run.root}: no samples are known of this run; the same `raydistill run` command notes them")
    titles = ", ".join(repr(sampling.title) for sampling in run.samplings)
    if title is None:
        return [sampling for sampling in run.samplings if not sampling.evaluates] or run.samplings
    if not (found := [sampling for sampling in run.samplings if sampling.title == title]):
        raise UsageError(f"--stage {title!r}: expected one of {titles}")
    return found


def show_samples(samples: Iterable[ShownSample], most: int) -> None:
    """Print the first samples, in the pager where there is a terminal; and how to see more."""
    console = Console(highlight=False)
    first = list(itertools.islice(samples, most + 1))
    if not first:
        console.print("no such samples")
        return

    def say() -> None:
        for sample in first[:most]:
            console.print(panel(sample))
        if len(first) > most:
            console.print(f"the first {most}; --limit shows more, --json gives all of them to a script")

    if console.is_terminal and sys.stdin.isatty():
        with console.pager(styles=True):
            say()
    else:
        say()


def panel(sample: ShownSample) -> Panel:
    """A sample with its texts in their own lines and its verdict below."""
    parts: list[RenderableType] = [_heading("question"), Text(cut(sample.question, MOST)), _heading("completion")]
    parts += _completion(sample)
    told = Table.grid(padding=(0, 2))
    facts = {"gold answer": sample.gold, "came out": sample.value or "-", "message": sample.message}
    facts |= {"printed": sample.stdout, "learned from": "yes" if sample.learned else "no", "model": sample.model}
    for name, value in facts.items():
        if value:
            told.add_row(Text(name, style="dim"), Text(cut(value, 300)))
    reason = f": {sample.reason}" if sample.reason not in ("", "ok") else ""
    title = Text(cut(f"{sample.status}{reason}", 200), style=f"bold {COLOURS[sample.status]}")
    where = Text(cut(f"{sample.stage}, {sample.id}, {sample.tokens} tokens", 300), style="dim")
    return Panel(Group(*parts, _heading("verdict"), told), title=title, title_align="left", subtitle=where)


def _completion(sample: ShownSample) -> list[RenderableType]:
    """What was written, with the program in it highlighted; and what was read out of it where that is not in it."""
    if sample.format != "program" or not sample.output:
        return [Text(cut(sample.text, MOST))]
    program = Syntax(cut(sample.output, MOST), "python", background_color="default")
    before, found, after = sample.text.partition(sample.output)
    if not found:
        return [Text(cut(sample.text, MOST)), _heading("program that was run"), program]
    around = [Text(cut(text.strip("\n"), MOST // 2)) if text.strip() else Text("") for text in (before, after)]
    return [around[0], program, around[1]]


def _heading(name: str) -> Text:
    return Text(f"\n{name}", style="bold dim")
