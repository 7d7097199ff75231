"""A sampling job: ask a model about many questions, verify, select; streaming, resumable, every id accounted for.

    questions --Generate--> completions --Verify--> verdicts --Select--> examples, outcomes     (`stages.py`)
        ^---------- those that need another round, and have budget left -----------'

A job has one round or several. Each round streams the questions that are not finished through the three stages,
`QUESTIONS_PER_FLOW` at a time, with the samples of earlier rounds read from where they are stored; engines and
executors stay up in between.

Jobs are used for the teacher's synthesis and for every evaluation alike. What it stores is keyed by what it depends
on: completions by model, prompts and sampling; verdicts by those and by reader, judge and sandbox; examples by those,
the selector and the questions. So more samples per question, other limits or another selection reuse what is there.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from raydistill.actors.errors import EngineError, RaydistillError
from raydistill.actors.pool import PoolClient
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.sampling.plan import Completer, SamplingPlan
from raydistill.pipelines.sampling.prompter import Selector
from raydistill.pipelines.sampling.segment_index import SegmentIndex, StoredSamples
from raydistill.pipelines.sampling.stages import Budget, Generate, Select, Verify
from raydistill.pipelines.tasks.base import Task

QUESTIONS_PER_BLOCK = 16  # at least; the next stage gets them when all are done
ENGINES_PER_GENERATE, EXECUTORS_PER_VERIFY = 16, 8  # that keep one actor of the stage busy (docs/scale.md)
QUESTIONS_PER_FLOW = 20_000  # the driver holds no more of them as rows

Outcomes = dict[str, tuple[list[str], list[str]]]  # by question id: statuses and values of its samples


@dataclass(frozen=True, slots=True)
class SamplingJob:
    """What to do with some questions, and where the results are kept.

    `selector` makes examples, which go to the folder `examples`; without it questions get all rounds that there are.
    """

    plan: SamplingPlan
    task: Task
    completions: str
    verdicts: str
    selector: Selector | None = None
    examples: str | None = None
    samples_in_flight: int = 128
    engines: tuple[int, int] = (1, 1)  # least and most members of the pool, which Generate's actors follow
    executors: tuple[int, int] = (1, 1)  # likewise, and Verify's
    rounds: int = 1  # at most
    begun: int = 0  # rounds that all questions have had before
    question_tokens: int | None = None  # a question that has cost these gets no further round
    together: int = 1  # questions of one call to an engine

    @property
    def key(self) -> str:
        """What depends on the job's samples is keyed by this; its folders hold those of other jobs, too."""
        plan = self.plan
        drawn = plan.n, plan.prompts_per_round, self.rounds, self.question_tokens
        share = [] if plan.share is None else [asdict(plan.share)]
        capped = [plan.most] if plan.most else []
        return content_hash(self.verdicts.rpartition("/")[2], plan.prompter.contexts, drawn, *share, *capped)


@dataclass(slots=True)
class SamplingStats:
    """The statistics of a job. `outcomes` holds (statuses, values) by question id when asked for.

    Work (`generated`, `verified`) is counted when it is done, everything else when a question is finished.
    """

    rounds: int = 0
    finished_in_round: Counter[int] = field(default_factory=Counter)  # questions by the rounds that they took
    questions: int = 0
    samples: int = 0
    generated: int = 0  # samples generated now; the others were stored by an earlier run
    verified: int = 0
    unasked: int = 0  # samples that the budget has left out
    prompt_tokens: int = 0
    completion_tokens: int = 0
    examples: int = 0
    contexts: Counter[str] = field(default_factory=Counter)  # samples
    passed_by_context: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    grade: str = ""
    error: str = ""  # why the first request failed that did
    cap: str = ""  # of the budget, if samples are unasked
    wall_s: float = 0.0  # without the start of engines
    outcomes: Outcomes = field(default_factory=dict)

    def add(self, outcome: dict[str, Any], keep: bool) -> None:
        self.generated += outcome["generated"]
        self.verified += outcome["verified"]
        self.unasked += outcome["unasked"]
        self.cap = self.cap or outcome["cap"]
        if not outcome["finished"]:
            return
        self.finished_in_round[self.rounds] += 1
        self.questions += 1
        self.samples += len(outcome["statuses"])
        self.prompt_tokens += outcome["prompt_tokens"]
        self.completion_tokens += outcome["completion_tokens"]
        self.examples += len(outcome["kept"])
        judged = list(zip(outcome["contexts"], outcome["statuses"], strict=True))
        self.contexts.update(context for context, _ in judged)
        self.passed_by_context.update(context for context, status in judged if status == "passed")
        self.statuses.update(outcome["statuses"])
        self.reasons.update(outcome["reasons"])
        self.dropped.update(outcome["dropped"])
        self.grade = self.grade or outcome["grade"]
        self.error = self.error or outcome["error"]
        if keep:
            unasked = outcome["unasked"]
            told = [*outcome["statuses"], *["unknown"] * unasked], [*outcome["values"], *[""] * unasked]
            self.outcomes[outcome["question_id"]] = told

    @property
    def unknown(self) -> int:
        """Samples without a verdict, those among them that were never asked for."""
        return self.statuses["unknown"] + self.unasked

    def to_json(self) -> dict[str, Any]:
        """Everything but outcomes, error and cap."""
        left_out = ("outcomes", "error", "cap")
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in left_out}


def check_errors(title: str, result: SamplingStats, most: float) -> None:
    """Raise EngineError with the first reason where all of a job's requests have failed, or more than a share."""
    failed = result.reasons["engine_error"]
    if failed and (failed == result.samples or failed > most * result.samples):
        raise EngineError(
            f"{title}: {failed:,} of {result.samples:,} samples could not be generated (max_error_share: {most:.0%}), "
            f"the first because: {result.error or 'no reason was given'}. What is finished is stored: mend it and run "
            "the same command again"
        )


def run_sampling(
    job: SamplingJob,
    questions: Sequence[Question],
    engines: Completer,
    executors: PoolClient,
    *,
    prepare: Callable[[bool], None],
    keep_outcomes: bool = False,
    on_progress: Callable[[SamplingStats], None] | None = None,
) -> SamplingStats:
    """Run a job to its end; `prepare` is called before each flow, and told whether it lacks a completion.

    Raises RaydistillError naming questions that did not come back exactly once from a round.
    """
    result, remaining = SamplingStats(rounds=job.begun), questions
    while remaining:
        result.rounds += 1
        plan = replace(job.plan, rounds=result.rounds)
        completions, verdicts = SegmentIndex(job.completions), SegmentIndex(job.verdicts)
        unfinished = set[str]()
        for start in range(0, len(remaining), QUESTIONS_PER_FLOW):
            portion = remaining[start : start + QUESTIONS_PER_FLOW]
            known, judged = completions.of(portion), verdicts.of(portion)
            prepare(any(i not in known.sample_ids for question in portion for i in plan.sample_ids(question)))
            started, came, finished = time.monotonic(), Counter[str](), set[str]()
            rows = [_to_row(question, known, judged) for question in portion]
            for outcome in _flow(job, plan, rows, engines, executors):
                came[outcome["question_id"]] += 1
                result.add(outcome, keep_outcomes)
                if outcome["finished"]:
                    finished.add(outcome["question_id"])
                if on_progress:
                    on_progress(result)
            result.wall_s += time.monotonic() - started
            _account(portion, came)
            unfinished.update(question.id for question in portion if question.id not in finished)
        remaining = QuestionTable(question for question in remaining if question.id in unfinished) if unfinished else ()
    return result


def _flow(
    job: SamplingJob, plan: SamplingPlan, rows: Sequence[dict[str, Any]], engines: Completer, executors: PoolClient
) -> Iterator[dict[str, Any]]:
    """Stream the rows of some questions through one round of a job: the outcome of each."""
    budget = Budget(plan.rounds == job.rounds, job.question_tokens, plan.most)
    generate, verify = (
        (plan, engines, job.completions, job.together),
        (plan.prompter, job.task, executors, job.verdicts),
    )
    select, batch = (job.selector, job.examples, budget), _batch(job)
    if len(rows) <= batch:
        yield from asyncio.run(_at_once(rows, Generate(*generate), Verify(*verify), Select(*select)))
        return
    from ray.data import ActorPoolStrategy

    actor = {"num_cpus": 0, "batch_format": "pyarrow"}

    def ahead(least: int, most: int) -> ActorPoolStrategy:  # the next block starts before one is done
        return ActorPoolStrategy(
            min_size=least, max_size=most, max_tasks_in_flight_per_actor=2, max_concurrent_calls_per_actor=2
        )

    asking, judging = ahead(*_generates(job)), ahead(*_actors(job.executors, EXECUTORS_PER_VERIFY))
    flow = _blocks(rows, batch)
    flow = flow.map_batches(Generate, fn_constructor_args=generate, batch_size=batch, compute=asking, **actor)
    flow = flow.map_batches(Verify, fn_constructor_args=verify, compute=judging, **actor)
    flow = flow.map_batches(Select, fn_constructor_args=select, compute=ActorPoolStrategy(size=1), **actor)
    for table in flow.iter_batches(batch_format="pyarrow", batch_size=None, prefetch_batches=0):
        yield from table.to_pylist()


async def _at_once(
    rows: Sequence[dict[str, Any]], generate: Generate, verify: Verify, select: Select
) -> list[dict[str, Any]]:
    """The outcomes of a single batch, in this process: it would pass from actor to actor, and nothing overlap."""
    import pyarrow as pa

    table = pa.Table.from_pylist([{"question": json.dumps(row)} for row in rows])
    return select(await verify(await generate(table))).to_pylist()


def _generates(job: SamplingJob) -> tuple[int, int]:
    return _actors(job.engines, ENGINES_PER_GENERATE)


def _actors(members: tuple[int, int], each: int) -> tuple[int, int]:
    """Least and most actors of the stage before a pool of so many members, of which `each` keep one busy."""
    return math.ceil(members[0] / each), math.ceil(members[1] / each)


def _batch(job: SamplingJob) -> int:
    """Questions of one call of a stage, of which four for each actor are under way at a time."""
    probe = Question("", "", "")
    per_round = job.plan.n * (job.plan.prompts_per_round or len(job.plan.prompter.prompts(probe)))
    return max(1, math.ceil(job.samples_in_flight / per_round / 4 / _generates(job)[1]))


def _blocks(rows: Sequence[dict[str, Any]], batch: int) -> Any:
    """The rows as blocks, one JSON text each. (`from_arrow` would run tasks, which need a free CPU.)"""
    import ray

    blocks = math.ceil(len(rows) / max(batch, QUESTIONS_PER_BLOCK))
    return ray.data.from_items([{"question": json.dumps(row)} for row in rows], override_num_blocks=blocks)


def _to_row(question: Question, completions: StoredSamples, verdicts: StoredSamples) -> dict[str, Any]:
    return {
        "question_id": question.id,
        "text": question.text,
        "answer": question.answer,
        "meta": question.notes,
        "stored_completions": completions.segments(question.id),
        "stored_verdicts": verdicts.segments(question.id),
    }


def _account(questions: Sequence[Question], came: Mapping[str, int]) -> None:
    """Raise RaydistillError where a question did not come back from a round, or more than once."""
    missing = [question.id for question in questions if question.id not in came]
    doubled = [question_id for question_id, count in came.items() if count > 1]
    if missing or doubled:
        raise RaydistillError(
            f"{len(missing)} questions were lost {missing[:3]} and {len(doubled)} doubled {doubled[:3]}; "
            "what is finished is stored: run the same command again"
        )
