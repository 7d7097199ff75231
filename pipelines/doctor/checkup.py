"""What checks look at: a configuration, and what follows from it, each made when a check first asks for it."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.requests import Completion, Request
from raydistill.actors.storage import absolute, is_uri, local_path
from raydistill.pipelines.config.sections import EngineConfig, Train
from raydistill.pipelines.context import evaluation_gate
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Example, Question, WeightedText
from raydistill.pipelines.models import base_model, trained_model
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.engines import Engines
from raydistill.pipelines.runtime.pools import connect
from raydistill.pipelines.tasks import LoadedQuestions, load_questions
from raydistill.pipelines.training.tokens import Tokens, load_tokenizer, tokenise

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SOME = 200  # examples that are looked at


@dataclass(frozen=True, slots=True)
class SomeExamples:
    """Examples of a run, or stand-ins before it has any."""

    examples: Sequence[Example]
    source: str


class Checkup:
    """A configuration under examination. `close` stops the engines that were started for it."""

    def __init__(self, config: Run) -> None:
        self.config, self.recipe = config, make_recipe(config.recipe)
        self.root = absolute(config.run_dir)
        self._folder = tempfile.TemporaryDirectory(prefix="raydistill-doctor-")
        self.engines = Engines(f"raydistill-doctor-{uuid.uuid4().hex[:8]}", f"{self._folder.name}/ledger")

    @cached_property
    def train(self) -> Train | None:
        """The section, with the student's weights where this machine can read them."""
        train = self.config.train
        return train and train.model_copy(update={"student": local_path(train.student)})

    @cached_property
    def held_out(self) -> LoadedQuestions | None:
        return load_questions(self.config.evaluation.questions) if self.config.evaluation else None

    @cached_property
    def loaded(self) -> LoadedQuestions:
        """The training questions, those included that are held out."""
        return self.recipe.load_questions(self.config.questions)

    @cached_property
    def questions(self) -> LoadedQuestions:
        """The training questions without those that are held out."""
        held_out = {question.id for question in self.held_out.questions} if self.held_out else set()
        kept = QuestionTable(question for question in self.loaded.questions if question.id not in held_out)
        return replace(self.loaded, questions=kept)

    @cached_property
    def asked(self) -> Sequence[Question]:
        """The training questions that the run asks about: without those that stand in the evaluation set."""
        config, questions = self.config, self.questions.questions
        gate = evaluation_gate(config.evaluation, self.held_out) if config.evaluation and self.held_out else None
        return gate.questions(questions)[0] if gate and config.questions else questions

    @cached_property
    def some(self) -> list[Question]:
        """The first questions to learn from."""
        return list(islice(self.questions.questions, SOME))

    @cached_property
    def examples(self) -> SomeExamples:
        """Examples of the run's latest set; before there is one, questions with their worked solution or answer."""
        sets = [] if is_uri(self.root) else [*Path(self.root, "examples").glob("*/examples.parquet")]
        if sets:
            latest = max(sets, key=lambda path: path.stat().st_mtime)
            if found := list(islice(read_examples(str(latest)), SOME)):
                return SomeExamples(found, f"{len(found)} examples of {latest.parent}")
        made = [
            Example(f"{question.id}/{prompt.context}", question.id, tuple(prompt.messages), (WeightedText(said),))
            for question in self.some
            for prompt in self.recipe.student.prompts(question)
            if (said := str(question.meta.get("rationale") or question.answer))
        ]
        return SomeExamples(made, f"{len(made)} stand-ins: questions with their solutions, before the run has examples")

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The student's, as training loads it. Raises UsageError where there is none."""
        assert self.train
        return load_tokenizer(self.train.student, self.train.revision)

    @cached_property
    def rows(self) -> list[Tokens]:
        """The examples as training sees them."""
        return list(tokenise(self.tokenizer, self.examples.examples))

    @property
    def student_folder(self) -> str | None:
        """Where the run has left its student; None before it has one."""
        folder = Path(self.root, "student")
        return str(folder) if not is_uri(self.root) and folder.is_dir() else None

    @cached_property
    def student(self) -> EngineConfig | None:
        """The trained student as it is evaluated, its base before there is one; None in a run that trains nothing."""
        if not self.config.train:
            return None
        return trained_model(self.config, self.student_folder) if self.student_folder else base_model(self.config)

    def ask(self, model: EngineConfig, requests: Sequence[Request]) -> list[Completion]:
        """What the engines of `model` answer; they are started, or take its weights, where they have to.

        Raises EngineError where they cannot start.
        """
        connect(self.config.cpus)
        client = self.engines.use(model)
        asked = [replace(request, adapter=model.adapter) for request in requests]
        answered: Any = asyncio.run(client.call("generate", asked))
        return list(answered)

    def close(self) -> None:
        self.engines.release()
        self._folder.cleanup()
