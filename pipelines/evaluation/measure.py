"""What a model scores on held-out questions: asked greedily, sampled, with repairs, or by beam search.

Each is a sampling job like the teacher's synthesis, so an evaluation resumes, and a stored score is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from raydistill.actors.pool import PoolClient
from raydistill.actors.retrieval.encoder import find_model
from raydistill.actors.storage import read_bytes, write_json
from raydistill.pipelines.config.sections import Beam, EngineConfig, Evaluation, SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.evaluation.scores import Score, score
from raydistill.pipelines.inference.beam import BeamSearch, TokenDecoder
from raydistill.pipelines.inference.faithfulness import Faithfulness
from raydistill.pipelines.sampling.job import Outcomes, SamplingJob, SamplingStats
from raydistill.pipelines.tasks import LoadedQuestions

Repair = Callable[[RunContext, SamplingJob, LoadedQuestions, Outcomes, EngineConfig, int], Outcomes]


def evaluate_model(
    ctx: RunContext,
    config: Evaluation,
    name: str,
    model: EngineConfig,
    loaded: LoadedQuestions,
    *,
    repairs: int = 0,
    repair: Repair | None = None,
) -> Score:
    """The score of `model`: greedy pass@1, and of `config.n` samples where there are several.

    Up to `repairs` times a program that fails to run is given back to the model, as `repair` does it.
    """
    draws = [SamplingConfig(n=1, temperature=0, max_tokens=config.max_tokens)]
    if config.n > 1:
        draws.append(SamplingConfig(n=config.n, temperature=config.temperature, max_tokens=config.max_tokens))
    jobs = [ctx.job(model, loaded, sampling, student=True) for sampling in draws]
    uri = _uri(ctx, loaded, [key for _, key in jobs], config.n, repairs)
    if done := read_bytes(uri):
        return Score(**json.loads(done))
    results = [_run(ctx, name, job, loaded, model) for job, _ in jobs]
    described: dict[str, Any] = {
        "samples": config.n,
        "temperature": config.temperature if config.n > 1 else 0.0,
        "grader": f"{loaded.task.name} ({loaded.task.grader})",
    }
    measured = _with_cost(score(*(r.outcomes.values() for r in results), **described), results[0])
    if repairs and repair:
        before = {"accuracy": measured.accuracy, "executable": measured.executable or 0.0}
        repaired = [
            repair(ctx, job, loaded, result.outcomes, model, repairs).values()
            for (job, _), result in zip(jobs, results, strict=True)
        ]
        again = _with_cost(score(*repaired, **described), results[0])
        measured = replace(again, before_repairs=before)
    return _kept(uri, measured)


def evaluate_beam(
    ctx: RunContext, config: Evaluation, beam: Beam, name: str, model: EngineConfig, loaded: LoadedQuestions
) -> Score:
    """The score of the best hypotheses of a beam search, with what all hypotheses together have cost."""
    sampling = SamplingConfig(n=1, temperature=0, max_tokens=config.max_tokens)
    job, key = ctx.job(model, loaded, sampling, student=True, extra_key=beam.model_dump())
    uri = _uri(ctx, loaded, [key], 1, 0)
    if done := read_bytes(uri):
        return Score(**json.loads(done))
    result = search_beams(ctx, job, beam, name, model, loaded)
    measured = score(
        result.outcomes.values(), samples=1, temperature=0.0, grader=f"{loaded.task.name} ({loaded.task.grader})"
    )
    return _kept(uri, _with_cost(measured, result))


def search_beams(
    ctx: RunContext, job: SamplingJob, beam: Beam, name: str, model: EngineConfig, loaded: LoadedQuestions
) -> SamplingStats:
    """The outcomes of the best hypotheses; `job` is `model`'s, keyed also by the settings of `beam`.

    Raises UsageError where step verification has no sentence encoder.
    """
    if beam.faithfulness:
        find_model(beam.encoder)

    def search(engines: PoolClient) -> BeamSearch:
        return BeamSearch(
            beam,
            engines,
            TokenDecoder(model.model, model.revision),
            Faithfulness(beam.encoder) if beam.faithfulness else None,
            ctx.executors.client if beam.execution else None,
        )

    title = f"evaluating {name} ({beam.name})"
    return ctx.run(title, job, loaded.questions, model, keep_outcomes=True, wrap_engines=search)


def _uri(ctx: RunContext, loaded: LoadedQuestions, keys: list[str], samples: int, repairs: int) -> str:
    ids = content_hash(*sorted(question.id for question in loaded.questions))
    return f"{ctx.root}/evaluation/{content_hash(keys, samples, ids, repairs)}.json"


def _run(ctx: RunContext, name: str, job: SamplingJob, loaded: LoadedQuestions, model: EngineConfig) -> SamplingStats:
    drawn = "greedy" if job.plan.n == 1 else f"n={job.plan.n}, T={job.plan.sampling.temperature:g}"
    return ctx.run(f"evaluating {name} ({drawn})", job, loaded.questions, model, keep_outcomes=True)


def _with_cost(measured: Score, result: SamplingStats) -> Score:
    return replace(measured, completion_tokens=result.completion_tokens, wall_s=round(result.wall_s, 1))


def _kept(uri: str, measured: Score) -> Score:
    """Store a score, unless something of it has to be tried again."""
    if not measured.unknown:
        write_json(uri, measured.to_json())
    return measured
