"""How a recipe asks, reads and selects: the interface that sampling, evaluation and service see of it.

A prompter is a pure object: it says what to ask, how to find the answer in a completion, and which samples become
examples. It starts no actor and knows no Ray; `pipelines.sampling.job` does the asking, executing and grading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from raydistill.pipelines.data.records import Example, Question, Sample


@dataclass(frozen=True, slots=True)
class Prompt:
    """One way to ask a question. `context` names it in ids and reports.

    With `named_by_content` the name holds a hash of the messages, so that runs with other prompts beside this one
    share its completions. `prefix` begins the answer, which the model goes on from.
    """

    context: str
    messages: Sequence[dict[str, Any]]
    named_by_content: bool = False
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What became of a question's samples: examples, and how many samples were dropped for which reason."""

    examples: list[Example] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


class Prompter(Protocol):
    """Prompts of teacher and student, extraction of the answer, and which samples become examples."""

    @property
    def name(self) -> str:
        """As in the configuration, e.g. ``pad``."""
        ...

    @property
    def executes(self) -> bool:
        """Whether the extracted output is a program to run."""
        ...

    def prompts(self, question: Question) -> Sequence[Prompt]:
        """What the teacher is asked; each prompt is sampled n times."""
        ...

    def student_prompt(self, question: Question) -> Prompt:
        """What the student is asked, in training, evaluation and service."""
        ...

    def extract(self, text: str) -> str | None:
        """The program or the answering text in a completion; None if there is none."""
        ...

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        """Whether a question needs no further round of samples, given all verified ones so far."""
        ...

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """The examples that the student learns from, given all verified samples of a question."""
        ...


class AskedOnce:
    """`enough` and `select` of prompters that sample one round and select nothing question by question."""

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        return True

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        return Selection()
