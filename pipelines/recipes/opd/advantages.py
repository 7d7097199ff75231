"""The advantage of each token that a student has sampled, from its teacher's score, its verdict and its fault."""

from __future__ import annotations

import math
from collections.abc import Sequence

from raydistill.pipelines.recipes.opd.config import OPD


def group_rewards(statuses: Sequence[str]) -> list[float]:
    """The verdicts of one question's samples with mean 0 and deviation 1; equal ones give none, unknown ones count not.

    ``group_rewards(["passed", "failed"])`` is ``[1.0, -1.0]``.
    """
    known = [float(status == "passed") for status in statuses if status != "unknown"]
    mean = sum(known) / len(known) if known else 0.0
    deviation = math.sqrt(mean * (1 - mean))
    if not deviation:
        return [0.0] * len(statuses)
    return [0.0 if status == "unknown" else ((status == "passed") - mean) / deviation for status in statuses]


def token_advantages(
    behaviour: Sequence[float], teacher: Sequence[float] | None, config: OPD, *, reward: float, fault: int | None
) -> tuple[float, ...]:
    """Of each token; `reward` is its sample's, `fault` the first token of the line that failed.

    Without `teacher`, or where `config.top_k` makes soft targets of it, the teacher adds nothing.
    """
    compared = teacher if teacher is not None and not config.top_k else behaviour
    return tuple(
        config.distillation * max(-config.most, min(config.most, theirs - own))
        + config.reward * reward
        - (config.error_weight if fault is not None and place >= fault else 0.0)
        for place, (own, theirs) in enumerate(zip(behaviour, compared, strict=True))
    )
