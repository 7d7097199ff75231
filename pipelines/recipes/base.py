"""What every recipe is: a method in two halves, and the way in which its student answers.

    recipe.synthesize(ctx) -> examples          what is sampled, verified and selected
    recipe.train(ctx, examples) -> student      in which order what is trained
    recipe.answerer(options) -> Answerer        how the trained student answers, in evaluation and in service

Two halves, since `raydistill synth`, `train` and `eval` stop between them, and since teacher and base are evaluated
while the teacher's engine is up. A new recipe is a folder with these and a line in the registry (CONTRIBUTING.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.config.sections import EngineConfig, Questions
from raydistill.pipelines.data.blocks import Block, Table
from raydistill.pipelines.inference.answering import Answerer, AnswersOnce
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.tasks import LoadedQuestions, load_questions

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext
    from raydistill.pipelines.run_config import Run
    from raydistill.pipelines.training.train import TrainResult
    from raydistill.pipelines.views.run_folder import RunFolder

Settings = TypeVar("Settings", bound=Strict)


class NoOptions(Strict):
    """A student that answers in one way only."""


class Recipe(ABC, Generic[Settings]):
    """A way to distil reasoning. Read `synthesize` and `train` first: they are the paper's method section."""

    name: ClassVar[str]
    Config: ClassVar[type[Strict]]
    several_teachers: ClassVar[bool] = True  # of a section teachers; not where the teacher is asked in several ways
    asks_for_json: ClassVar[bool] = False  # whether the teacher's answers are held to a schema
    student: Prompter  # how the student is asked: in training, evaluation and service

    def __init__(self, config: Settings) -> None:
        self.config = config

    @classmethod
    def check(cls, run: Run) -> None:
        """Raise ValueError, in one line, for sections of a run that do not go with this recipe."""
        if not run.questions:
            raise ValueError(f"recipe {cls.name} needs questions to learn from")

    def questions(self, given: Questions | None) -> Questions:
        """The questions that a student of this recipe learns from, and how its answers are judged."""
        assert given  # `check` has seen to it
        return given

    def load_questions(self, given: Questions | None) -> LoadedQuestions:
        return load_questions(self.questions(given))

    def asks_teacher(self) -> Prompter | None:
        """How the teacher is asked about a training question; None where it is asked something else, or nothing."""
        return None

    def models(self) -> Mapping[str, str]:
        """Further models that it asks, hosted as the teacher is: folders or hub ids by the settings that name them."""
        return {}

    def scorers(self, run: Run) -> Sequence[tuple[EngineConfig, int]]:
        """Models that score the student's tokens, each with how many of the likeliest tokens it tells beside."""
        return ()

    def demonstrations(self) -> Sequence[str]:
        """The questions that prompts show with an answer; none of them may be one of the evaluation."""
        return ()

    @abstractmethod
    def synthesize(self, ctx: RunContext) -> ExampleSet:
        """Make the examples that the student learns from."""

    def train(self, ctx: RunContext, examples: ExampleSet) -> TrainResult:
        """Train the student."""
        return ctx.train(examples)

    @property
    def options(self) -> type[BaseModel]:
        """What a request to the served student may set beside n, temperature and the like."""
        return NoOptions

    def answerer(self, options: Any = None) -> Answerer:
        """How the trained student answers; without `options` (an instance of those above) as in evaluation."""
        return AnswersOnce(self.student)

    def tell(self, run: RunFolder) -> Sequence[Block]:
        """What the page of a run says of this recipe's own part, whatever state the run is in."""
        return how_it_was_asked(run.report.get("teacher") or {})

    def step_labels(self, run: RunFolder) -> Iterator[dict[str, Any]]:
        """Attempts in steps with what is known of each step, in the form of TRL's PRMTrainer; none of most recipes."""
        yield from ()

    def answerers(self) -> Mapping[str, Answerer]:
        """What is measured of the student beside its answers, by titles in the report."""
        return {}


def how_it_was_asked(teacher: Mapping[str, Any]) -> list[Block]:
    """Which prompts brought what, and how many rounds questions took; of the section `teacher` of report.json."""
    blocks = list[Block]()
    contexts = [
        (name, told["samples"], told["passed"], f"{told['passed'] / max(1, told['samples']):.1%}")
        for name, told in teacher.get("contexts", {}).items()
    ]
    if contexts:
        blocks.append(Table("What each prompt brought", ("prompt", "samples", "passed", "share"), contexts))
    if rounds := [(name, count) for name, count in teacher.get("questions_by_rounds", {}).items()]:
        blocks.append(Table("Rounds that questions took", ("rounds", "questions"), rounds))
    return blocks
