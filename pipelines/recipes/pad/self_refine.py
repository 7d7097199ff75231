"""Self-refinement in a run: the examples of the second task, and the repairs of an evaluation.

    verified programs --break, run--> triples --.
    first student's failing programs --run-----> triples --> with the examples of the first task: the training set

Both are sampling jobs (`sampling/job.py`): what was generated or run is stored under a key and resumed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from raydistill.actors.engine.requests import Sampling
from raydistill.actors.storage import read_bytes, remove, write_json
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.examples import read_examples, write_examples
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.recipes.pad.config import Refine
from raydistill.pipelines.recipes.pad.repair import FaultWriter, InjectedFaults, OwnFailures, repair_question
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats
from raydistill.pipelines.sampling.plan import SamplingPlan
from raydistill.pipelines.tasks import LoadedQuestions
from raydistill.pipelines.tasks.extract import extract_program


def add_repairs(
    ctx: RunContext, config: Refine, examples: str, loaded: LoadedQuestions, student: EngineConfig | None
) -> tuple[str, dict[str, Any]]:
    """The folder of `examples` and of the repair examples made from them, and an account of the latter.

    `student` is the engine of the first student, whose failures are learned from where `config.own_samples` asks.
    """
    limits = ctx.config.execution.model_dump(include={"cpu_s", "wall_s", "memory_mb", "minimum_grade"})
    key = content_hash(Path(examples).name, config.model_dump(exclude={"repairs"}), limits)
    folder = f"{ctx.root}/examples/{key}"
    if done := read_bytes(f"{folder}/summary.json"):
        return folder, json.loads(done)
    remove(folder)
    programs = list(_programs(examples, loaded))
    stats: dict[str, SamplingStats] = {}
    if config.faults_per_program:
        stats["injected"] = _inject(ctx, config, programs, loaded, f"{folder}/injected")
    if student and config.own_samples:
        stats["own"] = _learn_from_own(ctx, config, programs, loaded, student, f"{folder}/own")
    made = [e for name, result in stats.items() if result.examples for e in read_examples(f"{folder}/{name}")]
    both = sorted([*read_examples(examples), *made], key=lambda example: example.id)
    write_examples(both, folder)
    summary: dict[str, Any] = {
        "examples": len(both),
        "repairs": dict(Counter(str(example.meta["fault"]) for example in made)),
        **{name: {"samples": result.samples, "dropped": result.dropped} for name, result in stats.items()},
    }
    for name in stats:
        remove(f"{folder}/{name}")
    if not any(result.statuses["unknown"] for result in stats.values()):
        write_json(f"{folder}/summary.json", summary)
    return folder, summary


def _programs(examples: str, loaded: LoadedQuestions) -> Iterator[Question]:
    """Each verified program as a question that carries it."""
    questions = {question.id: question for question in loaded.questions}
    for example in read_examples(examples):
        question, program = questions[example.question_id], extract_program(example.text)
        if program:
            yield repair_question(question, program, "", question_id=question.id)


def _inject(
    ctx: RunContext, config: Refine, programs: Sequence[Question], loaded: LoadedQuestions, folder: str
) -> SamplingStats:
    key = content_hash("faults", config.seed)
    recipe = InjectedFaults(config)
    plan = SamplingPlan(recipe, Sampling(), n=1, seed=config.seed, purpose=key)
    verdicts = ctx.verdicts_key(key, loaded.task, recipe)
    job = SamplingJob(plan, loaded.task, f"{ctx.root}/completions/{key}", f"{ctx.root}/verdicts/{verdicts}", folder)
    return ctx.run("breaking programs", job, programs, FaultWriter())


def _learn_from_own(
    ctx: RunContext,
    config: Refine,
    programs: Sequence[Question],
    loaded: LoadedQuestions,
    student: EngineConfig,
    folder: str,
) -> SamplingStats:
    first = {str(program.meta["question_id"]): program for program in reversed(programs)}
    questions = [q.noting(**first[q.id].meta) for q in loaded.questions if q.id in first]
    sampling = SamplingConfig(
        n=config.own_samples,
        temperature=config.own_temperature,
        max_tokens=ctx.config.teacher.max_tokens,
        seed=config.seed,
    )
    job, _ = ctx.job(student, loaded, sampling, student=True)
    plan = replace(job.plan, prompter=OwnFailures(job.plan.prompter, config.max_own))
    return ctx.run("the student's own failures", replace(job, plan=plan, examples=folder), questions, student)
