"""Evaluation: what a model scores on held-out questions, through the same engines and executors as synthesis.

Reported with the temperature, the number of samples and the grader that they were measured with:
pass@1 greedy; and of n samples pass@1 averaged over samples, majority@n, pass@n. `unknown` samples (sandbox or engine
trouble) are left out of every mean and counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from raydistill.pipelines.tasks.judging import elect


@dataclass(frozen=True, slots=True)
class Score:
    """A model's score. `accuracy` is greedy pass@1; the sampled measures are None when n is 1. Fractions of 1."""

    accuracy: float
    stderr: float  # of `accuracy` over questions: sqrt(p (1 - p) / n)
    n: int  # questions that were scored
    unknown: int  # samples that were not
    samples: int = 1
    temperature: float = 0.0
    grader: str = ""
    average: float | None = None  # pass@1, mean over samples, then over questions
    majority: float | None = None
    pass_at_n: float | None = None
    executable: float | None = None  # greedy samples that gave an answer, right or wrong
    completion_tokens: int = 0  # of the greedy answers, repairs not included; of a beam search all hypotheses together
    wall_s: float = 0.0  # of generation and verification, without the start of engines
    before_repairs: dict[str, float] | None = None  # accuracy and executable rate without self-refinement
    updates: dict[str, Any] | None = None  # what a student's own updates of its answers did

    def to_json(self) -> dict[str, object]:
        return asdict(self)


Outcomes = Iterable[tuple[Sequence[str], Sequence[str]]]  # per question: statuses and values of its samples


def score(greedy: Outcomes, sampled: Outcomes = (), *, samples: int, temperature: float, grader: str) -> Score:
    """Summarise greedy outcomes and (if samples > 1) sampled ones.

    Of several greedy answers, one for each way in which a question is asked, the elected one counts.
    """
    greedy, sampled = list(greedy), list(sampled)
    firsts = [_known(*outcome) for outcome in greedy]
    answered = [question[elect([value for _, value in question]) or 0] for question in firsts if question]
    accuracy = _mean([passed for passed, _ in answered])
    unknown = sum(status == "unknown" for statuses, _ in [*greedy, *sampled] for status in statuses)
    base = Score(
        accuracy=accuracy,
        stderr=math.sqrt(accuracy * (1 - accuracy) / len(answered)) if answered else 0.0,
        n=len(answered),
        unknown=unknown,
        samples=samples,
        temperature=temperature,
        grader=grader,
        executable=_mean([bool(value) for _, value in answered]),
    )
    known = [_known(*outcome) for outcome in sampled]
    known = [question for question in known if question]
    if not known:
        return base
    return Score(
        **asdict(base)
        | {
            "average": _mean([_mean([passed for passed, _ in question]) for question in known]),
            "majority": _mean([_majority(question) for question in known]),
            "pass_at_n": _mean([any(passed for passed, _ in question) for question in known]),
        }
    )


def _known(statuses: Sequence[str], values: Sequence[str]) -> list[tuple[bool, str]]:
    pairs = zip(statuses, values, strict=True)
    return [(status == "passed", value) for status, value in pairs if status != "unknown"]


def _majority(question: Sequence[tuple[bool, str]]) -> bool:
    """Whether the value that the samples elect is right; where none has a value nothing is."""
    place = elect([value for _, value in question])
    return place is not None and question[place][0]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
