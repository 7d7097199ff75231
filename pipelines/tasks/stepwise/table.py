"""The stepwise tasks by name. A new one is a module with a class and its line here."""

from __future__ import annotations

from raydistill.actors.errors import UsageError
from raydistill.pipelines.tasks.stepwise.arithmetic import MultistepArithmetic
from raydistill.pipelines.tasks.stepwise.base import StepwiseTask
from raydistill.pipelines.tasks.stepwise.dates import DateUnderstanding
from raydistill.pipelines.tasks.stepwise.deduction import LogicalDeduction
from raydistill.pipelines.tasks.stepwise.sorting import WordSorting

TASKS: dict[str, StepwiseTask] = {
    task.name: task for task in (MultistepArithmetic(), WordSorting(), DateUnderstanding(), LogicalDeduction())
}


def stepwise_task(name: str) -> StepwiseTask:
    """The task of this name. Raises UsageError."""
    if name not in TASKS:
        raise UsageError(f"no stepwise task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]
