"""One round of on-policy distillation: what the student samples, judged and scored, as training examples.

    student --n samples of each question--> ids, log-probabilities --sandbox, grader--> verdicts
    teacher --one prefill of exactly these ids--> log-probabilities --> advantages --> examples

Each part is stored when it is done: samples and verdicts as those of any job, scores in `scores/`, the examples under a
key of all that they depend on. So a killed round samples nothing twice, and a finished one is not done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.data.examples import read_examples, write_examples
from raydistill.pipelines.data.records import Example, content_hash
from raydistill.pipelines.recipes.opd.config import OPD
from raydistill.pipelines.recipes.opd.fault_lines import FAULTS_VERSION
from raydistill.pipelines.recipes.opd.judged import Actors, Judged, judge_samples, round_examples
from raydistill.pipelines.recipes.opd.privileged import PRIVILEGED_VERSION
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.scoring.preflight import check_gap, gap, trainer_logprobs
from raydistill.pipelines.scoring.rows import score_rows, scores_folder
from raydistill.pipelines.scoring.sampled import SampledTokens, read_sampled
from raydistill.pipelines.tasks import LoadedQuestions

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext

ROUND_VERSION = "1"
CHECKED_ROWS = 4
OF_TRAINING = {"rounds", "learning_rate", "epochs", "cold_start", "overlap"}
"""Settings that a round's examples do not depend on."""


def collect_round(
    ctx: RunContext, config: OPD, asked: Prompter, actors: Actors, number: int, text: ExampleSet | None
) -> tuple[ExampleSet, dict[str, Any]]:
    """The examples of a round (from 1), and the account of its samples; `text` is what the teacher has written."""
    loaded, title = _questions_of(ctx, config, number), f"round {number}"
    sampling = SamplingConfig(n=config.samples, max_tokens=ctx.student_tokens, seed=config.seed + 1000 * number)
    job = ctx.job(actors.student, loaded, sampling, prompter=asked, logprobs=True)
    everyone = [actors.teacher, *(teacher for _, teacher in actors.routed)]
    scored = [scores_folder(ctx, teacher, "", config.top_k).partition("/scores/")[2] for teacher in everyone]
    versions = ROUND_VERSION, FAULTS_VERSION, PRIVILEGED_VERSION, asked.version
    shared = text.key if text and config.teacher_share else None
    ids = content_hash(*sorted(question.id for question in loaded.questions))

    def compute(folder: str) -> dict[str, Any]:
        stats = ctx.run(f"{title}: samples", job, loaded.questions, actors.student)
        sampled = read_sampled(job, loaded.questions)
        told = _checked(ctx, actors, sampled, title, job.key) | {"sampling_s": round(stats.wall_s, 2)}
        judged, more = judge_samples(ctx, config, asked, actors, sampled, loaded.questions, title, job.key)
        made = list(round_examples(config, asked, judged, number))
        if shared and text and made:
            made += _teachers(config, text, len(made), number)
        write_examples(sorted(made, key=lambda example: example.id), folder)
        return told | more | _account(config, stats.statuses, sampled, judged, made)

    key = [job.key, scored, config.model_dump(exclude=OF_TRAINING), versions, shared, ids]
    return ctx.cached("on-policy", key, compute)


def _questions_of(ctx: RunContext, config: OPD, number: int) -> LoadedQuestions:
    """The questions of a round: others in each, until all have had their turn."""
    loaded, wanted = ctx.questions, config.questions_per_round
    total = len(loaded.questions)
    if wanted is None or wanted >= total:
        return loaded
    order = sorted(loaded.questions, key=lambda question: content_hash(config.seed, question.id))
    first = (number - 1) * wanted
    return replace(loaded, questions=[order[place % total] for place in range(first, first + wanted)])


def _checked(
    ctx: RunContext, actors: Actors, sampled: Sequence[SampledTokens], title: str, name: str
) -> dict[str, Any]:
    """How far engine and trainer are apart on the round's first samples.

    Raises TrainingError where they are not of the same weights.
    """
    some = sampled[:CHECKED_ROWS]
    if not some:
        return {}
    rows, drawn, dtype = [one.ids for one in some], [one.behaviour for one in some], actors.student.dtype
    scored = score_rows(ctx, f"{title}: check", actors.student, rows, name=f"{name}/check").scores
    own = [told.logprobs if told else one.behaviour for one, told in zip(some, scored, strict=True)]
    trained = trainer_logprobs(actors.trained, rows, actors.adapter)
    engine = check_gap(gap(drawn, own), dtype, "the engine's log-probabilities of its samples, and its scores of them,")
    trainer = check_gap(gap(drawn, trained), dtype, "the trainer's log-probabilities of samples, and the engine's,")
    return {"score_minus_sampled": engine.to_json(), "trainer_minus_engine": trainer.to_json()}


def _teachers(config: OPD, text: ExampleSet, own: int, number: int) -> list[Example]:
    """Examples of the teacher's text, as many as make up `teacher_share` beside `own` others, others in each round."""
    share = config.teacher_share
    drawn = sorted(read_examples(text.folder), key=lambda example: content_hash(config.seed, number, example.id))
    return [
        replace(example, completion=tuple(replace(piece, weight=share * piece.weight) for piece in example.completion))
        for example in drawn[: round(own * share / (1 - share))]
    ]


def _account(
    config: OPD,
    statuses: Counter[str],
    sampled: Sequence[SampledTokens],
    judged: Sequence[Judged],
    made: Sequence[Example],
) -> dict[str, Any]:
    """What is told of a round. `unknown` samples are dropped for good, unless nothing is left without them."""
    known = statuses["passed"] + statuses["failed"]
    policies = [example.policy for example in made if example.policy]
    advantages = [value for policy in policies for value in policy.advantages]
    apart = [
        own - theirs
        for one in judged
        if one.scores
        for own, theirs in zip(one.sampled.behaviour, one.scores.logprobs, strict=True)
    ]
    on_policy = sum(example.tokens is not None for example in made)
    return {
        "samples": sum(statuses.values()),
        "accuracy": statuses["passed"] / known if known else None,
        "sampled_tokens": sum(len(one.behaviour) for one in sampled),
        "dropped": {"unknown": statuses["unknown"], "nothing_to_learn": len(judged) - on_policy},
        "advantage": sum(advantages) / len(advantages) if advantages else 0.0,
        "reverse_kl": sum(apart) / len(apart) if apart else None,  # nats per sampled token
        "on_policy": on_policy,
        "written_by_teacher": len(made) - on_policy,
        "examples": len(made),
        "unknown": 0 if made else statuses["unknown"],
    }
