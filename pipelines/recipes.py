"""The table of recipes: one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.pad import ProgramAidedDistillation
from pipelines.recipe import Recipe

RECIPES: dict[str, Callable[[Any], Recipe]] = {
    "pad": ProgramAidedDistillation,
}


def make_recipe(config: Any) -> Recipe:
    """The recipe that `config.recipe` names."""
    return RECIPES[config.recipe](config)
