"""The table of recipes, and what others know of them: their settings, and the recipe that belongs to some settings."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Discriminator, Tag

from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.recipes.base import Recipe
from raydistill.pipelines.recipes.llm2llm.recipe import IterativeEnhancement
from raydistill.pipelines.recipes.mcc_kd.recipe import MultiCotConsistentDistillation
from raydistill.pipelines.recipes.mixed.recipe import MixedDistillation
from raydistill.pipelines.recipes.opd.recipe import OnPolicyDistillation
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.recipes.rebase.recipe import RetrievalBasedDistillation
from raydistill.pipelines.recipes.tripost.recipe import SelfImprovement

RECIPES: dict[str, type[Recipe[Any]]] = {
    recipe.name: recipe
    for recipe in (
        IterativeEnhancement,
        MixedDistillation,
        MultiCotConsistentDistillation,
        OnPolicyDistillation,
        ProgramAidedDistillation,
        RetrievalBasedDistillation,
        SelfImprovement,
    )
}

DEFAULT = ProgramAidedDistillation.name
"""The recipe of a run, or of a student, that names none."""


def default_recipe() -> Strict:
    """The settings of the default recipe."""
    return RECIPES[DEFAULT].Config()


def make_recipe(config: Any) -> Recipe[Any]:
    """The recipe that `config.recipe` names."""
    return RECIPES[config.recipe](config)


def _recipe_of(settings: Any) -> Any:
    """The name of the recipe that `settings` are for."""
    return settings.get("recipe", DEFAULT) if isinstance(settings, dict) else getattr(settings, "recipe", None)


if TYPE_CHECKING:
    AnyRecipe = Any
else:
    _SETTINGS = (Annotated[recipe.Config, Tag(name)] for name, recipe in RECIPES.items())
    _UNKNOWN = {
        "custom_error_type": "unknown_recipe",
        "custom_error_message": f"no such recipe; expected one of {', '.join(sorted(RECIPES))}",
    }
    AnyRecipe = Annotated[reduce(or_, _SETTINGS), Discriminator(_recipe_of, **_UNKNOWN)]
