"""A whole run's configuration: one YAML file, ``key.path=value`` overrides, unknown keys rejected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, model_validator

from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.config.files import read_settings, validated
from raydistill.pipelines.config.sections import Evaluation, Execution, Questions, RetrieverConfig, Teacher, Train
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.registry import AnyRecipe


class Run(Strict):
    """A whole run: questions, teacher, execution, recipe, training, evaluation."""

    run_dir: str = Field("runs/default", description="folder or URI that every node reaches")
    cpus: int | None = Field(None, ge=1, description="logical CPUs of a Ray started here (default: at least 4)")
    questions: Questions | None = Field(None, description="those to learn from; recipe rebase makes its own")
    teacher: Teacher
    execution: Execution = Execution()
    retriever: RetrieverConfig = RetrieverConfig()
    recipe: AnyRecipe = PaD()
    train: Train | None = None
    evaluation: Evaluation | None = None

    @model_validator(mode="after")
    def _origin(self) -> Run:
        makes_its_own = isinstance(self.recipe, ReBase)
        if makes_its_own == bool(self.questions):
            told = "makes its questions of rows: remove questions" if makes_its_own else "needs questions to learn from"
            raise ValueError(f"recipe {self.recipe.recipe} {told}")
        if makes_its_own and self.teacher.rounds > 1:
            raise ValueError("recipe rebase asks once about each row: raise teacher.n instead of teacher.rounds")
        return self


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """Read a run's YAML file and apply ``key.path=value`` overrides (values are YAML).

    Raises UsageError with one line per problem: missing file, YAML error with its position, unknown key, bad value.
    """
    kind = "configuration file (shipped ones are in configs/)"
    return validated(Run, read_settings(Path(path), overrides, kind=kind), str(path))
