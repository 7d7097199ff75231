"""What a model scores on held-out questions: asked greedily, sampled, with repairs, or by beam search.

Each is a pass like the teacher's synthesis, so an evaluation resumes, and one that was measured is read.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from raydistill.actors.pool import PoolClient
from raydistill.actors.retrieval.encoder import find_model
from raydistill.actors.storage import read_bytes, write_json
from raydistill.pipelines.config.sections import Beam, Engine, Evaluation, SamplingConfig
from raydistill.pipelines.context import Workplace
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.evaluation.scores import Score, score
from raydistill.pipelines.inference.beam import BeamSearch, TokenDecoder
from raydistill.pipelines.inference.faithfulness import Faithfulness
from raydistill.pipelines.sampling.job import Outcomes, Pass, PassResult
from raydistill.pipelines.tasks import LoadedQuestions

Repair = Callable[[Workplace, Pass, LoadedQuestions, Outcomes, Engine, int], Outcomes]


def measure(
    work: Workplace,
    config: Evaluation,
    name: str,
    model: Engine,
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
    plans = [work.plan(model, loaded, sampling, student=True) for sampling in draws]
    uri = _uri(work, loaded, [key for _, key in plans], config.n, repairs)
    if done := read_bytes(uri):
        return Score(**json.loads(done))
    results = [_run(work, name, plan, loaded, model) for plan, _ in plans]
    described: dict[str, Any] = {
        "samples": config.n,
        "temperature": config.temperature if config.n > 1 else 0.0,
        "grader": f"{loaded.task.name} ({loaded.task.grader})",
    }
    measured = _with_cost(score(*(r.outcomes.values() for r in results), **described), results[0])
    if repairs and repair:
        before = {"accuracy": measured.accuracy, "executable": measured.executable or 0.0}
        repaired = [
            repair(work, plan, loaded, result.outcomes, model, repairs).values()
            for (plan, _), result in zip(plans, results, strict=True)
        ]
        again = _with_cost(score(*repaired, **described), results[0])
        measured = replace(again, before_repairs=before)
    return _kept(uri, measured)


def measure_beam(
    work: Workplace, config: Evaluation, beam: Beam, name: str, model: Engine, loaded: LoadedQuestions
) -> Score:
    """The score of the best hypotheses of a beam search, with what all hypotheses together have cost."""
    sampling = SamplingConfig(n=1, temperature=0, max_tokens=config.max_tokens)
    plan, key = work.plan(model, loaded, sampling, student=True, also=beam.model_dump())
    uri = _uri(work, loaded, [key], 1, 0)
    if done := read_bytes(uri):
        return Score(**json.loads(done))
    result = search_beams(work, plan, beam, name, model, loaded)
    measured = score(
        result.outcomes.values(), samples=1, temperature=0.0, grader=f"{loaded.task.name} ({loaded.task.grader})"
    )
    return _kept(uri, _with_cost(measured, result))


def search_beams(
    work: Workplace, plan: Pass, beam: Beam, name: str, model: Engine, loaded: LoadedQuestions
) -> PassResult:
    """The outcomes of the best hypotheses; `plan` is `model`'s, keyed also by the settings of `beam`.

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
            work.executors.client if beam.execution else None,
        )

    title = f"evaluating {name} ({beam.name})"
    return work.run(title, plan, loaded.questions, model, keep_outcomes=True, through=search)


def _uri(work: Workplace, loaded: LoadedQuestions, keys: list[str], samples: int, repairs: int) -> str:
    ids = content_hash(*sorted(question.id for question in loaded.questions))
    return f"{work.root}/evaluation/{content_hash(keys, samples, ids, repairs)}.json"


def _run(work: Workplace, name: str, plan: Pass, loaded: LoadedQuestions, model: Engine) -> PassResult:
    drawn = "greedy" if plan.asking.n == 1 else f"n={plan.asking.n}, T={plan.asking.sampling.temperature:g}"
    return work.run(f"evaluating {name} ({drawn})", plan, loaded.questions, model, keep_outcomes=True)


def _with_cost(measured: Score, result: PassResult) -> Score:
    return replace(measured, completion_tokens=result.completion_tokens, wall_s=round(result.wall_s, 1))


def _kept(uri: str, measured: Score) -> Score:
    """Store a score, unless something of it has to be tried again."""
    if not measured.unknown:
        write_json(uri, measured.to_json())
    return measured
