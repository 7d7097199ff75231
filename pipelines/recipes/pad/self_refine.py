"""Self-refinement in a run: the examples of the second task (PaD, arXiv 2305.13888, section 2.3).

    verified programs --break, run--> triples --.
    first student's failing programs --run-----> triples --> with the examples of the first task: the training set

Both are sampling jobs (`sampling/job.py`): what was generated or run is stored under a key and resumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.requests import Sampling
from raydistill.actors.executor import SANDBOX_VERSION
from raydistill.actors.storage import remove
from raydistill.pipelines.config.sections import LIMITS, EngineConfig, SamplingConfig
from raydistill.pipelines.data.examples import read_examples, write_examples
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.recipes.pad.config import Refine
from raydistill.pipelines.recipes.pad.repair import (
    REPAIR,
    FaultWriter,
    InjectedFaults,
    OwnFailures,
    fault_prompter,
    repair_question,
)
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats
from raydistill.pipelines.sampling.plan import SamplingPlan
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.tasks.extract import extract_program

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext


def add_repairs(
    ctx: RunContext, config: Refine, examples: ExampleSet, student: EngineConfig | None, asked: Prompter
) -> ExampleSet:
    """`examples` and the repair examples made from them.

    `student` is the engine of the first student, `asked` how it is asked; its failures are learned from.
    """

    def compute(folder: str) -> dict[str, Any]:
        programs, stats = list(_programs(ctx, examples)), dict[str, SamplingStats]()
        if config.faults_per_program:
            stats["injected"] = _inject(ctx, config, programs, f"{folder}/injected")
        if student:
            stats["own"] = _learn_from_own(ctx, config, programs, student, asked, f"{folder}/own")
        made = [e for name, result in stats.items() if result.examples for e in read_examples(f"{folder}/{name}")]
        both = sorted([*read_examples(examples.folder), *made], key=lambda example: example.id)
        write_examples(both, folder)
        for name in stats:
            remove(f"{folder}/{name}")
        return {
            "examples": len(both),
            "repairs": dict(Counter(str(example.meta["fault"]) for example in made)),
            **{name: {"samples": result.samples, "dropped": result.dropped} for name, result in stats.items()},
            "unknown": sum(result.unknown for result in stats.values()),
        }

    limits = ctx.config.execution.model_dump(include=set(LIMITS)) | {"sandbox": SANDBOX_VERSION}
    versions = REPAIR.version, fault_prompter(config).version, InjectedFaults.version, OwnFailures.version
    own = _own_job(ctx, config, student, asked).key if student else None
    key = [examples.key, config.model_dump(exclude={"repairs"}), limits, versions, own]
    added, summary = ctx.cached("repairs", key, compute)
    told = {name: value for name, value in summary.items() if name != "unknown"}
    ctx.report(refinement=told)
    ctx.say(f"refinement: {summary['examples']:,} examples, repairs among them: {summary['repairs']}")
    return ctx.exported(added)


def _programs(ctx: RunContext, examples: ExampleSet) -> Iterator[Question]:
    """Each verified program as a question that carries it."""
    questions = {question.id: question for question in ctx.questions.questions}
    for example in read_examples(examples.folder):
        question, program = questions[example.question_id], extract_program(example.text)
        if program:
            yield repair_question(question, program, "", question_id=question.id)


def _inject(ctx: RunContext, config: Refine, programs: Sequence[Question], folder: str) -> SamplingStats:
    remove(folder)  # of an earlier life; what that had verified is stored
    prompter = fault_prompter(config)
    plan = SamplingPlan(
        prompter, Sampling(), n=1, seed=config.seed, purpose=content_hash(prompter.version, config.seed)
    )
    job = ctx.job_of(plan, ctx.questions.task, selector=InjectedFaults(), examples=folder)
    return ctx.run("breaking programs", job, programs, FaultWriter())


def _learn_from_own(
    ctx: RunContext,
    config: Refine,
    programs: Sequence[Question],
    student: EngineConfig,
    asked: Prompter,
    folder: str,
) -> SamplingStats:
    remove(folder)
    first = {str(program.meta["question_id"]): program for program in reversed(programs)}
    questions = [q.noting(**first[q.id].meta) for q in ctx.questions.questions if q.id in first]
    job = replace(_own_job(ctx, config, student, asked), examples=folder)
    return ctx.run("the student's own failures", job, questions, student)


def _own_job(ctx: RunContext, config: Refine, student: EngineConfig, asked: Prompter) -> SamplingJob:
    sampling = SamplingConfig(
        n=config.own_samples,
        temperature=config.own_temperature,
        max_tokens=ctx.student_tokens,
        seed=config.seed,
    )
    return ctx.job(student, ctx.questions, sampling, prompter=asked, selector=OwnFailures(config.max_own))
