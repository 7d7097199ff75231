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
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.records import Example, Question, Sample, WeightedText, content_hash
from raydistill.pipelines.prompts import Context, fence, load_context, render, render_context
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.sampling.program_dedup import canonical_program
from raydistill.pipelines.sampling.prompter import Prompt, Selection
from raydistill.pipelines.tasks.extract import extract_program, final_reply

CALCULATOR = re.compile(r"<<[^<>]*>>")
"""The annotations in GSM8K's solutions: ``48/2 = <<48/2=24>>24``."""


class ProgramAidedDistillation:
    """The recipe of PaD: synthesis, verification by execution, fine-tuning on verified programs; and its baselines."""

    name = "pad"

    def __init__(self, config: PaD) -> None:
        self.config = config
        self.executes = config.target == "program"

    def prompts(self, question: Question) -> list[Prompt]:
        """One prompt per context, or the one of `prompt`; n samples of each are drawn. None where gold is learned."""
        if self.config.source == "gold":
            return []
        target, shots = self.config.target, self.config.shots
        if not self.config.contexts:
            return [Prompt(f"{target}-{self.config.prompt}", render(self.config.prompt, target, question.text))]
        return [
            Prompt(name, render_context(context, target, question.text, shots), named_by_content=True)
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

    def student_prompt(self, question: Question) -> Prompt:
        return Prompt(self.config.target, render("instruct", self.config.target, question.text))

    def extract(self, text: str) -> str | None:
        return extract_program(text) if self.executes else final_reply(text) or None

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        """Whether there are m distinct verified outputs."""
        return len(self.select(question, samples).examples) >= self.config.max_programs

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """At most m distinct verified outputs, in the order of their samples; or what the data set has."""
        if self.config.source == "gold":
            return Selection([self._learn(question, self._gold(question), question.answer, f"{question.id}/gold")])
        dropped: Counter[str] = Counter()
        kept: dict[str, Sample] = {}
        for sample in samples:
            if sample.status == "unknown" or not sample.output or self.config.filter and sample.status != "passed":
                dropped[sample.reason] += 1
            elif (form := self._form(sample.output)) in kept:
                dropped["duplicate"] += 1
            elif len(kept) == self.config.max_programs:
                dropped["over_limit"] += 1
            else:
                kept[form] = sample
        return Selection([self._example(question, sample) for sample in kept.values()], dict(dropped))

    def _form(self, output: str) -> str:
        """What two outputs share when they are the same solution."""
        return (canonical_program(output) if self.executes else None) or " ".join(output.split())

    def _gold(self, question: Question) -> str:
        """The label, or the worked solution ending as rationales do. Raises UsageError where there is none."""
        if self.config.target == "answer":
            return question.answer
        rationale = CALCULATOR.sub("", str(question.meta.get("rationale") or "")).strip()
        if not rationale:
            raise UsageError(
                f"recipe.source gold: no worked solution with the question {question.text[:60]!r}; expected a task "
                "that has them (gsm8k, reasoning_gym:gsm_symbolic), or a table with questions.rationale_column"
            )
        return f"{rationale}\nTherefore, the answer is {question.answer}."

    def _example(self, question: Question, sample: Sample) -> Example:
        completion = fence(sample.output) if self.executes else sample.output
        return self._learn(question, completion, sample.value, sample.id, context=sample.context)

    def _learn(self, question: Question, completion: str, answer: str, source: str, **meta: str) -> Example:
        return Example(
            id=content_hash(self.name, source, completion),
            question_id=question.id,
            messages=tuple(self.student_prompt(question).messages),
            completion=(WeightedText(completion),),
            group=question.id,
            answer=answer,
            source=source,
            meta=meta,
        )
