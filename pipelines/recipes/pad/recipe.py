"""PaD, program-aided distillation (arXiv 2305.13888, NAACL 2024): the rationale is a program that was run.

Needs a teacher that writes Python and questions with gold answers. The teacher is asked for `solution()`
(section 2.1), once per few-shot context where there are several (augmentation); the executor runs every program,
and only those whose value equals the label remain, so that syntax errors, run-time errors, time-outs and wrong
results leave the data by one rule (section 2.2). The student learns question -> program by plain cross-entropy on the
program (section 2.2, equation 1). `filter: false` is the unfiltered ablation.

Baselines: `target: rationale` is chain of thought by the same teacher, filtered by final answer, and with
`source: gold` by the data set's authors; `target: answer` is fine-tuning on labels alone.

Unlike the released code: values are compared within an explicit tolerance instead of being rounded, programs run in
a sandbox, duplicates are found by syntax tree, and train and validation sets are split by question.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.blocks import Block, Table
from raydistill.pipelines.data.records import Example, Question, content_hash
from raydistill.pipelines.inference.answering import Answerer, AnswersOnce
from raydistill.pipelines.prompts import Context, demonstrated, load_context, render, render_context
from raydistill.pipelines.recipes.base import NoOptions, Recipe
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.repairing import RepairOptions, RepairsFailures
from raydistill.pipelines.recipes.pad.self_refine import add_repairs
from raydistill.pipelines.sampling.distinct import DistinctVerified
from raydistill.pipelines.sampling.prompter import Format, Prompt, Prompter, read_output

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext
    from raydistill.pipelines.training.train import TrainResult
    from raydistill.pipelines.views.run_folder import RunFolder

CALCULATOR = re.compile(r"<<[^<>]*>>")
"""The annotations in GSM8K's solutions: ``48/2 = <<48/2=24>>24``."""

FORMATS: dict[str, Format] = {"program": "program", "rationale": "rationale", "answer": "text"}


class ProgramAidedDistillation(Recipe[PaD]):
    """The recipe of PaD: synthesis, verification by execution, fine-tuning on verified programs; and its baselines."""

    name = "pad"
    Config = PaD

    def __init__(self, config: PaD) -> None:
        super().__init__(config)
        self.format = FORMATS[config.target]
        self.student = Prompter(self._ask_student, read_output, f"{config.target}/1", (self.format,))
        self.selector = DistinctVerified(self.name, self.student, config.max_programs, config.filter)

    def tell(self, run: RunFolder) -> list[Block]:
        """Prompts and rounds; with `refine` what faults the student learned to repair."""
        blocks = [*super().tell(run)]
        if refined := run.report.get("refinement"):
            rows = sorted(refined["repairs"].items(), key=lambda item: -item[1])
            blocks.append(Table("Repairs among the examples, by fault", ("fault", "examples"), rows))
        return blocks

    def asks_teacher(self) -> Prompter | None:
        return None if self.config.source == "gold" else self.teacher

    def demonstrations(self) -> list[str]:
        if self.config.source == "gold":
            return []
        shots, several = self.config.shots, self._contexts.values()
        shown = [one.question for context in several for one in context.demonstrations[:shots]]
        return shown if several else demonstrated(self.config.prompt, self.config.target)

    def synthesize(self, ctx: RunContext) -> ExampleSet:
        """Programs of the teacher that return the label (sections 2.1 and 2.2); or what the data set has."""
        if self.config.source == "gold":
            return ctx.write_examples(map(self.gold_example, ctx.questions.questions))
        return ctx.synthesize("synthesis", self.teacher, self.selector)

    def train(self, ctx: RunContext, examples: ExampleSet) -> TrainResult:
        """One fine-tuning; with self-refinement (section 2.3) also on repairs of broken and of own failing programs."""
        if refine := self.config.refine:
            first = ctx.engine_of(ctx.train(examples)) if refine.own_samples else None
            examples = add_repairs(ctx, refine, examples, first, self.student)
        return ctx.train(examples)

    def answerer(self, options: RepairOptions | None = None) -> Answerer:
        """Programs that fail to run go back to a student that has learned to repair them."""
        if not self.config.refine:
            return AnswersOnce(self.student)
        asked = options.repairs if options else None
        return RepairsFailures(self.student, self.config.refine.repairs if asked is None else asked)

    @property
    def options(self) -> type[NoOptions] | type[RepairOptions]:
        return RepairOptions if self.config.refine else NoOptions

    @cached_property
    def teacher(self) -> Prompter:
        """Asks once per context, or as `prompt` says; n samples of each are drawn."""
        way = "contexts" if self.config.contexts else self.config.prompt
        version = f"{self.config.target}-{way}/1"
        return Prompter(self._ask_teacher, read_output, version, (self.format,), contexts=tuple(self._contexts))

    def _ask_teacher(self, question: Question) -> list[Prompt]:
        target, shots = self.config.target, self.config.shots
        if not self.config.contexts:
            name = f"{target}-{self.config.prompt}"
            return [Prompt(name, render(self.config.prompt, target, question.text), self.format)]
        return [
            Prompt(name, render_context(context, target, question.text, shots), self.format)
            for name, context in self._contexts.items()
        ]

    @cached_property
    def _contexts(self) -> dict[str, Context]:
        """The few-shot contexts by their names in ids: ``program-helper-1f0c2a``."""
        target, shots = self.config.target, self.config.shots
        named: dict[str, Context] = {}
        for given in self.config.contexts:
            context = load_context(given)
            digest = content_hash(render_context(context, target, "", shots), length=6)
            name = f"{target}-{context.name}-{digest}"
            if name in named:
                raise UsageError(f"recipe.contexts: {given} is there twice")
            named[name] = context
        return named

    def _ask_student(self, question: Question) -> list[Prompt]:
        target = self.config.target
        return [Prompt(target, render("instruct", target, question.text), self.format)]

    def gold_example(self, question: Question) -> Example:
        """The label, or the worked solution ending as rationales do. Raises UsageError where there is none."""
        (asked,), source = self.student.prompts(question), f"{question.id}/gold"
        if self.config.target == "answer":
            return self.selector.example(question, asked, question.answer, question.answer, source)
        rationale = CALCULATOR.sub("", str(question.meta.get("rationale") or "")).strip()
        if not rationale:
            raise UsageError(
                f"recipe.source gold: no worked solution with the question {question.text[:60]!r}; expected a task "
                "that has them (gsm8k, reasoning_gym:gsm_symbolic), or a table with questions.rationale_column"
            )
        completion = f"{rationale}\nTherefore, the answer is {question.answer}."
        return self.selector.example(question, asked, completion, question.answer, source)
