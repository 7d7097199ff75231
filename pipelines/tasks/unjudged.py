"""Tasks for questions whose right answer nobody knows: all that is read passes, and is compared with others later."""

from __future__ import annotations

from dataclasses import dataclass

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import Value
from raydistill.pipelines.tasks.base import NO_ANSWER, Grade, ReadableTask, choices_of


@dataclass(frozen=True, slots=True)
class AcceptAll:
    """Passes whatever a prompter reads, as it is."""

    name: str
    grader: str = "form"

    def grade(self, value: Value | None, question: Question) -> Grade:
        return Grade("passed", "ok", str(value))


@dataclass(frozen=True, slots=True)
class ReadsAnswers:
    """Passes whatever is or states an answer of `task`, in the spelling by which such answers are counted."""

    task: ReadableTask

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def grader(self) -> str:
        return f"read as {self.task.grader}"

    @property
    def version(self) -> str:
        return self.task.version

    def grade(self, value: Value | None, question: Question) -> Grade:
        answer = self.task.read(value, choices_of(question))
        return Grade("passed", "ok", answer) if answer else NO_ANSWER
