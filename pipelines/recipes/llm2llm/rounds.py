"""One round of LLM2LLM: the student attempts the seeds; for each that it fails, a new question like it joins in.

    student --greedy--> attempts --sandbox--> failed seeds --writer--> new questions --guards--> asked of the teacher
    --programs--> sandbox --agreement--> answers --> the examples so far, and those of the new questions

Seeds alone are attempted and written about: what was made up is never built upon. Attempts, new questions and programs
are stored as those of any job, so a killed round samples nothing twice; the examples lie under a key of all that they
depend on, so a finished one is not done again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.data.examples import read_examples, write_examples
from raydistill.pipelines.data.records import Question, Sample, content_hash
from raydistill.pipelines.data.rewritten import output_schema
from raydistill.pipelines.recipes.llm2llm.config import LLM2LLM
from raydistill.pipelines.recipes.llm2llm.voting import VOTING_VERSION, learned
from raydistill.pipelines.recipes.llm2llm.writing import (
    WRITING_VERSION,
    Attempt,
    NewQuestions,
    chosen,
    demands,
    writer,
)
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats
from raydistill.pipelines.sampling.prompter import Prompter, Selector
from raydistill.pipelines.sampling.samples import read_samples
from raydistill.pipelines.tasks import LoadedQuestions, task_for
from raydistill.pipelines.tasks.unjudged import AcceptAll, ReadsAnswers

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext

ROUND_VERSION = "1"
OF_TRAINING = {"rounds"}
"""Settings that a round's examples do not depend on."""


@dataclass(frozen=True, slots=True)
class Asks:
    """How student and teacher are asked, and which programs become examples."""

    student: Prompter
    teacher: Prompter
    selector: Selector


@dataclass(frozen=True, slots=True)
class Jobs:
    """What is asked in a round."""

    attempts: SamplingJob
    writing: SamplingJob
    answering: SamplingJob

    @classmethod
    def of(cls, ctx: RunContext, config: LLM2LLM, asks: Asks, student: EngineConfig, number: int) -> Jobs:
        """Those of a round; new questions are drawn with a seed of its own."""
        seeds, teacher = ctx.questions, ctx.teacher
        drawn = teacher.model_dump(include={"top_p", "max_tokens", "stop"})
        greedy = SamplingConfig(temperature=0, max_tokens=ctx.student_tokens)
        similar = SamplingConfig(
            n=config.similar, temperature=config.temperature, seed=config.seed + 1000 * number, **drawn
        )
        fresh = SamplingConfig(n=config.votes, temperature=config.vote_temperature, seed=teacher.seed, **drawn)
        readings = ReadsAnswers(task_for(seeds.task.name, seeds.task.grader))
        return cls(
            ctx.job(student, seeds, greedy, prompter=asks.student),
            ctx.job(
                writer_of(ctx, config),
                LoadedQuestions(AcceptAll(config.recipe), []),
                similar,
                prompter=writer(config),
                json_schema=output_schema(config.keys),
            ),
            ctx.job(teacher, LoadedQuestions(readings, []), fresh, prompter=asks.teacher),
        )


def writer_of(ctx: RunContext, config: LLM2LLM) -> EngineConfig:
    """Who writes the new questions: the teacher, or a model hosted as it is."""
    writer = config.writer
    changed = {"model": writer.model, "revision": writer.revision} if writer else {}
    return ctx.teacher_engine.model_copy(update=changed)


def augment(
    ctx: RunContext, config: LLM2LLM, asks: Asks, student: EngineConfig, number: int, examples: ExampleSet
) -> tuple[ExampleSet, dict[str, Any]]:
    """`examples` with those of a round's new questions (from 1), and the account of the round."""
    seeds, jobs, title = ctx.questions, Jobs.of(ctx, config, asks, student, number), f"round {number}"
    settings = config.model_dump(exclude=OF_TRAINING)
    versions = ROUND_VERSION, WRITING_VERSION, VOTING_VERSION, asks.selector.version
    ids = content_hash(*sorted(question.id for question in seeds.questions))
    asked = [jobs.attempts.key, jobs.writing.key, jobs.answering.key]

    def compute(folder: str) -> dict[str, Any]:
        attempted = ctx.run(f"{title}: attempts", jobs.attempts, seeds.questions, student)
        tried = _attempts(jobs.attempts, seeds.questions)
        right, about = [one for one in tried if one[1].status == "passed"], chosen(config, number, tried)
        before = list(read_examples(examples.folder))
        known = [question.text for question in seeds.questions] + [
            text for example in before if (text := example.meta.get("question"))
        ]
        guards = NewQuestions(config, ctx.gate, dict.fromkeys(known))
        written, asking = _written(ctx, config, jobs.writing, about, right, title)
        new = [
            Question.make(seeds.task.name, text, "").noting(seed=seed, round=number)
            for seed, text in guards.take(written)
        ]
        answering = SamplingStats()
        if new:
            answering = ctx.run(f"{title}: answers", jobs.answering, new, ctx.teacher)
        made, dropped, unanswered = learned(config, asks.selector, new, _samples(jobs.answering, new))
        count = write_examples(sorted([*before, *made], key=lambda example: example.id), folder)
        unwritten = asking.unknown + attempted.unknown
        return {
            "seeds": len(seeds.questions),
            "failed": len(tried) - len(right),
            "right": len(right),
            "written": sum(map(len, written.values())),
            "dropped": dict(guards.dropped + dropped),
            "programs": answering.samples,
            "added": len({example.question_id for example in made}),
            "examples": count,
            "unknown": unwritten + unanswered,
            "prompt_tokens": asking.prompt_tokens + answering.prompt_tokens,
            "completion_tokens": asking.completion_tokens + answering.completion_tokens,
        }

    gate = ctx.gate and ctx.gate.key
    return ctx.cached("augmented", [asked, examples.key, settings, versions, ids, gate], compute)


def _attempts(job: SamplingJob, seeds: Sequence[Question]) -> list[Attempt]:
    """The seeds that the student has failed or got right, with what it wrote; not the unknown ones."""
    said = _samples(job, seeds)
    return [(seed, one) for seed in seeds for one in said[seed.id] if one.status != "unknown"]


def _written(
    ctx: RunContext,
    config: LLM2LLM,
    job: SamplingJob,
    about: Sequence[Attempt],
    right: Sequence[Attempt],
    title: str,
) -> tuple[Mapping[str, Sequence[Sample]], SamplingStats]:
    """The replies about each seed, by the seed's id; none is shown as one of the `right` beside itself."""
    written = {seed.id for seed, _ in about}
    asked = list(demands(config, about, [seed for seed, _ in right if seed.id not in written]))
    if not asked:
        return {}, SamplingStats()
    stats = ctx.run(f"{title}: new questions", job, asked, writer_of(ctx, config))
    said = _samples(job, asked)
    return {one.meta["seed"]: said[one.id] for one in asked}, stats


def _samples(job: SamplingJob, questions: Sequence[Question]) -> dict[str, list[Sample]]:
    """The judged samples of questions, by their ids, in the order in which they were drawn."""
    there = read_samples(job.completions, job.verdicts)
    ids = {question.id: job.plan.sample_ids(question) for question in questions}
    return {question: [there[name] for name in names if name in there] for question, names in ids.items()}
