"""`raydistill report`: what people look at, made of runs' folders."""

from __future__ import annotations

from typing import Annotated

import typer

RunFolderName = Annotated[str, typer.Argument(help="folder or URI of a run", metavar="RUN", show_default=False)]


def report(
    run: RunFolderName, seed: Annotated[int, typer.Option(help="which samples are drawn for the browser")] = 0
) -> None:
    """Write RUN/report.html anew: everything about a run in one file that loads nothing. Also of a failed run."""
    from raydistill.pipelines.views.page import write_page
    from raydistill.pipelines.views.run_folder import RunFolder

    print(write_page(RunFolder.open(run), seed))
