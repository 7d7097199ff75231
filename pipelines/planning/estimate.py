"""What a pass will ask and cost, from its prompts and from what is stored of it.

A question whose samples are all stored is measured: what it has cost stands for those that are not. Of n measured ones
the mean is uncertain by Student's t times its standard error.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from raydistill.actors.engine.remote.estimates import CHARACTERS_PER_TOKEN, prompt_characters
from raydistill.actors.engine.rendering import prompt_ids
from raydistill.actors.segments import read_segments
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.planning.walk import Pass
from raydistill.pipelines.sampling.prompter import Prompt

PROMPTS_COUNTED = 500  # of a pass with more questions these stand for all
T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12)


@dataclass(frozen=True, slots=True)
class Range:
    """A number with its 95 % interval; all alike where it is known."""

    expected: float
    low: float
    high: float

    @classmethod
    def known(cls, value: float) -> Range:
        return cls(value, value, value)

    def __add__(self, other: Range) -> Range:
        """Of two numbers that may be wrong in the same direction."""
        return Range(self.expected + other.expected, self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Range:
        return Range(self.expected * factor, self.low * factor, self.high * factor)

    def to_json(self) -> list[float]:
        return [round(value, 6) for value in (self.expected, self.low, self.high)]


def mean(values: Sequence[float]) -> Range:
    """Their mean, with its interval; of one value nothing is known but that it is positive."""
    count, middle = len(values), sum(values) / len(values)
    if count == 1:
        return Range(middle, 0.0, 2 * middle)
    error = math.sqrt(sum((value - middle) ** 2 for value in values) / (count - 1) / count)
    away = (T_95[count - 2] if count - 2 < len(T_95) else 1.96) * error
    return Range(middle, max(0.0, middle - away), middle + away)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a pass is expected to ask for and to cost beyond what is stored."""

    rows: int
    measured: int  # questions whose samples are all stored
    wanted: int  # samples, of the first round
    stored: int  # of these
    requests: float  # prompts to send
    samples: Range
    prompt_tokens: float
    generated: Range | None  # None: nothing was measured
    most_generated: float  # if every sample went to its limit
    counted_by: str  # tokenizer, measured rows, or characters


@dataclass(slots=True)
class Stored:
    """What is stored of a question: its samples, with the tokens of each, and those of its prompts."""

    generated: dict[str, int] = field(default_factory=dict)  # by sample id
    prompts: dict[str, int] = field(default_factory=dict)  # by context; of a model behind a URL by sample id

    @property
    def cost(self) -> tuple[float, float, float]:
        """Samples, generated tokens, prompt tokens."""
        return float(len(self.generated)), float(sum(self.generated.values())), float(sum(self.prompts.values()))


def estimate(one: Pass, tokenizer: Any = None, scale: float = 1.0) -> Estimate:
    """Of `scale` times as many questions as the pass has, where it shows a part of them."""
    plan, stored = one.job.plan, _stored(one)
    wanted = missing = 0
    unsent: list[tuple[Question, Prompt]] = []
    firsts, measured = list[int](), list[tuple[float, float, float]]()  # samples of the first round; cost of all rounds
    for question in one.questions:
        found, asked = stored.get(question.id, Stored()), plan.wanted(question)
        lacks = {p.context: sum(f"{question.id}/{p.context}/{i}" not in found.generated for i in of) for p, of in asked}
        first = sum(len(of) for _, of in asked)
        wanted, missing = wanted + first, missing + sum(lacks.values())
        unsent += [(question, prompt) for prompt, _ in asked if lacks[prompt.context]]
        if found.generated and not any(lacks.values()):
            firsts.append(first)
            measured.append(found.cost)
    samples = Range(missing, missing, missing * one.job.rounds)
    generated: Range | None = None
    prompts = Range.known(_prompt_tokens(unsent, one, tokenizer))
    if measured or not missing:
        left = missing / (sum(firsts) / len(firsts)) if missing else 0.0  # questions' worth of samples
        columns = list(zip(*(measured or [(0.0, 0.0, 0.0)] * 2), strict=True))
        samples, generated = (mean(column).times(left) for column in columns[:2])
        prompts = mean(columns[2]).times(left) if tokenizer is None else prompts
    return Estimate(
        rows=round(len(one.questions) * scale),
        measured=len(measured),
        wanted=round(wanted * scale),
        stored=wanted - missing,
        requests=len(unsent) * scale,
        samples=samples.times(scale),
        prompt_tokens=prompts.times(scale).expected,
        generated=generated and generated.times(scale),
        most_generated=plan.sampling.max_tokens * missing * one.job.rounds * scale,
        counted_by="tokenizer" if tokenizer is not None else "measured rows" if measured else "characters",
    )


def _stored(one: Pass) -> dict[str, Stored]:
    """What is stored of a pass, by question."""
    found, divided = defaultdict[str, Stored](Stored), one.model.engine == "openai"
    columns = ["question_id", "sample_id", "context", "prompt_tokens", "completion_tokens"]
    for table in read_segments(one.job.completions, columns):
        for row in table.to_pylist():
            of = found[row["question_id"]]
            of.generated[row["sample_id"]] = row["completion_tokens"]
            of.prompts[row["sample_id" if divided else "context"]] = row["prompt_tokens"]
    return found


def _prompt_tokens(unsent: Sequence[tuple[Question, Prompt]], one: Pass, tokenizer: Any) -> float:
    """Tokens of all prompts to send: counted, or without a tokenizer by their characters."""
    some = drawn(unsent, PROMPTS_COUNTED, key=lambda item: (item[0].id, item[1].context))
    requests = [one.job.plan.request(question, prompt, (0,)) for question, prompt in some]
    if tokenizer is not None:
        counts = [float(len(prompt_ids(tokenizer, request))) for request in requests]
    else:
        counts = [prompt_characters(request) / CHARACTERS_PER_TOKEN for request in requests]
    return sum(counts) / len(counts) * len(unsent) if counts else 0.0


def drawn(items: Sequence[Any], count: int, key: Any) -> list[Any]:
    """So many of them, the same ones each time, whatever their order."""
    return sorted(items, key=lambda item: content_hash("drawn", key(item)))[:count] if count < len(items) else [*items]
