"""A student that attempts questions, judges what it wrote and updates it, many conversations at once.

    question --> attempt [feedback [update]] --> feedback [update] --> ... until `conversation.settle` says why it ends

One model does all of it. It decides itself whether it goes on after its first attempt; an update that it stops after is
given back to it for feedback. Each turn of all conversations is one sampling job: stored under a key, resumed, and
conversations that have come to the same attempt share what follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from raydistill.actors.segments import read_segments
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question, Sample, content_hash
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import Ending, Turn, asks_for_feedback, go_on, read_turns, settle
from raydistill.pipelines.recipes.tripost.recipe import SelfImprovement
from raydistill.pipelines.sampling.job import SamplingJob
from raydistill.pipelines.sampling.prompter import Prompt, Selection
from raydistill.pipelines.tasks import LoadedQuestions

Replies = dict[str, tuple[str, bool]]  # by sample id: the text, and whether the token limit cut it off


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a student said to one question; `turns` is empty where no engine could answer."""

    id: str  # of the sample that it began as
    question: Question
    turns: tuple[Turn, ...] = ()
    ending: Ending | None = None
    cut_off: bool = False  # the first attempt ran into the token limit

    @property
    def known(self) -> bool:
        """Whether the conversation has come to an end."""
        return self.ending is not None


class GoOn(SelfImprovement):
    """Asks for feedback on an attempt, and for the update that follows; the question carries the attempt."""

    def student_prompt(self, question: Question) -> Prompt:
        asked = super().student_prompt(replace(question, text=question.meta.get("question", question.text)))
        return replace(asked, context="go-on", prefix=asks_for_feedback(question.meta.get("attempt", "")))

    def extract(self, text: str) -> str | None:
        """What counts is read later, from all turns."""
        return text or None

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        return Selection()


def roll_out(
    ctx: RunContext,
    title: str,
    model: EngineConfig,
    loaded: LoadedQuestions,
    sampling: SamplingConfig,
    config: TriPosT,
    *,
    updates: int,
) -> tuple[list[Rollout], str]:
    """`sampling.n` conversations of `model` per question with at most so many updates, and the key of this."""
    job, key = ctx.job(model, loaded, sampling, student=True, prompter=SelfImprovement(config))
    ctx.run(title, job, loaded.questions, model)
    replies = read_replies(job)
    rollouts = [
        _opened(sample_id, question, replies, updates)
        for question in loaded.questions
        for sample_id in job.plan.sample_ids(question)
    ]
    once = sampling.model_copy(update={"n": 1})
    for number in range(1, updates + 1):
        tasks = {r.id: to_go_on(r.question, r.turns[-1].attempt) for r in rollouts if r.turns and not r.known}
        if not tasks:
            break
        job, _ = ctx.job(model, loaded, once, student=True, prompter=GoOn(config), extra_key="go-on")
        ctx.run(f"{title}, update {number}", job, list({task.id: task for task in tasks.values()}.values()), model)
        replies = read_replies(job)
        rollouts = [_continued(r, job, tasks[r.id], replies, updates) if r.id in tasks else r for r in rollouts]
    return rollouts, content_hash(key, updates)


def read_replies(job: SamplingJob) -> Replies:
    """The replies that a sampling job has stored."""
    replies: Replies = {}
    for table in read_segments(job.completions, ["sample_id", "text", "finish_reason"]):
        for row in table.to_pylist():
            replies[row["sample_id"]] = (row["text"], row["finish_reason"] == "length")
    return replies


def _opened(sample_id: str, question: Question, replies: Mapping[str, tuple[str, bool]], updates: int) -> Rollout:
    if sample_id not in replies:
        return Rollout(sample_id, question)
    text, cut = replies[sample_id]
    said = read_turns(text, cut_off=cut)
    turns, ending = settle(said, updates)
    return Rollout(sample_id, question, tuple(turns), ending, cut and said == [Turn(said[0].attempt)])


def to_go_on(question: Question, attempt: str) -> Question:
    """A question of its own that asks for feedback on `attempt`; recorded answers are looked up by its text."""
    text = f"{question.text}\n\n{asks_for_feedback(attempt)}"
    asked = Question(content_hash("go-on", question.id, attempt), text, question.answer)
    return asked.noting(question=question.text, attempt=attempt)


def _continued(rollout: Rollout, job: SamplingJob, task: Question, replies: Replies, updates: int) -> Rollout:
    """The conversation with what the student said next; as it was where no engine could answer."""
    (sample_id,) = job.plan.sample_ids(task)
    if sample_id not in replies:
        return rollout
    text, cut_off = replies[sample_id]
    turns, ending = go_on(rollout.turns, text, updates, cut_off=cut_off)
    return replace(rollout, turns=tuple(turns), ending=ending)


def endings(rollouts: Sequence[Rollout]) -> dict[str, int]:
    """How many conversations ended why; those that no engine could answer are ``unknown``."""
    return dict(Counter(r.ending or "unknown" for r in rollouts))
