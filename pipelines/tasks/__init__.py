"""Tasks: where questions come from and how an answer to one is judged.

    Questions (configuration) --load_questions--> LoadedQuestions(task, questions, duplicates)
    task.grade(program's value or text, question) --> Grade(status, reason, parsed)
    name and grader --task_for--> the same task without questions, which reads answers (`pipelines.tasks.judging`)

A family is one file with a `load`; adding one takes that file and its line in FAMILIES.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.tasks.answers import KINDS
from raydistill.pipelines.tasks.base import AnswerTask, Grade, LoadedQuestions, ReadableTask, Task
from raydistill.pipelines.tasks.families import (
    bbh,
    commonsenseqa,
    extractive_qa,
    gsm8k,
    nli,
    reasoning_gym,
    stepwise,
    svamp,
    table,
)

__all__ = ["Grade", "LoadedQuestions", "ReadableTask", "Task", "is_generated", "load_questions", "task_for"]

FAMILIES = {
    "bbh": bbh.load,
    "commonsenseqa": commonsenseqa.load,
    "extractive_qa": extractive_qa.load,
    "gsm8k": gsm8k.load,
    "nli": nli.load,
    "svamp": svamp.load,
    "table": table.load,
}

RULES: dict[str, Callable[[str], ReadableTask]] = {
    "bbh": bbh.BigBenchTask,
    "nli": nli.InferenceTask,
    "reasoning_gym": partial(reasoning_gym.ScoredTask, dataset=None),
    "squad": extractive_qa.ExtractiveTask,
    "stepwise": stepwise.without_questions,
}
"""Tasks with a rule of their own, by the name of their grader."""

GRADERS = {
    "bbh": "bbh",
    "commonsenseqa": "choice",
    "extractive_qa": "squad",
    "gsm8k": "numeric",
    "nli": "nli",
    "svamp": "numeric",
}
"""What `grader: auto` means where the task's name tells."""


def load_questions(config: Questions) -> LoadedQuestions:
    """The questions that `config` names, each id once, with the task that grades them.

    Raises UsageError for an unknown task, and for input that is missing, malformed or has no answers.
    """
    if config.task.startswith(reasoning_gym.PREFIX):
        return reasoning_gym.load(config)
    if config.task.startswith(stepwise.PREFIX):
        return stepwise.load(config)
    if config.task not in FAMILIES:
        raise UsageError(
            f"questions.task: unknown task {config.task!r}; expected {', '.join(FAMILIES)}, "
            f"{stepwise.PREFIX}<name> such as {stepwise.PREFIX}word_sorting, "
            f"or {reasoning_gym.PREFIX}<name> such as {reasoning_gym.PREFIX}gsm_symbolic"
        )
    return FAMILIES[config.task](config)


def is_generated(name: str) -> bool:
    """Whether the questions of a task are made of templates, which share most of their words."""
    return name.startswith((reasoning_gym.PREFIX, stepwise.PREFIX))


def task_for(name: str, grader: str = "auto") -> ReadableTask:
    """The task of this name and grader, as `load_questions` gives it, without questions: it reads their answers.

    `grader` is a loaded task's, which ``auto`` has been resolved in; where it has not, the name tells, or it is text.
    Raises UsageError for an unknown grader or task.
    """
    grader = _resolved(name) if grader == "auto" else grader
    for kind in KINDS:
        if grader == kind:
            return AnswerTask(name, kind)
    if grader not in RULES:
        raise UsageError(f"task {name}: unknown grader {grader!r}; expected one of {', '.join([*KINDS, *RULES])}")
    return RULES[grader](name)


def _resolved(name: str) -> str:
    """The grader of a task as its name tells it; text where only the questions would tell."""
    if name.startswith(stepwise.PREFIX):
        return "stepwise"
    grader = reasoning_gym.grader_of(name) if name.startswith(reasoning_gym.PREFIX) else GRADERS.get(name, "auto")
    return "text" if grader == "auto" else grader
