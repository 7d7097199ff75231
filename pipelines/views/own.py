"""The part of a page that belongs to the run's recipe, which alone knows what its numbers mean."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.files import validated
from raydistill.pipelines.data.blocks import Block, Table
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.views.run_folder import RunFolder


def own_blocks(run: RunFolder) -> list[dict[str, Any]]:
    """What the recipe tells, as the templates read it."""
    try:
        recipe = make_recipe(validated(Run, run.config, run.root).recipe)
    except UsageError:  # of another version, or ${VARIABLES} that are not set here
        return []
    return [_told(block) for block in recipe.tell(run)]


def _told(block: Block) -> dict[str, Any]:
    told = {field.name: getattr(block, field.name) for field in fields(block)} | {"kind": type(block).__name__}
    if isinstance(block, Table):
        told["numbers"] = [
            place for place in range(1, len(block.columns)) if all(_is_number(row[place]) for row in block.rows)
        ]
        told["rows"] = [[f"{cell:,}" if isinstance(cell, int) else cell for cell in row] for row in block.rows]
    return told


def _is_number(cell: object) -> bool:
    """Whether a cell is a number, or stands for one that there is not."""
    plain = str(cell).rstrip(" %").removeprefix("-").replace(",", "").replace(".", "", 1)
    return isinstance(cell, int | float) or not plain or plain.isdigit()
