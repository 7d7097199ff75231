"""TriPosT's positive control: students are told by the script what is wrong, and update.

What a student's own feedback cannot show: whether it can use feedback that is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question, Sample, content_hash
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import UPDATE, Turn, after_attempt, first_attempt, settle
from raydistill.pipelines.recipes.tripost.critics import Critics
from raydistill.pipelines.recipes.tripost.editing import Draft, Judgement, open_draft
from raydistill.pipelines.recipes.tripost.updating import GO_ON, Rollout
from raydistill.pipelines.sampling.prompter import Prompt, Prompter
from raydistill.pipelines.sampling.samples import read_samples
from raydistill.pipelines.tasks import LoadedQuestions


def _ask_for_update(question: Question) -> list[Prompt]:
    """The question carries an attempt and feedback on it."""
    (asked,) = GO_ON.prompts(question)
    return [replace(asked, context="told", prefix=question.meta.get("said", ""))]


TOLD = Prompter(_ask_for_update, GO_ON.read, "told/1", reader="1", reads_cut_off=True)


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
    job = ctx.job(model, loaded, once, prompter=TOLD)
    ctx.run(f"{title}, told", job, list({task.id: task for task in tasks.values()}.values()), model)
    replies = read_samples(job.completions, job.verdicts)
    updates = {id_: replies.get(job.plan.sample_ids(task)[0]) for id_, task in tasks.items()}
    return [_updated(r, judged[r.id], updates[r.id]) if r.id in tasks else _kept(r) for r in rollouts]


def _updated(rollout: Rollout, told: Judgement | None, reply: Sample | None) -> Rollout:
    """The conversation with the update; not known where no engine could answer."""
    if reply is None or told is None:
        return Rollout(rollout.id, rollout.question)
    said = [Turn(rollout.turns[0].attempt, told.text), Turn(first_attempt(reply.text))]
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
