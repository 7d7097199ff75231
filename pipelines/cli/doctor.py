"""``raydistill doctor``: what would go wrong with a run, and what to do about it."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from raydistill.pipelines.runtime.progress import infrastructure_log

if TYPE_CHECKING:
    from raydistill.pipelines.doctor.findings import Finding

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}


def doctor(
    config: Annotated[
        Path | None, typer.Argument(help="the run's YAML file; without one the machine alone", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(help="settings to change, as key.path=value", show_default=False)
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="leave out what starts an engine")] = False,
    run_dir: Annotated[str | None, typer.Option(help="folder or URI of the run")] = None,
) -> None:
    """Look for what would go wrong with a run before it costs anything: sandbox, tokens, engines, endpoint, memory."""
    from raydistill.pipelines.doctor.checkup import Checkup
    from raydistill.pipelines.doctor.registry import examine
    from raydistill.pipelines.run_config import load_config

    changed = [*(overrides or []), *([f"run_dir={run_dir}"] if run_dir else [])]
    checkup = Checkup(load_config(config, changed)) if config else None
    console, counts = Console(soft_wrap=True, highlight=False), Counter[str]()
    with tempfile.TemporaryDirectory() as logs, infrastructure_log(logs):
        try:
            for finding in examine(checkup, quick=quick):
                counts[finding.status] += 1
                show(console, finding)
        finally:
            if checkup:
                checkup.close()
    console.print(verdict(counts, config, quick=quick))
    if counts["fail"]:
        raise typer.Exit(1)


def show(console: Console, finding: Finding) -> None:
    """A finding in one line, and its remedy below."""
    colour = COLOURS[finding.status]
    console.print(f"[{colour}]{finding.status:<8}[/]{escape(finding.about)}: {escape(' '.join(finding.said.split()))}")
    if finding.remedy and finding.status in ("warn", "fail"):
        console.print(f"        -> {escape(' '.join(finding.remedy.split()))}")


def verdict(counts: Counter[str], config: Path | None, *, quick: bool) -> str:
    """The last line: what to do now."""
    told = ", ".join(f"{counts[status]} {status}" for status in COLOURS if counts[status])
    if counts["fail"]:
        return f"{told}: mend the failures first, then look again"
    if config is None:
        return f"{told}: raydistill doctor CONFIG looks at a run, too"
    if quick:
        return f"{told}: without --quick the engines are looked at, too"
    return f"{told}: {'mind the warnings, or ' if counts['warn'] else ''}raydistill run {config}"
