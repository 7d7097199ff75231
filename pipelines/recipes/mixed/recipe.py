"""Mixed Distillation (arXiv 2312.10730): the student learns programs and rationales, and both vote on its answer.

Needs a teacher that writes programs and reasons in words, and questions with gold answers. Each question is asked in
both formats; a program counts by what it returns when it is run, a rationale by the answer that it states, and those
with the right answer are learned (section 3.1). The two are tasks of one student, told apart by the instruction, whose
losses have a weight each (section 3.2, equation 3). At inference the student answers in both formats, and its answers
vote (section 3.3, self-consistency over both kinds of path); of as many votes the first answer wins.

No code was published; lambda, epochs and rate are not given, so that the weights are equal by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.inference.answering import Answerer, AnswersOnce
from raydistill.pipelines.prompts import demonstrated, render
from raydistill.pipelines.recipes.base import Recipe
from raydistill.pipelines.recipes.mixed.config import Mixed, MixedFormat
from raydistill.pipelines.sampling.distinct import DistinctVerified
from raydistill.pipelines.sampling.prompter import Format, Prompt, Prompter, read_output

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext


class MixedOptions(Strict):
    """What a request to a student of both formats may set."""

    formats: tuple[MixedFormat, ...] | None = Field(
        None, min_length=1, description="in which the student answers, n times in each; default: all that it learned"
    )


class MixedDistillation(Recipe[Mixed]):
    """The recipe of Mixed Distillation: two formats of verified answers, one student, one vote."""

    name = "mixed"
    Config = Mixed

    def __init__(self, config: Mixed) -> None:
        super().__init__(config)
        self.student = self._student(config.formats)
        self.teacher = Prompter(
            self._ask_teacher, read_output, f"mixed-{config.prompt}/1", config.formats, contexts=config.formats
        )
        weights: dict[Format, float] = {"program": config.program_weight, "rationale": config.rationale_weight}
        self.selector = DistinctVerified(self.name, self.student, config.most, weights=weights)

    def asks_teacher(self) -> Prompter:
        return self.teacher

    def demonstrations(self) -> list[str]:
        return [shown for form in self.config.formats for shown in demonstrated(self.config.prompt, form)]

    def synthesize(self, ctx: RunContext) -> ExampleSet:
        """Verified programs and rationales of the same questions; one training learns both."""
        return ctx.synthesize("synthesis", self.teacher, self.selector)

    @property
    def options(self) -> type[MixedOptions]:
        return MixedOptions

    def answerer(self, options: MixedOptions | None = None) -> Answerer:
        """One answer in each format, and a vote. Raises UsageError for a format that the student has not learned."""
        if not options or not options.formats:
            return AnswersOnce(self.student)
        if missing := set(options.formats) - set(self.config.formats):
            learned = ", ".join(self.config.formats)
            raise UsageError(f"formats: this student has not learned {', '.join(missing)}; expected of {learned}")
        return AnswersOnce(self._student(options.formats))

    def answerers(self) -> Mapping[str, Answerer]:
        """Each format alone, beside the vote over both."""
        formats = self.config.formats if len(self.config.formats) > 1 else ()
        return {f"{form}s": AnswersOnce(self._student((form,))) for form in formats}

    def _ask_teacher(self, question: Question) -> list[Prompt]:
        how = self.config.prompt
        return [Prompt(f"{form}-{how}", render(how, form, question.text), form) for form in self.config.formats]

    @staticmethod
    def _student(formats: tuple[MixedFormat, ...]) -> Prompter:
        """Asks in some formats; what was answered in one is shared by all that ask for it."""

        def prompts(question: Question) -> list[Prompt]:
            return [Prompt(form, render("instruct", form, question.text), form) for form in formats]

        return Prompter(prompts, read_output, "mixed/1", formats, contexts=formats)
