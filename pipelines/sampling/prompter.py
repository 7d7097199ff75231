"""How a model is asked, how what it writes is read, and which of it is kept: what a recipe hands to a sampling job.

These are pure objects: they start no actor and know no Ray; `pipelines.sampling.job` does the asking, running and
grading. Each carries a version, which cache keys hold: raise it with every change of what is asked or read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from raydistill.pipelines.data.records import Example, Question, Sample
from raydistill.pipelines.tasks.extract import extract_program, final_reply, finished_reply

Format = Literal["program", "rationale", "text"]
"""In which form an answer is asked for: a program is run, a rationale states its answer, a text is one."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One way to ask a question. `context` names it in ids and reports.

    `prefix` begins the answer, which the model goes on from. `format` is stored with each completion.
    """

    context: str
    messages: Sequence[dict[str, Any]]
    format: Format = "text"
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Prompter:
    """What a model is asked about a question, and what is taken from its replies.

    `read` gives the program or the answering text in a completion of a format, None where there is none. Of one that
    the token limit has cut off it gets what was finished before (`tasks.extract.finished_reply`).
    """

    prompts: Callable[[Question], Sequence[Prompt]]
    read: Callable[[str, Format], str | None]
    version: str  # of the prompts, with the settings that they depend on and their contexts do not tell
    formats: tuple[Format, ...] = ("text",)  # of the prompts
    reader: str = "2"  # the version of `read`; completions are read again where it changes
    reads_cut_off: bool = False  # what the token limit cuts off is read, too: who reads it has a rule of its own
    contexts: tuple[str, ...] = ()  # those asked in, where prompters of the same version share their completions

    def output(self, text: str, form: Format, finish_reason: str) -> str | None:
        """What is run or judged of a completion; None where there is nothing, or nothing that was finished."""
        if finish_reason == "length" and not self.reads_cut_off:
            finished = finished_reply(text, program=form == "program")
            return None if finished is None else self.read(finished, form)
        return self.read(text, form)

    @property
    def executes(self) -> bool:
        """Whether there are programs to run."""
        return "program" in self.formats


def read_output(text: str, form: Format) -> str | None:
    """The program in a completion, or what it says in the end: the reader of most prompters."""
    return extract_program(text) if form == "program" else final_reply(text) or None


@dataclass(frozen=True, slots=True)
class Selection:
    """What became of a question's samples: examples, and how many samples were dropped for which reason."""

    examples: list[Example] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


class Selector(Protocol):
    """Which samples of a question become examples, and whether it needs more samples for that."""

    @property
    def version(self) -> str:
        """Of the rule and of what the examples look like, with the settings that both depend on."""
        ...

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """The examples that the student learns from, given all verified samples of a question."""
        ...

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        """Whether a question needs no further round of samples, given all verified ones so far."""
        ...
