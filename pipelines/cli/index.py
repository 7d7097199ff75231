"""``raydistill index``: build, extend, search and describe a datastore of rows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from raydistill.actors.errors import UsageError
from raydistill.pipelines.cli.outputs import check_out
from raydistill.pipelines.runtime.progress import infrastructure_log

if TYPE_CHECKING:
    from raydistill.actors.retrieval.retriever import RetrievedRow
    from raydistill.actors.retrieval.row_index import Source

index_app = typer.Typer(name="index", help="A datastore: rows of many datasets, found by task.", no_args_is_help=True)

Index = Annotated[str, typer.Argument(help="folder or URI of the index", metavar="INDEX", show_default=False)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")]
SHOWN_CHARACTERS = 120  # of a winning value


@index_app.command()
def build(
    config: Annotated[Path, typer.Argument(help="YAML file: index, encoder, limits, sources", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="settings to change (limits.rows_per_source=200)", show_default=False)
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="build all of the index anew, maybe with another encoder or limits")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Read, encode and store the sources of a file; what is there already stays. Killed? The same command goes on."""
    from raydistill.pipelines.config.files import expand
    from raydistill.pipelines.datastore.build import build as build_index
    from raydistill.pipelines.datastore.settings import Datastore, load_settings

    settings = load_settings(config, Datastore, overrides or ())
    settings = settings.model_copy(update={"index": expand(settings.index)})
    console = None if quiet else Console(soft_wrap=True)
    with infrastructure_log(settings.index):
        added = build_index(settings, console, rebuild=rebuild)
    if console:
        _print_sources(console, settings.index, added, "nothing to do: every source is there already")


@index_app.command()
def add(
    index: Index,
    name: Annotated[str, typer.Option(help="the source's name; one of this name is replaced")],
    description: Annotated[str, typer.Option(help="what the dataset is, in a sentence or two")],
    path: Annotated[str | None, typer.Option(help="local .jsonl, .csv or .parquet file")] = None,
    hub: Annotated[str | None, typer.Option(help="hub dataset id, instead of a path")] = None,
    config: Annotated[str | None, typer.Option(help="configuration of the hub dataset")] = None,
    split: Annotated[str, typer.Option(help="split of the hub dataset")] = "train",
    rows: Annotated[int, typer.Option(help="most rows; drawn where there are more", min=1)] = 1000,
    quiet: Quiet = False,
) -> None:
    """Add one source to an index, with the index's own encoder."""
    from raydistill.actors.retrieval.row_index import RowIndex
    from raydistill.pipelines.datastore.build import build as build_index
    from raydistill.pipelines.datastore.settings import Datastore, validated

    source = {"name": name, "description": description, "path": path, "hub": hub, "config": config, "split": split}
    encoder = RowIndex.open(index).encoder.name
    settings = {"index": index, "encoder": encoder, "limits": {"rows_per_source": rows}, "sources": [source]}
    console = None if quiet else Console(soft_wrap=True)
    with infrastructure_log(index):
        added = build_index(validated(Datastore, settings, "index add"), console)
    if console:
        _print_sources(console, index, added, "nothing to do: the source is there already")


@index_app.command()
def search(
    index: Index,
    task: Annotated[Path, typer.Argument(help="YAML file: instruction and examples (input, output)", metavar="TASK")],
    count: Annotated[int, typer.Option("--count", "-n", help="how many rows")] = 10,
    level: Annotated[str, typer.Option(help="row; or the controls dataset, random")] = "row",
    encoder: Annotated[str | None, typer.Option(help="ask with this encoder; default: the index's own")] = None,
    ban: Annotated[list[str] | None, typer.Option(help="name of a source to leave out; may be repeated")] = None,
    out: Annotated[Path | None, typer.Option(help="JSONL file for the rows with all values and scores")] = None,
    quiet: Quiet = False,
) -> None:
    """Find the most useful rows for a task, with their scores and the columns that won."""
    from raydistill.actors.retrieval.retriever import Retriever
    from raydistill.pipelines.datastore.retrieval import lookup_of
    from raydistill.pipelines.datastore.settings import TargetTask, load_settings

    if out:
        check_out(out)
    if level not in ("row", "dataset", "random"):
        raise UsageError(f"--level {level}: expected row, dataset or random")
    wanted = load_settings(task, TargetTask)
    lookup = lookup_of(wanted, count, level=level, banned=ban or ())  # type: ignore[arg-type]
    rows = Retriever(index, encoder).retrieve(lookup)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")
    if not quiet:
        Console().print(rows_table(rows, f"{len(rows):,} rows of {index} by {level}"))


@index_app.command()
def stats(index: Index) -> None:
    """What an index holds: sources, rows, what was dropped and why, and the encoder."""
    from raydistill.actors.retrieval.row_index import RowIndex

    opened = RowIndex.open(index)
    console = Console(soft_wrap=True)
    _print_sources(console, index, opened.sources(), "it is empty")
    encoder = opened.encoder
    console.print(f"encoder {encoder.name}, version {encoder.version}, {encoder.dimension} dimensions")


def rows_table(rows: list[RetrievedRow], title: str) -> Table:
    """Rows with their scores and, cut to one line each, the values that won."""
    table = Table(title=title, title_justify="left", show_lines=True)
    for name in ("S", "in", "out", "ds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("row", overflow="fold", min_width=8)
    table.add_column("column: value nearest to the inputs", ratio=3)
    table.add_column("column: value nearest to the outputs", ratio=2)
    for row in rows:
        scores = [f"{score:.3f}" for score in (row.s, row.s_in, row.s_out, row.s_ds)]
        winners = [f"[bold]{column}[/]: {_shown(row.values[column])}" for column in (row.column_in, row.column_out)]
        table.add_row(*scores, f"{row.source} #{row.row}", *winners)
    return table


def _shown(value: str) -> str:
    from rich.markup import escape

    line = " ".join(value.split())
    return escape(line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…")


def _print_sources(console: Console, index: str, sources: list[Source], none: str) -> None:
    if not sources:
        console.print(f"{index}: {none}")
        return
    table = Table(title=index, title_justify="left")
    for name in ("source", "rows", "records", "dropped", "values cut"):
        table.add_column(name, justify="left" if name in ("source", "dropped") else "right")
    for source in sources:
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in source.dropped.items())
        table.add_row(source.name, f"{source.rows:,}", f"{source.records:,}", dropped or "-", f"{source.cut:,}")
    rows, records = sum(source.rows for source in sources), sum(source.records for source in sources)
    console.print(table)
    console.print(f"{len(sources):,} sources, {rows:,} rows, {records:,} records")
