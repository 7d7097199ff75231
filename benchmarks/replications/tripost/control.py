"""TriPosT's positive control: students are told by the script what is wrong, and update.

What a student's own feedback cannot show: whether it can use feedback that is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import UPDATE, Turn, after_attempt, first_attempt, settle
from raydistill.pipelines.recipes.tripost.critics import Critics
from raydistill.pipelines.recipes.tripost.editing import Draft, Judgement, open_draft
from raydistill.pipelines.recipes.tripost.rollouts import GoOn, Rollout, read_replies
from raydistill.pipelines.sampling.prompter import Prompt
from raydistill.pipelines.tasks import LoadedQuestions


class Told(GoOn):
    """Asks for the update that follows an attempt and feedback on it; the question carries both."""

    def student_prompt(self, question: Question) -> Prompt:
        return replace(super().student_prompt(question), context="told", prefix=question.meta.get("said", ""))


def updated_as_told(
    ctx: RunContext,
    title: str,
    model: EngineConfig,
    loaded: LoadedQuestions,
    rollouts: Sequence[Rollout],
    sampling: SamplingConfig,
    config: TriPosT,
) -> list[Rollout]:
    """Each conversation's first attempt, and where the script finds a fault in it, one update after its feedback.

    Attempts that are not in steps stay as they are: nothing can be said about them.
    """
    drafts = [open_draft(r.id, r.question, r.turns) for r in rollouts if r.known]
    judge = Critics(ctx, config.model_copy(update={"feedback": "script"}), loaded.task).judge
    judged = judge([draft for draft in drafts if not draft.outcome])
    tasks = {d.id: to_update(d, said) for d in drafts if (said := judged.get(d.id)) and not said.feedback.correct}
    once = sampling.model_copy(update={"n": 1})
    job, _ = ctx.job(model, loaded, once, student=True, prompter=Told(config), extra_key="told")
    ctx.run(f"{title}, told", job, list({task.id: task for task in tasks.values()}.values()), model)
    replies = read_replies(job)
    updates = {id_: replies.get(job.plan.sample_ids(task)[0]) for id_, task in tasks.items()}
    return [_updated(r, judged[r.id], updates[r.id]) if r.id in tasks else _kept(r) for r in rollouts]


def _updated(rollout: Rollout, told: Judgement | None, reply: tuple[str, bool] | None) -> Rollout:
    """The conversation with the update; not known where no engine could answer."""
    if reply is None or told is None:
        return Rollout(rollout.id, rollout.question)
    said = [Turn(rollout.turns[0].attempt, told.text), Turn(first_attempt(reply[0]))]
    turns, ending = settle(said, 1)
    return replace(rollout, turns=tuple(turns), ending=ending)


def _kept(rollout: Rollout) -> Rollout:
    """The first attempt alone."""
    return replace(rollout, turns=rollout.turns[:1])


def to_update(draft: Draft, judgement: Judgement) -> Question:
    """A question of its own that asks for the update of an attempt; recorded answers are looked up by its text."""
    said = f"{draft.attempt}{after_attempt(judgement.text)}\n{UPDATE}"
    question = draft.question
    asked = Question(content_hash("told", question.id, said), f"{question.text}\n\n{said}", question.answer)
    return asked.noting(question=question.text, said=said)
