"""The table of recipes: one line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipelines.mcc_kd import MultiCotConsistentDistillation
from pipelines.pad import ProgramAidedDistillation
from pipelines.rebase import RetrievalBasedDistillation
from pipelines.recipe import Recipe
from pipelines.tripost import SelfImprovement

RECIPES: dict[str, Callable[[Any], Recipe]] = {
    "mcc_kd": MultiCotConsistentDistillation,
    "pad": ProgramAidedDistillation,
    "rebase": RetrievalBasedDistillation,
    "tripost": SelfImprovement,
}


def make_recipe(config: Any) -> Recipe:
    """The recipe that `config.recipe` names."""
    return RECIPES[config.recipe](config)
