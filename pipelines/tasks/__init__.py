"""Tasks: where questions come from and how an answer to one is judged.

    Questions (configuration) --load_questions--> LoadedQuestions(task, questions, duplicates)
    task.grade(program's value or text, question) --> Grade(status, reason, parsed)

A family is one file with a `load`; adding one takes that file and its line in FAMILIES.
"""

from __future__ import annotations

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.tasks.base import Grade, LoadedQuestions, Task
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

__all__ = ["Grade", "LoadedQuestions", "Task", "load_questions"]

FAMILIES = {
    "bbh": bbh.load,
    "commonsenseqa": commonsenseqa.load,
    "extractive_qa": extractive_qa.load,
    "gsm8k": gsm8k.load,
    "nli": nli.load,
    "svamp": svamp.load,
    "table": table.load,
}


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
