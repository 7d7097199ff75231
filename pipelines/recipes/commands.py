"""The commands that recipes bring along, by name; found without importing any recipe, so that help comes at once."""

from __future__ import annotations

from collections.abc import Callable

from raydistill.pipelines.recipes.mcc_kd.command import consistency

COMMANDS: dict[str, Callable[..., None]] = {"consistency": consistency}
