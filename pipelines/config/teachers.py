"""One of several teachers: a model with its part of the questions or samples. What is common is under `teacher`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from raydistill.pipelines.config.sections import Teacher


def _texts(values: Any) -> Any:
    """One value or several, as texts."""
    return tuple(map(str, values if isinstance(values, list | tuple) else (values,)))


class OneTeacher(Teacher):
    """A teacher with a name, its weight among those that take a question, and which questions it takes."""

    name: str = Field("", description="in reports and files; default: its model")
    weight: float = Field(1.0, gt=0, description="of the questions, or samples, that it takes")
    only: dict[str, Annotated[tuple[str, ...], BeforeValidator(_texts)]] = Field(
        default_factory=dict, description="takes only questions with one of these values in each of these columns"
    )


def called(teacher: Teacher) -> str:
    """A teacher's name, or its model."""
    return getattr(teacher, "name", "") or teacher.model


OF_ALL = ("n", "rounds", "contexts_per_round", "question_tokens")
"""What is asked of all teachers together."""


def inherited(settings: Any) -> Any:
    """A run's settings with what `teacher` says in each of `teachers` that does not say otherwise.

    Without a model of its own, `teacher` is the first of them.
    """
    listed = settings.get("teachers") if isinstance(settings, dict) else None
    if not isinstance(listed, list | tuple) or not all(isinstance(one, dict) for one in listed) or not listed:
        return settings
    common = settings.get("teacher") or {}
    teachers = [common | one for one in listed]
    own = {"name", "weight", "only"}
    first = common if "model" in common else {key: value for key, value in teachers[0].items() if key not in own}
    return settings | {"teachers": teachers, "teacher": first}


def check_teachers(teachers: tuple[OneTeacher, ...]) -> None:
    """Raise ValueError where the names are not told apart, or what is asked of all together differs."""
    names = [called(teacher) for teacher in teachers]
    if double := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"teachers: {double[0]} is there twice; expected a name for each")
    for setting in OF_ALL:
        if len({getattr(teacher, setting) for teacher in teachers}) > 1:
            raise ValueError(f"teachers: {setting} is of all of them together; expected teacher.{setting} alone")
