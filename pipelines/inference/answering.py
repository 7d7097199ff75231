"""How a trained student answers: a first completion, and what its recipe lets it say after that.

    question --prompter--> completion --follow_up--> task --follow_ups--> completion --> ... --close--> Answered

An `Answerer` is a pure object that says what comes next and what the answer is; evaluation and service share it.
`answer_questions` brings many questions through it, turn by turn: each turn is a sampling job, stored and resumed, so
that a killed run pays for no turn twice and runs no program twice. `converse` does the same for one question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from raydistill.actors.pool import PoolClient
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.sampling.job import SamplingStats
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.sampling.sampler import Sampler
from raydistill.pipelines.sampling.samples import read_samples
from raydistill.pipelines.tasks import Grade, LoadedQuestions, Task

Judge = Callable[[str], Grade]
"""Says of an answering text whether it is right; in service, where nobody knows, what answer it is."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer with its way there. `value` is what is counted in a vote, "" where there is none."""

    status: str  # passed | failed | unknown
    reason: str
    value: str
    trail: tuple[Sample, ...] = ()  # the first completion, and those that followed it
    ending: str = ""  # why nothing follows
    shown: Mapping[str, Any] = field(default_factory=dict)  # what the service tells beside the answer
    id: str = ""  # of the sample that it began as


class Answerer(Protocol):
    """What a student is asked, how it goes on after a completion, and what its answer is."""

    @property
    def version(self) -> str:
        """Of the rules below; scores are keyed by it."""
        ...

    @property
    def prompter(self) -> Prompter:
        """Asks the question."""
        ...

    @property
    def follow_ups(self) -> Prompter:
        """Asks what `follow_up` gives."""
        ...

    @property
    def limit(self) -> int:
        """Most completions that follow the first one."""
        ...

    def follow_up(self, question: Question, trail: Sequence[Sample]) -> Question | None:
        """What the student is asked after these completions; None where it has come to an end."""
        ...

    def close(self, question: Question, trail: Sequence[Sample], judge: Judge) -> Answered:
        """The answer after these completions, at least one, none of them unknown."""
        ...

    def account(self, answers: Sequence[tuple[Question, Answered]], task: Task) -> Mapping[str, Any]:
        """What scores tell beside the answers, by fields of `evaluation.scores.Score`."""
        ...


@dataclass(frozen=True, slots=True)
class AnswersOnce:
    """The first completion is the answer."""

    prompter: Prompter
    limit: int = 0
    version: str = "once/1"

    @property
    def follow_ups(self) -> Prompter:
        return self.prompter

    def follow_up(self, question: Question, trail: Sequence[Sample]) -> Question | None:
        return None

    def close(self, question: Question, trail: Sequence[Sample], judge: Judge) -> Answered:
        return last_sample(trail)

    def account(self, answers: Sequence[tuple[Question, Answered]], task: Task) -> Mapping[str, Any]:
        return {}


def last_sample(trail: Sequence[Sample]) -> Answered:
    """The last completion as the answer, with the verdict that it has."""
    last = trail[-1]
    return Answered(last.status, last.reason, "" if last.reason == "no_answer" else last.value, tuple(trail))


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of all questions, in the order of the samples of each; `stats` are those of the first turn."""

    stats: SamplingStats
    by_question: dict[str, list[Answered]]
    key: str  # of the first turn's verdicts


def answer_questions(
    ctx: Sampler,
    title: str,
    model: EngineConfig,
    answerer: Answerer,
    loaded: LoadedQuestions,
    sampling: SamplingConfig,
    *,
    extra_key: object = None,
    wrap_engines: Callable[[PoolClient], Completer] | None = None,
) -> Answers:
    """`sampling.n` answers of `model` to each prompt of each question."""
    job = ctx.job(model, loaded, sampling, prompter=answerer.prompter, extra_key=extra_key)
    stats = ctx.run(title, job, loaded.questions, model, wrap_engines=wrap_engines)
    there = read_samples(job.completions, job.verdicts)
    trails = {i: [there[i]] for q in loaded.questions for i in job.plan.sample_ids(q) if i in there}
    asked = {i: q for q in loaded.questions for i in job.plan.sample_ids(q)}
    lost = set[str]()  # the student could not be asked again
    once = sampling.model_copy(update={"n": 1})
    for number in range(1, answerer.limit + 1):
        tasks = {
            i: task for i, trail in trails.items() if i not in lost and (task := answerer.follow_up(asked[i], trail))
        }
        if not tasks:
            break
        again = ctx.job(model, loaded, once, prompter=answerer.follow_ups)
        ctx.run(f"{title}, turn {number + 1}", again, list({t.id: t for t in tasks.values()}.values()), model)
        there = read_samples(again.completions, again.verdicts)
        for first, task in tasks.items():
            (sample_id,) = again.plan.sample_ids(task)
            if sample_id in there:
                trails[first].append(there[sample_id])
            else:
                lost.add(first)

    def answered(sample_id: str) -> Answered:
        question, trail = asked[sample_id], trails.get(sample_id)
        if not trail or sample_id in lost:
            return Answered("unknown", "engine_error", "", id=sample_id)
        return replace(answerer.close(question, trail, lambda text: loaded.task.grade(text, question)), id=sample_id)

    answers = {q.id: [answered(i) for i in job.plan.sample_ids(q)] for q in loaded.questions}
    return Answers(stats, answers, job.key)


async def converse(
    answerer: Answerer, question: Question, first: Sample, ask: Callable[[Question], Awaitable[Sample]], judge: Judge
) -> Answered:
    """The answer that `first` begins; `ask` has the student complete a task of `follow_up`."""
    trail = [first]
    while len(trail) <= answerer.limit and (task := answerer.follow_up(question, trail)):
        trail.append(await ask(task))
    return answerer.close(question, trail, judge)
