"""The table of recipes: their settings, and how each asks, reads and selects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.recipes.mcc_kd.config import MccKD
from raydistill.pipelines.recipes.mcc_kd.recipe import MultiCotConsistentDistillation
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.recipes.rebase import recipe as rebase
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.recipe import RetrievalBasedDistillation
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.recipe import SelfImprovement
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.tasks import LoadedQuestions, load_questions

RECIPES: dict[str, Callable[[Any], Prompter]] = {
    "mcc_kd": MultiCotConsistentDistillation,
    "pad": ProgramAidedDistillation,
    "rebase": RetrievalBasedDistillation,
    "tripost": SelfImprovement,
}


def make_recipe(config: Any) -> Prompter:
    """The recipe that `config.recipe` names."""
    return RECIPES[config.recipe](config)


def questions_of(recipe: AnyRecipe, questions: Questions | None) -> Questions:
    """The questions that a run learns from; for ReBase, which makes its own, how their answers are compared."""
    if isinstance(recipe, ReBase):
        return rebase.questions_of(recipe)
    assert questions
    return questions


def load_training_questions(recipe: AnyRecipe, questions: Questions | None) -> LoadedQuestions:
    """The questions that a run learns from; for ReBase the target's examples, with the task that compares answers."""
    if isinstance(recipe, ReBase):
        return rebase.target_questions(recipe)
    return load_questions(questions_of(recipe, questions))


def _recipe_of(settings: Any) -> Any:
    """The name of the recipe that `settings` are for; PaD's where they name none."""
    return settings.get("recipe", "pad") if isinstance(settings, dict) else getattr(settings, "recipe", None)


AnyRecipe = Annotated[
    Annotated[PaD, Tag("pad")]
    | Annotated[MccKD, Tag("mcc_kd")]
    | Annotated[ReBase, Tag("rebase")]
    | Annotated[TriPosT, Tag("tripost")],
    Discriminator(_recipe_of),
]
