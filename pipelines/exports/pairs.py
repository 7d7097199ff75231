"""Preference pairs: two answers of one model to the same question, of which one was verified and the other failed.

The rules: both answer the same prompt; what they give is not the same solution (`spelled_alike`); the one that failed
did so for reasons of its own, not of a limit of tokens, time or memory, and never without a verdict. A pair a question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.sampling.distinct import spelled_alike
from raydistill.pipelines.sampling.prompter import Format
from raydistill.pipelines.views.run_folder import RunFolder, Sampling, rows_where
from raydistill.pipelines.views.samples import ShownSample, fetch, verdicts

OWN_REASONS = ("wrong_answer", "exception", "bad_type", "no_entry", "no_result", "syntax")
"""Why an answer may have failed to be the worse one of a pair; those most like a right answer first."""
CANDIDATES = 4  # of either side that are looked at, for two that differ
QUESTIONS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Pair:
    """Two solutions of a question, without fences or reasoning."""

    question: Question
    format: Format
    chosen: str
    rejected: str
    reason: str  # why the rejected one failed


@dataclass(slots=True)
class _Sides:
    passed: list[str] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)  # with the place of its reason


def pairs_of(run: RunFolder, sampling: Sampling) -> Iterator[Pair]:
    """At most one pair for each question and prompt, in the order in which prompts were first judged."""
    sides: dict[str, _Sides] = {}
    for sample_id, status, reason in verdicts(sampling):
        told = sides.setdefault(sample_id.rpartition("/")[0], _Sides())
        if status == "passed":
            told.passed = sorted({*told.passed, sample_id})[:CANDIDATES]
        elif status == "failed" and (own := reason.partition(":")[0]) in OWN_REASONS:
            told.failed = sorted({*told.failed, (OWN_REASONS.index(own), sample_id)})[:CANDIDATES]
    both = (told for told in sides.values() if told.passed and told.failed)
    while portion := list(islice(both, QUESTIONS_AT_ONCE)):
        ids = [i for told in portion for i in (*told.passed, *(i for _, i in told.failed))]
        samples = {sample.id: sample for sample in fetch(run, sampling, ids)}
        asked = {sample_id.partition("/")[0] for sample_id in samples}
        questions = {row["question_id"]: row for row in rows_where(sampling.questions, "question_id", asked)}
        for told in portion:
            if pair := _pair(told, samples, questions):
                yield pair


def _pair(told: _Sides, samples: dict[str, ShownSample], questions: dict[str, dict[str, str]]) -> Pair | None:
    for _, failed_id in told.failed:
        for passed_id in told.passed:
            if passed_id not in samples or failed_id not in samples:
                continue
            right, wrong = samples[passed_id], samples[failed_id]
            form: Format = right.format  # type: ignore[assignment]
            row = questions.get(passed_id.partition("/")[0])
            if not row or not right.output or not wrong.output:
                continue
            if spelled_alike(right.output, form) != spelled_alike(wrong.output, form):
                question = Question(row["question_id"], row["text"], row["answer"], row["meta"])
                return Pair(question, form, right.output, wrong.output, wrong.reason)
    return None
