"""What ReBase asks the teacher in its two sampling jobs: to rewrite rows, and to answer its own questions."""

from __future__ import annotations

from dataclasses import dataclass

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.data.rewritten import Rewritten, parse
from raydistill.pipelines.prompts import render
from raydistill.pipelines.recipes.rebase import prompts as rebase_prompts
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.prompts import answer_messages, keys_of
from raydistill.pipelines.recipes.rebase.recipe import RetrievalBasedDistillation
from raydistill.pipelines.sampling.prompter import Prompt
from raydistill.pipelines.tasks.answers import Value
from raydistill.pipelines.tasks.base import Grade
from raydistill.pipelines.tasks.extract import extract_program


class Rewriter(RetrievalBasedDistillation):
    """Asks the teacher for an example of the task: made of the question, which is a row, or of nothing."""

    def prompts(self, question: Question) -> list[Prompt]:
        target = self.config.target
        if self.config.retrieval == "none":
            return [Prompt("direct", rebase_prompts.direct_prompt(target.instruction, target.examples))]
        return [Prompt("rewrite", rebase_prompts.rewrite_prompt(target.instruction, target.examples, question.text))]

    def extract(self, text: str) -> str | None:
        """The completion, if it has the form asked for."""
        return text if isinstance(parse(text, keys_of(self.config)), Rewritten) else None


class Reanswerer(RetrievalBasedDistillation):
    """Asks the teacher to answer a question that it wrote, shown all examples; or for a program that does."""

    def __init__(self, config: ReBase) -> None:
        super().__init__(config)
        self.executes = config.check == "programs"

    def prompts(self, question: Question) -> list[Prompt]:
        if self.executes:
            return [Prompt("program", render("instruct", "program", question.text))]
        return [Prompt("answer", answer_messages(self.config, question.text))]

    def extract(self, text: str) -> str | None:
        return extract_program(text) if self.executes else super().extract(text)


@dataclass(frozen=True, slots=True)
class AcceptAll:
    """Passes everything that a `Rewriter` extracts; what is right is found out later, of all rows together."""

    name: str = "rebase"
    grader: str = "form"

    def grade(self, value: Value | None, question: Question) -> Grade:
        return Grade("passed", "ok", str(value))
