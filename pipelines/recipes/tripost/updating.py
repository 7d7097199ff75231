"""A student that attempts questions, judges what it wrote and updates it (TriPosT, 2310.13522).

    question --> attempt [feedback [update]] --> feedback [update] --> ... until `conversation.settle` says why it ends

One model does all of it. It decides itself whether it goes on after its first attempt; an update that it stops after is
given back to it for feedback. Conversations that have come to the same attempt share what follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import Field

from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.data.records import Question, Sample, content_hash
from raydistill.pipelines.inference.answering import Answered, Judge, answer_questions
from raydistill.pipelines.recipes.tripost.account import account
from raydistill.pipelines.recipes.tripost.conversation import (
    FEEDBACK,
    Ending,
    Turn,
    asks_for_feedback,
    first_attempt,
    go_on,
    read_turns,
    settle,
)
from raydistill.pipelines.sampling.prompter import Format, Prompt, Prompter
from raydistill.pipelines.sampling.sampler import Sampler
from raydistill.pipelines.tasks import LoadedQuestions, Task
from raydistill.pipelines.tasks.stepwise.prompts import attempt_prompt


def _ask(question: Question) -> list[Prompt]:
    return [Prompt("attempt", [{"role": "user", "content": attempt_prompt(question.text)}])]


def _read_attempt(text: str, form: Format) -> str | None:
    """The first attempt, which is what counts before any self-update."""
    return first_attempt(text) or None


STUDENT = Prompter(_ask, _read_attempt, "attempt/1", reader="first-attempt/1", reads_cut_off=True)
"""Asks for an attempt."""


def _ask_to_go_on(question: Question) -> list[Prompt]:
    (asked,) = _ask(replace(question, text=question.meta.get("question", question.text)))
    return [replace(asked, context="go-on", prefix=asks_for_feedback(question.meta.get("attempt", "")))]


GO_ON = Prompter(_ask_to_go_on, lambda text, form: text or None, "go-on/1", reader="1", reads_cut_off=True)
"""Asks for feedback on an attempt, which the question carries, and for the update that follows; read from all turns."""


def to_go_on(question: Question, attempt: str) -> Question:
    """A question of its own that asks for feedback on `attempt`; recorded answers are looked up by its text."""
    text = f"{question.text}\n\n{asks_for_feedback(attempt)}"
    asked = Question(content_hash("go-on", question.id, attempt), text, question.answer)
    return asked.noting(question=question.text, attempt=attempt)


class UpdateOptions(Strict):
    """What a request to a student that was trained so may set."""

    improve: bool = Field(True, description="let the student judge and update its own answers; false: first attempts")


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


def read_rollout(question: Question, trail: Sequence[Sample], limit: int) -> Rollout:
    """The conversation in a student's completions; without an ending where it is to go on."""
    first, cut = trail[0], trail[0].finish_reason == "length"
    said = read_turns(first.text, cut_off=cut)
    turns, ending = settle(said, limit)
    for sample in trail[1:]:
        turns, ending = go_on(turns, sample.text, limit, cut_off=sample.finish_reason == "length")
    return Rollout(first.id, question, tuple(turns), ending, cut and said == [Turn(said[0].attempt)])


@dataclass(frozen=True, slots=True)
class UpdatesItself:
    """The student's last attempt is the answer, after at most `limit` updates."""

    limit: int
    prompter: Prompter = STUDENT
    follow_ups: Prompter = GO_ON
    version: str = "updates/1"

    def follow_up(self, question: Question, trail: Sequence[Sample]) -> Question | None:
        rollout = read_rollout(question, trail, self.limit)
        return None if rollout.known else to_go_on(question, rollout.turns[-1].attempt)

    def close(self, question: Question, trail: Sequence[Sample], judge: Judge) -> Answered:
        rollout = read_rollout(question, trail, self.limit)
        grade, turns = judge(rollout.turns[-1].attempt), [_shown(turn) for turn in rollout.turns]
        said = "".join([trail[0].text, *(f"\n{FEEDBACK}{sample.text}" for sample in trail[1:])])
        shown: dict[str, Any] = {"completion": said}
        if self.limit:
            shown |= {"trajectory": turns, "ending": rollout.ending}
        return Answered(grade.status, grade.reason, grade.parsed, tuple(trail), rollout.ending or "", shown)

    def account(self, answers: Sequence[tuple[Question, Answered]], task: Task) -> Mapping[str, Any]:
        """`updates`: accuracy before and after, how often updates are tried, help and hurt."""
        return {"updates": account([self._rollout(*one) for one in answers], task)}

    def _rollout(self, question: Question, answer: Answered) -> Rollout:
        return Rollout("", question) if answer.status == "unknown" else read_rollout(question, answer.trail, self.limit)


def _shown(turn: Turn) -> dict[str, str]:
    return {"attempt": turn.attempt, "feedback": turn.feedback}


def roll_out(
    ctx: Sampler,
    title: str,
    model: EngineConfig,
    loaded: LoadedQuestions,
    sampling: SamplingConfig,
    *,
    updates: int,
) -> list[Rollout]:
    """`sampling.n` conversations of `model` per question, with at most so many updates."""
    found = answer_questions(ctx, title, model, UpdatesItself(updates), loaded, sampling)
    return [
        read_rollout(question, answer.trail, updates) if answer.status != "unknown" else Rollout(answer.id, question)
        for question in loaded.questions
        for answer in found.by_question[question.id]
    ]
