"""Several teachers: each samples and judges its share as a teacher alone does; examples are selected of all together.

    questions --share--> a job of each teacher, one after the other: its own completions/ and verdicts/
              --join---> the samples of a question, whoever gave them --Select--> examples

A teacher's folders are those of a run with that teacher alone, so what it has answered in one is there in the other.
Local engines take turns: two that do not fit beside each other need not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from raydistill.pipelines.config.teachers import OneTeacher, called
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.sampling.job import QUESTIONS_PER_FLOW, SamplingJob, SamplingStats
from raydistill.pipelines.sampling.plan import SamplingPlan
from raydistill.pipelines.sampling.samples import stored_rows
from raydistill.pipelines.sampling.segment_index import SegmentIndex
from raydistill.pipelines.sampling.stages import Budget, Select
from raydistill.pipelines.sampling.teachers.shares import Candidate, Share

if TYPE_CHECKING:
    from raydistill.pipelines.sampling.sampler import Sampler

COUNTED = ("prompt_tokens", "completion_tokens")
UNKNOWN = {"status": "unknown", "output": "", "value": "", "grade": ""}


@dataclass(frozen=True, slots=True)
class Asked:
    """A teacher and the job of its share."""

    teacher: OneTeacher
    job: SamplingJob


def shared(
    teachers: Sequence[OneTeacher],
    samples_from: Literal["one", "several"],
    jobs: Sequence[SamplingJob],
    questions: Sequence[Question],
) -> list[SamplingJob]:
    """The job of each teacher with its share of the samples. Raises UsageError where none takes a question."""
    candidates = tuple(Candidate(called(one), one.weight, tuple(one.only.items())) for one in teachers)
    shares = [Share(candidate.name, candidates, samples_from) for candidate in candidates]
    shares[0].check(questions)
    return [replace(job, plan=replace(job.plan, share=share)) for job, share in zip(jobs, shares, strict=True)]


def run_several(
    sampler: Sampler, title: str, asked: Sequence[Asked], questions: Sequence[Question], examples: str
) -> tuple[SamplingStats, dict[str, Counter[str]]]:
    """Ask the teachers until the selector has enough, or rounds end; the statistics of all, and of each by name."""
    total, counts = SamplingStats(), {called(one.teacher): Counter[str]() for one in asked}
    remaining, rounds = questions, asked[0].job.rounds
    while remaining:
        total.rounds += 1
        plans = [replace(one.job.plan, rounds=total.rounds) for one in asked]
        errors, caps = dict[str, str](), dict[str, str]()
        for one, plan in zip(asked, plans, strict=True):
            mine = QuestionTable(question for question in remaining if plan.sample_ids(question))
            if not mine:
                continue
            # without a selector a job ends when all its samples are there
            job = replace(one.job, plan=plan, selector=None, rounds=total.rounds, begun=total.rounds - 1)
            found = sampler.run(f"{title} ({called(one.teacher)})", job, mine, one.teacher)
            errors[called(one.teacher)], caps[called(one.teacher)] = found.error, found.cap
            total.generated += found.generated
            total.verified += found.verified
            total.wall_s += found.wall_s
        budget = Budget(total.rounds == rounds, asked[0].job.question_tokens)
        unfinished = set[str]()
        select = Select(asked[0].job.selector, examples, budget)
        for row in _joined(asked, plans, remaining, errors, caps):
            outcome = select.outcome(row)
            total.add(outcome, keep=False)
            if not outcome["finished"]:
                unfinished.add(outcome["question_id"])
                continue
            for completion, verdict in zip(row["completions"], row["verdicts"], strict=True):
                kept = completion["sample_id"] in outcome["kept"]
                told = {"samples": 1, verdict["status"]: 1, "examples": int(kept)}
                counts[completion["teacher"]].update(told | {name: completion[name] for name in COUNTED})
        select.flush()
        remaining = QuestionTable(question for question in remaining if question.id in unfinished) if unfinished else ()
    return total, counts


def _joined(
    asked: Sequence[Asked],
    plans: Sequence[SamplingPlan],
    questions: Sequence[Question],
    errors: dict[str, str],
    caps: dict[str, str],
) -> Iterator[dict[str, Any]]:
    """Each question with its samples of all teachers, in the order of a teacher alone; without those not asked for."""
    indices = [(SegmentIndex(one.job.completions), SegmentIndex(one.job.verdicts)) for one in asked]
    for start in range(0, len(questions), QUESTIONS_PER_FLOW):
        portion = questions[start : start + QUESTIONS_PER_FLOW]
        stored = [tuple(stored_rows(index, portion) for index in pair) for pair in indices]
        for question in portion:
            samples, unasked, cap = dict[str, tuple[dict[str, Any], dict[str, Any]]](), 0, ""
            for one, plan, (completions, verdicts) in zip(asked, plans, stored, strict=True):
                name = called(one.teacher)
                for sample in plan.sample_ids(question):
                    made = completions.get(sample)
                    if made is None and caps.get(name):
                        unasked, cap = unasked + 1, caps[name]
                        continue
                    why = {"reason": "no_verdict", "message": ""} if made else _no_engine(errors.get(name))
                    verdict = (made and verdicts.get(sample)) or UNKNOWN | why
                    samples[sample] = (made or _failed(sample)) | {"teacher": name}, verdict
            order = [samples[i] for i in replace(plans[0], share=None).sample_ids(question) if i in samples or not cap]
            row: dict[str, Any] = {"question_id": question.id, "text": question.text, "answer": question.answer}
            row |= {"completions": [made for made, _ in order], "verdicts": [judged for _, judged in order]}
            yield row | {"meta": question.notes, "generated": 0, "verified": 0, "unasked": unasked, "cap": cap}


def _no_engine(error: str | None) -> dict[str, str]:
    return {"reason": "engine_error", "message": error or "no completion came"}


def _failed(sample: str) -> dict[str, Any]:
    """Stands for a completion that did not come."""
    question, _, rest = sample.partition("/")
    context, _, index = rest.rpartition("/")
    row = {"sample_id": sample, "question_id": question, "context": context, "index": int(index)}
    empty = {"text": "", "finish_reason": "error", "seed": 0, "format": "text"}
    return row | empty | dict.fromkeys(COUNTED, 0)
