"""The stepwise tasks by name. A new one is a module with a class and its line here."""

from __future__ import annotations

from actors.errors import UsageError
from pipelines.stepwise.arithmetic import MultistepArithmetic
from pipelines.stepwise.base import StepwiseTask
from pipelines.stepwise.dates import DateUnderstanding
from pipelines.stepwise.deduction import LogicalDeduction
from pipelines.stepwise.sorting import WordSorting

TASKS: dict[str, StepwiseTask] = {
    task.name: task for task in (MultistepArithmetic(), WordSorting(), DateUnderstanding(), LogicalDeduction())
}


def stepwise_task(name: str) -> StepwiseTask:
    """The task of this name. Raises UsageError."""
    if name not in TASKS:
        raise UsageError(f"no stepwise task {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name]
