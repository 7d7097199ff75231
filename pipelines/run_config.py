"""A whole run's configuration: one YAML file, ``key.path=value`` overrides, unknown keys rejected."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.config.budget import Budget
from raydistill.pipelines.config.files import read_settings, validated
from raydistill.pipelines.config.sections import EngineConfig, Evaluation, Execution, Questions, Student, Teacher, Train
from raydistill.pipelines.config.shipped import find_configuration
from raydistill.pipelines.config.teachers import OneTeacher, called, check_teachers, inherited
from raydistill.pipelines.recipes.registry import RECIPES, AnyRecipe, default_recipe

MOVED = {"retriever": "recipe.retriever"}
"""Keys of earlier versions, and what they are called now."""


OF_ANY_POOL = {"max_num_seqs", "replicas", "node_labels", "health_timeout_s", "max_error_share"}
"""Settings of an engine that a pool of recorded answers has, too, and a model behind a URL."""
NO_ENGINE = {"recorded": "recorded answers", "openai": "a model behind a URL"}


class Run(Strict):
    """A whole run: questions, teacher, execution, recipe, training, evaluation."""

    run_dir: str = Field("runs/default", description="folder or URI that every node reaches")
    cpus: int | None = Field(None, ge=1, description="logical CPUs of a Ray started here (default: at least 4)")
    questions: Questions | None = Field(None, description="those to learn from; some recipes make their own")
    teacher: Teacher = Field(description="the teacher, or what several have in common")
    teachers: tuple[OneTeacher, ...] = Field((), description="several, each with its part of the questions or samples")
    samples_from: Literal["one", "several"] = Field(
        "one", description="all samples of a question from one of the teachers, or each from one drawn for it"
    )
    student: Student = Field(Student(), description="how the student is hosted and asked")
    execution: Execution = Field(Execution(), description="who runs programs, within which limits")
    recipe: AnyRecipe = Field(
        default_factory=default_recipe, description="what is asked, selected and learned; default: programs"
    )
    train: Train | None = Field(None, description="null makes examples only")
    evaluation: Evaluation | None = Field(None, description="null measures nothing")
    tracking: list[Literal["wandb", "mlflow", "trackio"]] = Field([], description="who is told about the finished run")
    budget: Budget = Field(Budget(), description="what the run may cost at most")

    @field_validator("run_dir")
    @classmethod
    def _at_home(cls, run_dir: str) -> str:
        if not run_dir.strip():
            raise ValueError("expected a folder or a URI")
        return os.path.expanduser(run_dir)

    @model_validator(mode="before")
    @classmethod
    def _moved(cls, settings: Any) -> Any:
        for old, new in MOVED.items():
            if isinstance(settings, dict) and old in settings:
                raise ValueError(f"{old} is called {new} now: write it there")
        return inherited(settings)

    @model_validator(mode="after")
    def _goes_together(self) -> Run:
        recipe = RECIPES[self.recipe.recipe]
        recipe.check(self)
        if self.teachers and not recipe.several_teachers:
            raise ValueError(f"recipe {recipe.name} asks one teacher: expected no section teachers")
        check_teachers(self.teachers)
        for teacher in self.asked:
            if teacher.engine != "vllm":
                _check_unhosted(teacher)
        if self.budget.money and not all(teacher.prices for teacher in self.asked):
            raise ValueError("budget.money needs teacher.prices: {prompt: ..., generated: ...}, per million tokens")
        if self.train and self.train.soft_targets and self.soft_teacher.engine != "vllm":
            told = NO_ENGINE[self.soft_teacher.engine]
            raise ValueError(f"train.soft_targets come of a local teacher, not of {told}: expected engine vllm")
        return self

    @property
    def soft_teacher(self) -> Teacher:
        """Who gives soft targets: the teacher, or the one of several that they name.

        Raises ValueError where there is none of that name.
        """
        name = self.train and self.train.soft_targets and self.train.soft_targets.teacher
        if not self.teachers and name is None:
            return self.teacher
        by_name = {called(teacher): teacher for teacher in self.asked}
        if name not in by_name:
            raise ValueError(
                f"train.soft_targets.teacher is {name}: expected one of several teachers, {', '.join(by_name)}"
            )
        return by_name[name]

    @property
    def asked(self) -> tuple[Teacher, ...]:
        """The teachers: several, or the one."""
        return self.teachers or (self.teacher,)


def _check_unhosted(teacher: Teacher) -> None:
    """Raise ValueError where a teacher that is hosted elsewhere has settings of an engine."""
    hosted = set(Student.model_fields) & set(EngineConfig.model_fields)
    for name in sorted(hosted - OF_ANY_POOL):
        if getattr(teacher, name) != Teacher.model_fields[name].get_default(call_default_factory=True):
            told = f"says nothing of {NO_ENGINE[teacher.engine]}: write student.{name}"
            if isinstance(teacher, OneTeacher):
                raise ValueError(
                    f"teachers: {name} of {called(teacher)} {told}, or {name} with the local teachers alone"
                )
            raise ValueError(f"teacher.{name} {told}")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """Read a run's YAML file, or the shipped one of this name, and apply ``key.path=value`` overrides (YAML values).

    Raises UsageError with one line per problem: missing file, YAML error with its position, unknown key, bad value.
    """
    kind = "configuration file, and none of this name is shipped (raydistill configs lists them)"
    return validated(Run, read_settings(find_configuration(path), overrides, kind=kind), str(path))
