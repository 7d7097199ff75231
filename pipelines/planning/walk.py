"""A recipe's way through a run in which nobody is asked: which passes it makes, with which questions.

What later passes ask follows from what came of earlier ones; so a walk shows as much of them as is stored already.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raydistill.pipelines.config.sections import EngineConfig, Train
from raydistill.pipelines.config.teachers import called
from raydistill.pipelines.context import ExampleSet, RunContext
from raydistill.pipelines.data.examples import write_examples
from raydistill.pipelines.data.records import Example, Question
from raydistill.pipelines.evaluation.measure import drawings
from raydistill.pipelines.inference.answering import Answerer, AnswersOnce
from raydistill.pipelines.models import named_models, trained_model
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats
from raydistill.pipelines.sampling.prompter import Prompter, Selector
from raydistill.pipelines.training.train import TrainResult

TO_COME = "student-to-come"


@dataclass(frozen=True, slots=True)
class Pass:
    """A sampling job of a run; `kind` as the account has it: synthesis, evaluation (of a teacher), or free."""

    title: str
    job: SamplingJob
    questions: Sequence[Question]
    model: EngineConfig
    kind: str
    settings: Mapping[str, Any]  # what its completions depend on

    @property
    def after_training(self) -> bool:
        """Whether a student is asked that is yet to be trained."""
        return TO_COME in (self.model.model, self.model.adapter)


class DryContext(RunContext):
    """A context whose verbs ask, train and store nothing; `passes` are those that would have been run.

    Files that a recipe insists on lie in a folder that goes with this object.
    """

    def __init__(self, config: Run) -> None:
        super().__init__(config, None)
        self.passes: list[Pass] = []
        self._folder = tempfile.TemporaryDirectory(prefix="raydistill-plan-")
        self._none = f"{self._folder.name}/none"
        write_examples([], self._none)

    def run(
        self, title: str, job: SamplingJob, questions: Sequence[Question], model: Any, **options: Any
    ) -> SamplingStats:
        """Note the pass; whatever it asks stays unknown."""
        if isinstance(model, EngineConfig):
            settings = self._settings.get(job.plan.purpose, {})
            self.passes.append(Pass(title, job, questions, model, self._kind, settings))
        return SamplingStats(outcomes={question.id: (["unknown"], [""]) for question in questions})

    def synthesize(self, title: str, prompter: Prompter, selector: Selector) -> ExampleSet:
        for teacher, job in zip(self.config.asked, self.jobs(prompter, selector), strict=True):
            name = f"{title} ({called(teacher)})" if self.config.teachers else title
            self.run(name, job, self.questions.questions, teacher)
        return ExampleSet(self._none, TO_COME, 0)

    def write_examples(self, examples: Iterable[Example]) -> ExampleSet:
        return ExampleSet(self._none, TO_COME, sum(1 for _ in examples))

    def exported(self, examples: ExampleSet) -> ExampleSet:
        return examples

    def cached(
        self, name: str, depends_on: Sequence[Any], compute: Callable[[str], Mapping[str, Any]]
    ) -> tuple[ExampleSet, dict[str, Any]]:
        folder = tempfile.mkdtemp(dir=self._folder.name)
        told = dict(compute(folder))
        return ExampleSet(folder, TO_COME, told["examples"]), told

    def has_room(self, config: Train, beside: EngineConfig | None = None) -> bool:
        return False

    def train(
        self, examples: ExampleSet, *, start: TrainResult | None = None, beside: bool = False, **changed: Any
    ) -> TrainResult:
        return TrainResult(TO_COME, "", "", 0, 0, 0.0, 0.0, None, 0, 0, 0.0, {})

    def evaluate(self, name: str, model: EngineConfig, answerer: Answerer) -> None:
        config = self.config.evaluation
        if config is None or self.held_out is None:
            return
        with self.measuring(model):
            for title, drawn in drawings(config, name).items():
                job = self.job(model, self.held_out, drawn, prompter=answerer.prompter)
                self.run(title, job, self.held_out.questions, model)


def walk(config: Run) -> list[Pass]:
    """The passes of a run as far as they can be seen. Raises UsageError for whatever would stop the run at once."""
    ctx = DryContext(config)
    runner = Runner(config, ctx=ctx)
    runner.load()
    examples = runner.recipe.synthesize(ctx)
    evaluation = config.evaluation
    for name in evaluation.models if evaluation else ():
        answerer = runner.recipe.answerer() if name == "student" else AnswersOnce(runner.recipe.student)
        student = {name: trained_model(config, TO_COME)} if name == "student" else None
        for title, model in (student or named_models(config, name, ctx.root)).items():
            ctx.evaluate(title, model, answerer)
    if config.train:
        runner.recipe.train(ctx, examples)
    return ctx.passes
