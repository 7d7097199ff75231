"""Tasks solved in numbered steps, with scripted feedback on every step (arXiv 2310.13522, sections 2.1 and 2.2).

    question --> state --> step --> state --> step --> ... --> "Therefore, the answer is X."

A task says four things about a state: which step comes next, what is wrong with a given step, what a step leaves,
and which answer the state leads to. Gold rationale, feedback (walk the attempt, stop at the first step that is
wrong), gold continuation (go on from what stands before it) and planted errors (spoil one step, go on from what it
leaves) are the same for all tasks and follow from that.

A step is right if what it says is true, not only if it is the step that the gold rationale takes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, Generic, TypeVar

from raydistill.actors.errors import UsageError
from raydistill.pipelines.tasks.answers import Choices, Kind, canonical, compare
from raydistill.pipelines.tasks.stepwise.steps import (
    ANSWER_SENTENCE,
    MAX_STEPS,
    join_steps,
    split_lines,
    stated_answer,
    step_text,
)

ANSWER_KIND = "answer"  # the planted error that every task has: right steps, wrong answer

State = TypeVar("State")


class UnreadableQuestion(UsageError):
    """The script cannot follow this question; with a gold answer the final answer can still be judged."""


class CannotPlant(ValueError):
    """No step of this rationale admits an error of this kind; another kind or question does."""


@dataclass(frozen=True, slots=True)
class StepwiseItem:
    """A generated question; ``StepwiseItem("((3 + -4) * (2 - 7)) =", "5", "Step 1: 3 + -4 = -1, so ...", 1)``."""

    question: str  # as in BIG-bench, options included
    answer: str
    rationale: str  # gold: one "Step k: ..." per line, the last one the answer sentence
    level: int  # 1 is the easiest
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Feedback:
    """The first wrong step of an attempt; ``Feedback(3, "9 * 5 = 46", "9 * 5 = 45")``, or all right: ``Feedback()``."""

    step: int | None = None  # counted from 1; the answer sentence is the last step
    quote: str = ""  # the wrong part of that step; "" where the step is missing
    reason: str = ""

    @property
    def correct(self) -> bool:
        """Whether all steps and the answer are right."""
        return self.step is None


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one step."""

    quote: str
    reason: str


class StepwiseTask(ABC, Generic[State]):
    """The machinery that all tasks share; a task fills in the abstract methods. States are immutable."""

    name: ClassVar[str]
    answer_kind: ClassVar[Kind]
    seen: ClassVar[tuple[int, ...]] = (1, 2)
    unseen: ClassVar[tuple[int, ...]] = (3, 4)
    kinds: ClassVar[tuple[str, ...]]

    @abstractmethod
    def ask(self, level: int, rng: Random) -> str:
        """A new question of this level."""

    @abstractmethod
    def start(self, question: str) -> State:
        """Read a question. Raises UnreadableQuestion."""

    @abstractmethod
    def propose(self, state: State) -> str | None:
        """The gold next step; None where only the answer is left to be said."""

    @abstractmethod
    def judge(self, state: State, text: str) -> Fault | None:
        """What is wrong with this step in a state in which all was right so far; None if it is right."""

    @abstractmethod
    def follow(self, state: State, text: str) -> State | None:
        """What this step leaves, be it right or wrong; None if the script cannot read it."""

    @abstractmethod
    def conclude(self, state: State) -> str:
        """The answer that a state leads to; the question's answer if all was right so far."""

    @abstractmethod
    def spoil(self, kind: str, state: State, text: str, rng: Random) -> str | None:
        """A gold step with an error of this kind; None if this step does not admit one."""

    @abstractmethod
    def wrong_answer(self, state: State, answer: str, rng: Random) -> str:
        """An answer to the question that is not `answer`. Raises CannotPlant."""

    def open_ended(self, question: str) -> str:
        """A question as it is asked without its options. Raises UsageError where a task has no such form."""
        raise UsageError(f"{self.name}: options.choices is false; its questions are only asked as they are")

    def kind_of(self, answer: str) -> Kind:
        """How a gold answer is compared."""
        return self.answer_kind

    def same_answer(self, stated: str, answer: str) -> bool:
        """Whether a stated answer is the right one."""
        return compare(stated, answer, self.kind_of(answer))

    def spelling(self, stated: str, kind: Kind, choices: Choices | None = None) -> str:
        """One spelling for stated answers that are the same."""
        return canonical(stated, kind, choices)

    def generate(self, level: int, rng: Random, *, choices: bool = True) -> StepwiseItem:
        """A question of this level with its gold rationale, without its options if they are not wanted.

        Raises UsageError for a level that is not there, or a task that is not asked without them.
        """
        if level not in self.seen + self.unseen:
            raise UsageError(f"{self.name}: level {level}; there are {self.seen + self.unseen}")
        question = self.ask(level, rng)
        question = question if choices else self.open_ended(question)
        answer = self.conclude(self.start(question))
        split = "seen" if level in self.seen else "unseen"
        return StepwiseItem(question, answer, self.rationale(question), level, {"task": self.name, "split": split})

    def rationale(self, question: str) -> str:
        """The gold rationale. Raises UnreadableQuestion."""
        return join_steps(self._continuation(self.start(question)))

    def feedback(self, question: str, attempt: str, gold: str | None = None) -> Feedback:
        """The first wrong step of `attempt`, its wrong part and why it is wrong.

        A question that the script cannot read is judged by its `gold` answer alone; without one this raises
        UnreadableQuestion.
        """
        lines = split_lines(attempt)
        try:
            state = self.start(question)
        except UnreadableQuestion:
            if gold is None:
                raise
            return self._final_feedback(lines, gold)
        answered = False
        for number, line in enumerate(lines, 1):
            text = step_text(line, number)
            if text is None:
                return Feedback(number, line, f'The line should begin with "Step {number}: "')
            if answered:
                return Feedback(number, text, "Nothing follows the answer")
            if fault := self._judge(state, text):
                return Feedback(number, fault.quote, fault.reason)
            answered = stated_answer(text) is not None
            state = state if answered else self._next(state, text)
        return Feedback() if answered else Feedback(len(lines) + 1, "", "The answer is missing")

    def continuation(self, question: str, attempt: str, step: int) -> str:
        """The gold lines from number `step` on, after what stands before it in `attempt`."""
        state = self.start(question)
        for number, line in enumerate(split_lines(attempt)[: step - 1], 1):
            text = step_text(line, number)
            if text is not None and stated_answer(text) is None:
                state = self._next(state, text)
        return join_steps(self._continuation(state), step)

    def expected(self, question: str, attempt: str, steps: int) -> list[str]:
        """The gold text of each of the first `steps` steps, given those before it in `attempt`."""
        state = self.start(question)
        texts = []
        lines = split_lines(attempt)
        for number in range(1, steps + 1):
            texts.append(self._next_text(state))
            text = step_text(lines[number - 1], number) if number <= len(lines) else None
            if text is not None and stated_answer(text) is None:
                state = self._next(state, text)
        return texts

    def plant(self, question: str, rationale: str, kind: str, rng: Random) -> tuple[str, int]:
        """`rationale` with an error of this kind and what follows from it, and the number of the wrong step.

        Raises CannotPlant where no step admits such an error.
        """
        if kind not in self.kinds:
            raise UsageError(f"{self.name}: no error of kind {kind!r}; there are {', '.join(self.kinds)}")
        texts = [text for number, line in enumerate(split_lines(rationale), 1) if (text := step_text(line, number))]
        states = [self.start(question)]
        for text in texts[:-1]:
            states.append(self._next(states[-1], text))
        if kind == ANSWER_KIND:
            wrong = self.wrong_answer(states[-1], self.conclude(states[-1]), rng)
            return join_steps([*texts[:-1], ANSWER_SENTENCE.format(answer=wrong)]), len(texts)
        for index in rng.sample(range(len(texts) - 1), len(texts) - 1):
            spoilt = self.spoil(kind, states[index], texts[index], rng)
            if spoilt is not None:
                rest = self._continuation(self._next(states[index], spoilt))
                return join_steps([*texts[:index], spoilt, *rest]), index + 1
        raise CannotPlant(f"{self.name}: no step of this rationale admits an error of kind {kind!r}")

    def _judge(self, state: State, text: str) -> Fault | None:
        stated = stated_answer(text)
        if stated is None:
            return self.judge(state, text)
        answer = self.conclude(state)
        return None if self.same_answer(stated, answer) else Fault(stated, f"The steps lead to {answer}")

    def _next(self, state: State, text: str) -> State:
        followed = self.follow(state, text)
        return state if followed is None else followed

    def _continuation(self, state: State) -> list[str]:
        texts: list[str] = []
        while len(texts) < MAX_STEPS and (text := self.propose(state)) is not None:
            texts.append(text)
            state = self._next(state, text)
        return [*texts, self._answer_text(state)]

    def _next_text(self, state: State) -> str:
        return self.propose(state) or self._answer_text(state)

    def _answer_text(self, state: State) -> str:
        return ANSWER_SENTENCE.format(answer=self.conclude(state))

    def _final_feedback(self, lines: list[str], gold: str) -> Feedback:
        """Feedback that knows nothing but the gold answer; it does not give it away."""
        stated = stated_answer(step_text(lines[-1], len(lines)) or "") if lines else None
        if stated is None:
            return Feedback(len(lines) + 1, "", "The answer is missing")
        return Feedback() if self.same_answer(stated, gold) else Feedback(len(lines), stated, "The answer is wrong")


def another(answers: Sequence[str], answer: str, rng: Random) -> str:
    """One of `answers` that is not `answer`. Raises CannotPlant."""
    others = [other for other in answers if other != answer]
    if not others:
        raise CannotPlant(f"there is no other answer than {answer}")
    return rng.choice(others)
