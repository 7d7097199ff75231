"""Who judges and improves a student's attempts: scripts, the teacher, or both with agreement counted (TriPosT).

Both ways take and give the same, so they can be exchanged. The teacher is asked in sampling jobs: each turn of all
conversations is one of them, stored under a key, so that a resumed run asks for what is missing only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import agree
from raydistill.pipelines.recipes.tripost.editing import Draft, Judgement, read_continuation
from raydistill.pipelines.sampling.job import SamplingJob
from raydistill.pipelines.sampling.prompter import Prompt, Prompter
from raydistill.pipelines.sampling.samples import read_samples
from raydistill.pipelines.tasks import Grade, LoadedQuestions, Task
from raydistill.pipelines.tasks.answers import Value
from raydistill.pipelines.tasks.stepwise import prompts
from raydistill.pipelines.tasks.stepwise.base import StepwiseTask
from raydistill.pipelines.tasks.stepwise.table import stepwise_task


@dataclass(frozen=True, slots=True)
class AcceptNonEmpty:
    """Accepts any reply that says something; whoever asked parses it."""

    name: str = "critic"
    grader: str = "any"

    def grade(self, value: Value | None, question: Question) -> Grade:
        return Grade("passed", "ok", "") if value else Grade("failed", "no_answer", "")


def as_it_stands(kind: str) -> Prompter:
    """Sends a question as it stands; `kind` tells feedback from improvement."""

    def prompts(question: Question) -> list[Prompt]:
        return [Prompt(kind, [{"role": "user", "content": question.text}])]

    return Prompter(prompts, lambda text, form: text.strip() or None, f"{kind}/1", reader="1", reads_cut_off=True)


@dataclass(slots=True)
class Critics:
    """The feedback and improvement that a configuration asks for; `agreement` counts where both judge."""

    ctx: RunContext
    config: TriPosT
    task: Task  # tells whether an attempt ends in the gold answer
    agreement: Counter[str] = field(default_factory=Counter)

    def judge(self, drafts: Sequence[Draft]) -> dict[str, Judgement | None]:
        """Feedback on the attempts that wait, by id of the draft; None where it could not be read.

        Drafts that no engine could answer are missing.
        """
        told: dict[str, Judgement | None] = {}
        if self.config.feedback != "script":
            asked = {d.id: prompts.feedback_prompt(d.question.text, d.attempt) for d in drafts}
            replies = self._ask("feedback", asked, 0.0)
            told = {draft_id: _read(reply) for draft_id, reply in replies.items()}
        if self.config.feedback == "teacher":
            return told
        scripted = {draft.id: self._scripted(draft) for draft in drafts}
        for draft_id, theirs in told.items():
            same = agree(theirs.feedback if theirs else None, scripted[draft_id].feedback)
            self.agreement["agree" if same else "disagree" if theirs else "unreadable"] += 1
        return dict(scripted)

    def improve(self, drafts: Sequence[Draft]) -> dict[str, str | None]:
        """The steps from the wrong one on, by id of the draft; drafts that no engine could answer are missing."""
        if self.config.improvement == "script":
            return {draft.id: _continuation(draft) for draft in drafts}
        asked = {
            d.id: prompts.improvement_prompt(d.question.text, d.attempt, d.fault) for d in drafts if d.fault is not None
        }
        replies = self._ask("improvement", asked, self.config.improvement_temperature)
        return {draft_id: read_continuation(reply) for draft_id, reply in replies.items()}

    def all_right(self, question: Question, rationale: str) -> str:
        """How a right rationale is found right."""
        if self.config.feedback == "teacher":
            return prompts.ALL_RIGHT
        task = _task(question)
        found = task.feedback(question.text, rationale)
        if not found.correct:
            raise UsageError(f"{task.name}: the gold rationale of {question.text[:60]!r} is wrong in step {found.step}")
        return self._said(task, question.text, rationale, Judgement(found, "")).text

    def _scripted(self, draft: Draft) -> Judgement:
        task, question = _task(draft.question), draft.question
        found = task.feedback(question.text, draft.attempt, question.answer)
        return self._said(task, question.text, draft.attempt, Judgement(found, ""))

    def _said(self, task: StepwiseTask, question: str, attempt: str, judgement: Judgement) -> Judgement:
        """The judgement in words, with what each step should be where that is wanted."""
        found = judgement.feedback
        steps = prompts.judged_steps(attempt, found)
        worked_out = task.expected(question, attempt, steps) if self.config.worked_out else ()
        return Judgement(found, prompts.feedback_reply(attempt, found, worked_out))

    @property
    def keys(self) -> list[str]:
        """What conversations depend on of what the teacher says; nothing where it is not asked."""
        config, jobs = self.config, list[SamplingJob]()
        if config.feedback != "script":
            jobs.append(self._job("feedback", 0.0))
        if config.improvement != "script":
            jobs.append(self._job("improvement", config.improvement_temperature))
        return [job.key for job in jobs]

    def _job(self, kind: str, temperature: float) -> SamplingJob:
        teacher, accepted = self.ctx.teacher, LoadedQuestions(AcceptNonEmpty(), [])
        sampling = SamplingConfig(temperature=temperature, max_tokens=teacher.max_tokens, seed=self.config.seed)
        return self.ctx.job(teacher, accepted, sampling, prompter=as_it_stands(kind))

    def _ask(self, kind: str, asked: dict[str, str], temperature: float) -> dict[str, str]:
        """The teacher's reply to each prompt; those that no engine could answer are missing."""
        questions = {prompt: Question(content_hash(kind, prompt), prompt, "") for prompt in asked.values()}
        job = self._job(kind, temperature)
        self.ctx.run(f"{kind} by the teacher", job, list(questions.values()), self.ctx.teacher)
        replies = read_samples(job.completions, job.verdicts)
        ids = {draft_id: job.plan.sample_ids(questions[prompt])[0] for draft_id, prompt in asked.items()}
        return {draft_id: replies[sample_id].text for draft_id, sample_id in ids.items() if sample_id in replies}


def _task(question: Question) -> StepwiseTask:
    """The script for a question. Raises UsageError where there is none."""
    name = question.meta.get("stepwise")
    if not name:
        raise UsageError(
            f"recipe tripost: no script judges the question {question.text[:60]!r}; expected a task stepwise:<name>, "
            "or feedback and improvement by the teacher"
        )
    return stepwise_task(str(name))


def _continuation(draft: Draft) -> str:
    assert draft.fault is not None and draft.fault.step is not None
    return _task(draft.question).continuation(draft.question.text, draft.attempt, draft.fault.step)


def _read(reply: str) -> Judgement | None:
    """What the teacher says up to its verdict; None without one."""
    found = prompts.read_feedback(reply)
    if found is None:
        return None
    closing = prompts.verdict(found)
    before, verdict, _ = reply.partition(closing)
    return Judgement(found, f"{before}{verdict}".strip() if verdict else closing)
