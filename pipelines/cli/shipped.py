"""``raydistill configs``: the configurations that come with the package."""

from __future__ import annotations

from typing import Annotated

import typer

from raydistill.actors.errors import UsageError


def configs(
    name: Annotated[str | None, typer.Argument(help="print this one, to begin with", show_default=False)] = None,
) -> None:
    """List the configurations that come with raydistill: every command that takes CONFIG takes their names, too."""
    from raydistill.pipelines.config.shipped import about, configurations

    shipped = configurations()
    if name is None:
        for known, file in shipped.items():
            print(f"{known:<18}  {about(file)}")
    elif name in shipped:
        print(shipped[name].read_text(encoding="utf-8"), end="")
    else:
        raise UsageError(f"configs: no configuration {name!r} is shipped; expected one of: {', '.join(shipped)}")
