"""The models of a run: their engine settings, wherever their weights lie, and the student's folder for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import copy_folder, is_uri, remove, write_json
from raydistill.pipelines.config.sections import (
    LIMITS,
    TEACHERS_OWN,
    EngineConfig,
    Questions,
    SamplingConfig,
    Student,
    Teacher,
)
from raydistill.pipelines.config.teachers import called
from raydistill.pipelines.tasks import Task

if TYPE_CHECKING:
    from raydistill.pipelines.run_config import Run


def teacher_model(teacher: Teacher) -> EngineConfig:
    """A teacher's engine settings without how it is sampled."""
    return EngineConfig(**teacher.model_dump(include=set(EngineConfig.model_fields)))


def base_model(config: Run) -> EngineConfig:
    """The student's engine settings with its base; with LoRA such that its engine takes adapters as well."""
    train = config.train
    if train is None:
        raise UsageError("evaluation.models: base and student need a train section")
    hosted = student_hosting(config) | {"model": train.student, "revision": train.revision}
    if train.lora and config.student.max_lora_rank is None:
        hosted["max_lora_rank"] = train.lora.rank
    return EngineConfig(**hosted)


def student_hosting(config: Run) -> dict[str, Any]:
    """How the student is hosted, by fields of EngineConfig: as `student` says, else as a local teacher is."""
    names = set(Student.model_fields) & set(EngineConfig.model_fields)
    local = config.teacher.engine == "vllm" and not config.teachers
    taken = config.teacher.model_dump(include=names - TEACHERS_OWN) if local else {}
    return taken | config.student.model_dump(include=names, exclude_none=True)


def evaluated_with(config: Run) -> dict[str, Any]:
    """What of the student's hosting decides about its answers; where it is served is another matter."""
    hosted = student_hosting(config)
    return {name: hosted[name] for name in ("dtype", "max_model_len") if hosted.get(name) is not None}


def student_tokens(config: Run) -> int:
    """Tokens that the student may write where it writes to learn from."""
    return (
        config.student.max_tokens
        or (config.teacher if config.teacher.engine == "vllm" and not config.teachers else SamplingConfig()).max_tokens
    )


def trained_model(config: Run, folder: str) -> EngineConfig:
    """The base with what training has left in `folder`: its weights, or an adapter."""
    base = base_model(config)
    if config.train and config.train.lora:
        return base.model_copy(update={"adapter": folder})
    return base.model_copy(update={"model": folder, "revision": None})


def named_models(config: Run, name: str, root: str) -> dict[str, EngineConfig]:
    """The teacher (or several), the base or the student of the run in `root`, by their names in reports.

    Raises UsageError where there is no such model.
    """
    if name == "teacher":
        named = {f"teacher {called(teacher)}": teacher_model(teacher) for teacher in config.teachers}
        return named or {name: teacher_model(config.teacher)}
    if name == "base":
        return {name: base_model(config)}
    folder = f"{root}/student"
    if not is_uri(folder) and not Path(folder).is_dir():
        raise UsageError(f"no student in {root} yet: run `raydistill train` or `raydistill run` first")
    return {name: trained_model(config, folder)}


def publish_student(config: Run, questions: Questions, task: Task, trained: str, root: str) -> None:
    """Copy the student from the folder `trained` to `root`/student, with what serving it needs in raydistill.json.

    `task` is that of the loaded questions, whose grader is resolved: a service reads and counts answers by it.
    """
    student = f"{root}/student"
    remove(student)
    copy_folder(trained, student)
    serving = {
        "recipe": config.recipe.model_dump(),
        "questions": questions.model_dump(),
        "execution": config.execution.model_dump(include=set(LIMITS)),
        "student": evaluated_with(config) | config.student.model_dump(exclude_none=True),
        "max_tokens": config.evaluation.max_tokens if config.evaluation else student_tokens(config),
        "judge": {"task": task.name, "grader": task.grader},
    }
    write_json(f"{student}/raydistill.json", serving)
