"""What a model scores on held-out questions: asked greedily and sampled, in the way that it is to answer; or by beams.

Each turn is a sampling job like the teacher's synthesis, so an evaluation resumes, and a stored score is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from raydistill.actors.errors import EngineError
from raydistill.actors.pool import PoolClient
from raydistill.actors.retrieval.encoder import find_model
from raydistill.pipelines.config.sections import Beam, EngineConfig, Evaluation, SamplingConfig
from raydistill.pipelines.data.cache import cached
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.evaluation.answers import name_evaluation, store_answers
from raydistill.pipelines.evaluation.scores import Score, score
from raydistill.pipelines.inference.answering import Answered, Answerer, Answers, AnswersOnce, answer_questions
from raydistill.pipelines.inference.beam import BEAM_VERSION, BeamSearch, TokenDecoder
from raydistill.pipelines.inference.faithfulness import Faithfulness
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.sampling.sampler import Sampler
from raydistill.pipelines.tasks import LoadedQuestions

Outcome = tuple[list[str], list[str]]  # statuses and values of a question's samples


def evaluate_model(
    ctx: Sampler, config: Evaluation, name: str, model: EngineConfig, answerer: Answerer, loaded: LoadedQuestions
) -> Score:
    """The score of `model`: greedy pass@1, and of `config.n` samples where there are several."""
    draws = drawings(config, name)

    def compute(key: str) -> dict[str, Any]:
        first, *sampled = [
            answer_questions(ctx, title, model, answerer, loaded, drawn) for title, drawn in draws.items()
        ]
        store_answers(ctx.root, key, [(question, first.by_question[question.id]) for question in loaded.questions])
        return _scored(first, sampled, config, answerer, loaded).to_json()

    keys = [ctx.job(model, loaded, drawn, prompter=answerer.prompter).key for drawn in draws.values()]
    again = answerer.follow_ups.version, answerer.follow_ups.reader, answerer.limit, answerer.version
    return _stored(ctx, name, loaded, [*keys, *again], compute)


def drawings(config: Evaluation, name: str) -> dict[str, SamplingConfig]:
    """How a model is sampled, by titles: greedily, and as often as `config.n` says where that is more than once."""
    greedy = SamplingConfig(n=1, temperature=0, max_tokens=config.max_tokens)
    draws = {f"evaluating {name} (greedy)": greedy}
    if config.n > 1:
        title = f"evaluating {name} (n={config.n}, T={config.temperature:g})"
        draws[title] = greedy.model_copy(update={"n": config.n, "temperature": config.temperature})
    return draws


def evaluate_beam(
    ctx: Sampler,
    config: Evaluation,
    beam: Beam,
    name: str,
    model: EngineConfig,
    prompter: Prompter,
    loaded: LoadedQuestions,
) -> Score:
    """The score of the best hypotheses of a beam search, with what all hypotheses together have cost."""

    def compute(key: str) -> dict[str, Any]:
        found = search_beams(ctx, config, beam, name, model, prompter, loaded)
        store_answers(ctx.root, key, [(question, found.by_question[question.id]) for question in loaded.questions])
        return _scored(found, [], config.model_copy(update={"n": 1}), AnswersOnce(prompter), loaded).to_json()

    drawn = SamplingConfig(n=1, temperature=0, max_tokens=config.max_tokens)
    job = ctx.job(model, loaded, drawn, prompter=prompter, extra_key=(BEAM_VERSION, beam.model_dump()))
    return _stored(ctx, f"{name}, {beam.name}", loaded, [job.key], compute)


def search_beams(
    ctx: Sampler,
    config: Evaluation,
    beam: Beam,
    name: str,
    model: EngineConfig,
    prompter: Prompter,
    loaded: LoadedQuestions,
) -> Answers:
    """The best hypotheses as answers. Raises UsageError where step verification has no sentence encoder."""
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

    title, drawn = f"evaluating {name} ({beam.name})", SamplingConfig(temperature=0, max_tokens=config.max_tokens)
    key, asked = (BEAM_VERSION, beam.model_dump()), AnswersOnce(prompter)
    return answer_questions(ctx, title, model, asked, loaded, drawn, extra_key=key, wrap_engines=search)


def _scored(
    greedy: Answers, sampled: Sequence[Answers], config: Evaluation, answerer: Answerer, loaded: LoadedQuestions
) -> Score:
    measured = score(
        map(outcome, greedy.by_question.values()),
        [outcome(answers) for drawn in sampled for answers in drawn.by_question.values()],
        samples=config.n,
        temperature=config.temperature if config.n > 1 else 0.0,
        grader=f"{loaded.task.name} ({loaded.task.grader})",
    )
    if not measured.n:
        raise EngineError(f"{measured.grader}: none of {len(loaded.questions):,} held-out questions could be scored")
    told: list[tuple[Question, Answered]] = [
        (question, greedy.by_question[question.id][0]) for question in loaded.questions
    ]
    cost: dict[str, Any] = {
        "completion_tokens": greedy.stats.completion_tokens,
        "wall_s": round(greedy.stats.wall_s, 1),
    }
    return replace(measured, **cost, **answerer.account(told, loaded.task))


def outcome(answers: Sequence[Answered]) -> Outcome:
    """Statuses and values of answers."""
    return [answer.status for answer in answers], [answer.value for answer in answers]


def _stored(
    ctx: Sampler, name: str, loaded: LoadedQuestions, keys: list[Any], compute: Callable[[str], dict[str, Any]]
) -> Score:
    """The score that is stored under these keys, or else computed; the run's evaluation `name` is this one."""
    ids = content_hash(*sorted(question.id for question in loaded.questions))
    key = content_hash(keys, ids)
    found, _ = cached(f"{ctx.root}/evaluation/{key}.json", lambda: compute(key))
    name_evaluation(ctx.root, name, key)
    return Score(**found)
