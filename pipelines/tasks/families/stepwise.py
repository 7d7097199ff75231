"""Generated questions that are solved in numbered steps, with gold rationales: ``stepwise:word_sorting`` and others.

The option `levels` says how hard they are: ``seen`` (the easier levels, to train on), ``unseen`` (the harder ones, for
evaluation only), ``all``, or a list of their numbers. A question takes the levels in turn. With ``choices: false``
dates are asked for without options A to F, and the date itself is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import Choices, Kind, Returned, Value
from raydistill.pipelines.tasks.answers import stated_answer as answer_in_words
from raydistill.pipelines.tasks.base import NO_ANSWER, Grade, LoadedQuestions, as_text, choices_of
from raydistill.pipelines.tasks.stepwise.base import StepwiseTask
from raydistill.pipelines.tasks.stepwise.steps import split_lines, stated_answer, step_text
from raydistill.pipelines.tasks.stepwise.table import TASKS, stepwise_task

PREFIX = "stepwise:"
DEFAULT_SIZE = 500
MAX_DRAWN = 20  # times the wanted number; easy levels of a task have only so many different questions


@dataclass(frozen=True, slots=True)
class StepwiseQuestions:
    """Judges by the answer that an attempt states last, compared as the task compares answers."""

    task: StepwiseTask[Any]
    grader: str = "stepwise"
    version: str = "1"

    @property
    def name(self) -> str:
        return PREFIX + self.task.name

    def read(self, value: Value | None, choices: Choices | None = None) -> str | None:
        kind = self._kind(choices)
        answer = self._stated(value, kind)
        return self.task.spelling(answer, kind, choices) or None if answer else None

    def grade(self, value: Value | None, question: Question) -> Grade:
        choices = choices_of(question)
        answer = self._stated(value, self._kind(choices))
        if not answer:
            return NO_ANSWER
        return Grade.of(self.task.same_answer(answer, question.answer), self.read(value, choices) or "")

    def _kind(self, choices: Choices | None) -> Kind:
        """How answers are read: by letter only where the question lists options."""
        return "text" if self.task.answer_kind == "choice" and not choices else self.task.answer_kind

    def _stated(self, value: Value | None, kind: Kind) -> str:
        """The answer as it stands in an attempt, or that a program returned; "" without one."""
        text = as_text(value)
        if stated := last_answer(text) or answer_in_words(text, kind):
            return stated
        return text if isinstance(value, Returned) or not isinstance(value, str) else ""


def without_questions(name: str) -> StepwiseQuestions:
    """The task ``stepwise:<name>``. Raises UsageError for an unknown one."""
    return StepwiseQuestions(stepwise_task(name.removeprefix(PREFIX)))


def last_answer(attempt: str) -> str | None:
    """The answer of the last answer sentence in an attempt; None without one."""
    lines = split_lines(attempt)
    for number in range(len(lines), 0, -1):
        if answer := stated_answer(step_text(lines[number - 1], number) or ""):
            return answer
    return None


def load(config: Questions) -> LoadedQuestions:
    """`config.size` different questions of the levels that ``options: {levels: ...}`` names.

    `meta` carries the row (how many were drawn before it), the `level`, its `split`, the gold `rationale`, and as
    `stepwise` the name of the task, whose script judges attempts. The questions of a level depend on seed and level
    alone, so more of them begin with the same ones. Raises UsageError where the levels have not so many.
    """
    name, size = config.task.removeprefix(PREFIX), config.size or DEFAULT_SIZE
    if name not in TASKS:
        raise UsageError(f"questions.task: no stepwise task {name!r}; expected {PREFIX} and one of {', '.join(TASKS)}")
    task = stepwise_task(name)
    levels, choices = _levels(task, config), config.options.get("choices", True)
    if not isinstance(choices, bool):
        raise UsageError(f"{config.task}: options.choices is {choices!r}; expected true or false")
    streams = [Random(f"{config.seed}/{task.name}/{level}") for level in levels]
    made: dict[str, Question] = {}
    for row in range(MAX_DRAWN * size):
        place = row % len(levels)
        item = task.generate(levels[place], streams[place], choices=choices)
        meta = {"row": row, "level": item.level, "split": item.meta["split"], "stepwise": task.name}
        question = Question.make(config.task, item.question, item.answer, **meta, rationale=item.rationale)
        made.setdefault(question.id, question)
        if len(made) == size:
            return LoadedQuestions(StepwiseQuestions(task), QuestionTable(made.values()))
    raise UsageError(
        f"{config.task}: levels {levels} have only about {len(made)} different questions, size asks for {size}"
    )


def _levels(task: StepwiseTask[Any], config: Questions) -> list[int]:
    if unknown := set(config.options) - {"levels", "choices"}:
        raise UsageError(f"{config.task}: unknown option {sorted(unknown)[0]!r}; expected levels or choices")
    known = task.seen + task.unseen
    named = {"seen": task.seen, "unseen": task.unseen, "all": known}
    given = config.options.get("levels", "seen")
    levels = named.get(given, ()) if isinstance(given, str) else given
    if not isinstance(levels, list | tuple) or not levels or not set(levels) <= set(known):
        raise UsageError(
            f"{config.task}: options.levels is {given!r}; expected {', '.join(named)}, or a list out of {[*known]}"
        )
    return [*levels]
