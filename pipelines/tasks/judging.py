"""One judge and one vote: what is read in an answer, what is right, and which of several answers is taken.

    program's value or text --Task.read--> answer in one spelling --elect--> the first of the most frequent
                            '-Task.grade-> Grade                             (evaluation and service alike)

Reading knows nothing of the right answer, so a served student's samples are counted as those of an evaluation are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from raydistill.pipelines.tasks.answers import Returned
from raydistill.pipelines.tasks.base import Task

# Raised with every change that may change a verdict or a reading (tests/pipelines/tasks/test_judge_version.py watches).
# The rule of a family has a version of its own, beside it.
JUDGE_VERSION = "2"


def elect(values: Sequence[str | None]) -> int | None:
    """The place of the first sample with the most frequent value; None where no sample has one.

    Of values that are equally frequent the one that came first wins. Samples without a value, None or "", don't vote.
    """
    votes = Counter(value for value in values if value)
    if not votes:
        return None
    return values.index(max(votes, key=votes.__getitem__))  # a Counter keeps the order in which values came


def returned(value: Any) -> Any:
    """A program's value as a judge takes it: a string is the answer itself, and no text that states one."""
    return Returned(value) if isinstance(value, str) else value


def judge_version(task: Task) -> str:
    """What verdicts of `task` depend on beside its name and grader, for cache keys: ``1``, or ``1, bbh 1``."""
    own = getattr(task, "version", "")
    return f"{JUDGE_VERSION}, {task.grader} {own}" if own else JUDGE_VERSION
