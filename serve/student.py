"""What is served: the student of a run or any student folder, with the recipe that says how to ask it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import local_path
from raydistill.pipelines.config.sections import LIMITS, Execution, Questions
from raydistill.pipelines.config.sections import Student as Hosting
from raydistill.pipelines.config.students import adapter_base, student_folder
from raydistill.pipelines.recipes.registry import default_recipe
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.named import check_model
from raydistill.pipelines.tasks import ReadableTask, task_for
from raydistill.pipelines.tasks.base import AnswerTask

EXPECTED = "expected a run directory (with student/ in it) or a student directory (a model, or a PEFT adapter)"


class Adapter(NamedTuple):
    """A LoRA adapter, by the name under which engines know it."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Student:
    """A model to serve; ``Student("student", "/runs/demo/student", "/runs/demo/student")``."""

    name: str  # what clients call it
    model: str  # directory or hub id of the weights
    tokenizer: str  # the same, of the tokenizer and its chat template
    revision: str | None = None
    adapter: str | None = None  # directory of a PEFT adapter
    adapter_rank: int = 0
    recipe: Any = field(default_factory=default_recipe)  # the recipe's configuration
    task: ReadableTask = AnswerTask("", "text")  # by whose rule answers are read and counted
    execution: Execution = Execution()  # the limits of its programs
    hosting: Hosting = Hosting()  # what its run says of its engines
    max_tokens: int = 512  # of an answer, where a request says nothing else
    engine: str = ""  # the one that answers for it, by the name of the first student that it was started with
    known_as: str = ""  # to its engine, if not by its name: an adapter that came later

    @property
    def folder(self) -> str:
        return self.adapter or self.model

    @property
    def asked_as(self) -> str:
        return self.known_as or self.name

    @property
    def later(self) -> tuple[Adapter, ...]:
        """The adapter, where its engine was started without it."""
        return (Adapter(self.known_as, self.adapter),) if self.known_as and self.adapter else ()

    @property
    def limits(self) -> tuple[Any, ...]:
        """Of its programs: students of the same limits share executors."""
        return tuple(getattr(self.execution, name) for name in LIMITS)


def find_student(path: str) -> Student:
    """The student in a run directory, or in its own. Raises UsageError if `path` is neither."""
    given = Path(path).expanduser().resolve()
    if not given.is_dir():
        raise UsageError(f"{path}: no such directory; {EXPECTED}")
    folder = student_folder(given)
    asked = _asked_how(folder / "raydistill.json")
    name = folder.name.replace(":", "-")  # Ray Serve LLM takes a colon for the name of an adapter
    if base := adapter_base(folder):
        check_model(base["model"], f"{folder}/adapter_config.json: base_model_name_or_path", tokenizer=False)
        model = local_path(base["model"])
        tokenizer = str(folder) if (folder / "tokenizer_config.json").is_file() else model
        return Student(name, model, tokenizer, base["revision"], str(folder), base["max_lora_rank"], **asked)
    if (folder / "config.json").is_file():
        return Student(name, str(folder), str(folder), **asked)
    raise UsageError(f"{path}: neither config.json nor adapter_config.json in {folder}; {EXPECTED}")


def _asked_how(path: Path) -> dict[str, Any]:
    """Recipe, task and limits from a student's raydistill.json; {} where there is none.

    One published before the grader was noted there is judged by what its configuration says.
    """
    if not path.is_file():
        return {}
    noted = _read(path)
    try:
        recipe = TypeAdapter(Run.model_fields["recipe"].rebuild_annotation()).validate_python(noted["recipe"])
        questions = Questions.model_validate(noted["questions"])
        execution = Execution.model_validate(noted.get("execution", {}))
        hosting = Hosting.model_validate(noted.get("student", {}))
        judge = noted.get("judge", {"task": questions.task, "grader": questions.grader})
        task = task_for(judge["task"], judge["grader"])
    except (KeyError, ValidationError) as error:
        raise UsageError(f"{path}: not the recipe and questions of a run: {error}") from None
    return {"recipe": recipe, "task": task, "execution": execution, "hosting": hosting} | {
        name: int(noted[name]) for name in ("max_tokens",) if name in noted
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: not valid JSON: {error}") from None
