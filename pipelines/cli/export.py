"""`raydistill export`: data sets and models of a run in the forms of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raydistill.actors.errors import UsageError


def export(
    run: Annotated[str, typer.Argument(help="folder or URI of a run", metavar="RUN", show_default=False)],
    to: Annotated[
        str, typer.Option(help="messages, preferences, prompts, steps, model, adapter, card", show_default=False)
    ],
    out: Annotated[Path | None, typer.Option(help="folder; default: RUN/exports/<what it is>")] = None,
    license_id: Annotated[str, typer.Option("--license", help="SPDX id that the card states")] = "unknown",
    push: Annotated[str | None, typer.Option(help="OWNER/NAME on the hub to send it to; private")] = None,
    public: Annotated[bool, typer.Option("--public", help="with --push: let everyone read it")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="with --push: only say what would be sent")] = False,
) -> None:
    """Write a run's data or student for other tools, with a card; --push sends it to the hub."""
    from raydistill.pipelines.exports.export import default_folder, push_export
    from raydistill.pipelines.exports.export import export as export_run
    from raydistill.pipelines.exports.hub import check_name
    from raydistill.pipelines.views.run_folder import RunFolder

    if (public or dry_run) and not push:
        raise UsageError("--public and --dry-run go with --push OWNER/NAME")
    if push:
        check_name(push)
    opened = RunFolder.open(run)
    folder = out or default_folder(opened, to)
    export_run(opened, to, folder, license_id, print)
    if push:
        push_export(folder, to, push, public=public, dry_run=dry_run, say=print)
