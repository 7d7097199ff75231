"""What a run hands to its recipe: questions, models, and verbs, each of them resumable.

    synthesize      ask the teacher, verify, select: examples          examples/<key>
    write_examples  examples that come from elsewhere                  examples/<digest of their content>
    cached          examples that are made in another way              examples/<key>
    train           a student, from the base or from another student   training/<key>
    evaluate        a score on the held-out questions                  evaluation/<key>
    report          the recipe's own part of report.json

Beside them `job` and `run`, which all sampling is made of (`sampling.sampler`). Folders are keyed by a hash of exactly
what they depend on; `runtime.run_dir` has the table.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import read_bytes, remove
from raydistill.pipelines import report
from raydistill.pipelines.config.sections import EngineConfig, Evaluation, Teacher, Train
from raydistill.pipelines.config.teachers import called
from raydistill.pipelines.data.cache import cached
from raydistill.pipelines.data.examples import (
    examples_digest,
    export_chat,
    read_examples,
    sort_examples,
    write_by_content,
)
from raydistill.pipelines.data.gate import Gate
from raydistill.pipelines.data.records import Example, content_hash
from raydistill.pipelines.evaluation.measure import evaluate_model
from raydistill.pipelines.inference.answering import Answerer
from raydistill.pipelines.models import student_tokens, teacher_model, trained_model
from raydistill.pipelines.runtime.engines import model_identity
from raydistill.pipelines.runtime.pools import run_on_driver_node
from raydistill.pipelines.runtime.progress import bar
from raydistill.pipelines.runtime.stages import stage
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats
from raydistill.pipelines.sampling.prompter import Prompter, Selector
from raydistill.pipelines.sampling.recordings import IncompleteRecording
from raydistill.pipelines.sampling.sampler import Sampler
from raydistill.pipelines.sampling.teachers.joining import Asked, run_several, shared
from raydistill.pipelines.scoring.soft_targets import soft_targets_key, write_soft_targets
from raydistill.pipelines.spending.account import BudgetUsedUp
from raydistill.pipelines.tasks import LoadedQuestions, is_generated
from raydistill.pipelines.training.train import RESOURCES, TrainResult, train

if TYPE_CHECKING:
    from raydistill.pipelines.run_config import Run  # which knows the recipes, as this does not


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """A folder of training examples; `key` is what depends on them is keyed by."""

    folder: str
    key: str
    count: int
    known: bool = False  # made by an earlier run


def _examples(folder: str, key: str, told: Mapping[str, Any], known: bool) -> ExampleSet:
    """The examples in a folder. As long as something is unknown, the next run may find others under the same key."""
    if told["unknown"]:
        key = content_hash(key, *examples_digest(folder))
    return ExampleSet(folder, key, told["examples"], known)


def evaluation_gate(config: Evaluation, held_out: LoadedQuestions) -> Gate | None:
    """What keeps the held-out questions out of training, as `evaluation.decontamination` says; None for off."""
    if config.decontamination == "off":
        return None
    generated = config.decontamination == "auto" and is_generated(config.questions.task)
    return Gate(held_out.questions, whole=generated or config.decontamination == "questions")


class RunContext(Sampler):
    """The questions, folders and pools of one run; `console` None keeps quiet."""

    questions: LoadedQuestions  # to learn from; without the held-out ones
    held_out: LoadedQuestions | None = None
    gate: Gate | None = None  # keeps the held-out questions out of all examples; None where that is off

    def __init__(self, config: Run, console: Console | None) -> None:
        super().__init__(config.run_dir, config.execution, config.cpus, console, config.budget, config.asked)
        self.config = config
        self.sections = report.empty(config.recipe.recipe, config.teacher.model)

    @property
    def teacher(self) -> Teacher:
        """The teacher's engines, and how it is sampled."""
        return self.config.teacher

    @property
    def teacher_engine(self) -> EngineConfig:
        """The teacher's engines alone."""
        return teacher_model(self.config.teacher)

    @property
    def student_tokens(self) -> int:
        """Tokens that the student may write where it writes to learn from."""
        return student_tokens(self.config)

    @property
    def measures_students(self) -> bool:
        """Whether students are evaluated in this run."""
        return self.config.evaluation is not None and "student" in self.config.evaluation.models

    def report(self, **sections: Any) -> None:
        """Add sections to report.json, or replace them."""
        self.sections |= sections

    # Examples -------------------------------------------------------------------------------------------------

    def synthesize(self, title: str, prompter: Prompter, selector: Selector) -> ExampleSet:
        """Ask the teacher about all questions, verify what it writes, and select examples of it."""
        ids = content_hash(*sorted(question.id for question in self.questions.questions))
        jobs = self.jobs(prompter, selector)
        key = content_hash(*(job.key for job in jobs), selector.version, ids)
        folder = f"{self.root}/examples/{key}"

        def compute() -> dict[str, Any]:
            started, parts = time.monotonic(), f"{folder}/parts"
            remove(folder)
            if self.config.teachers:
                found, by_teacher = self.run_several(title, jobs, parts)
            else:
                found = self.run(title, replace(jobs[0], examples=parts), self.questions.questions, self.teacher)
                by_teacher = {}
            run_on_driver_node(sort_examples, parts, folder)
            remove(parts)
            told = {"wall_s": round(time.monotonic() - started, 2), "unknown": found.unknown}
            return found.to_json() | told | {"teachers": by_teacher}

        summary, known = cached(f"{folder}/summary.json", compute)
        if known:
            self._note_known(title, jobs, summary)
            summary |= {"generated": 0, "verified": 0}
            folders = ", ".join(job.completions for job in jobs)
            self.say(f"{title}: done before, {summary['samples']:,} samples in {folders}")
        self.report(**report.synthesis(" + ".join(map(called, self.config.asked)), summary, self.spending(*jobs)))
        if self.config.teachers:
            spent = {called(one): self.spending(job) for one, job in zip(self.config.teachers, jobs, strict=True)}
            self.report(teachers=report.teachers(self.config.teachers, summary["teachers"], spent))
        return self.exported(self._gated(_examples(folder, key, summary, known)))

    def jobs(self, prompter: Prompter, selector: Selector) -> list[SamplingJob]:
        """A job for each teacher, with its share of the samples. Raises UsageError where none takes a question."""
        jobs = [self.job(one, self.questions, one, prompter=prompter, selector=selector) for one in self.config.asked]
        if not self.config.teachers:
            return jobs
        return shared(self.config.teachers, self.config.samples_from, jobs, self.questions.questions)

    def _note_known(self, title: str, jobs: Sequence[SamplingJob], summary: Mapping[str, Any]) -> None:
        """Record jobs that an earlier run has done, for who reads the folders of this one."""
        for one, job in zip(self.config.asked, jobs, strict=True):
            name = f"{title} ({called(one)})" if self.config.teachers else title
            with self.recorded(name, job, self.questions.questions, one.model) as told:
                if len(jobs) == 1:
                    told["result"] = summary

    def run_several(
        self, title: str, jobs: Sequence[SamplingJob], examples: str
    ) -> tuple[SamplingStats, dict[str, Counter[str]]]:
        """Ask all teachers for their shares; the statistics of all together, and counts of each by name."""
        asked = [Asked(one, job) for one, job in zip(self.config.teachers, jobs, strict=True)]
        return run_several(self, title, asked, self.questions.questions, examples)

    def write_examples(self, examples: Iterable[Example]) -> ExampleSet:
        """Examples that no teacher was asked for in this run, sorted by their ids."""
        made = sorted(examples, key=lambda example: example.id)
        key = write_by_content(made, f"{self.root}/examples")
        stats = SamplingStats(questions=len(self.questions.questions), examples=len(made)).to_json()
        self.report(**report.synthesis(self.teacher.model, stats | {"wall_s": 0.0}, {"wasted_tokens": 0}))
        return self.exported(self._gated(ExampleSet(f"{self.root}/examples/{key}", key, len(made))))

    def exported(self, examples: ExampleSet) -> ExampleSet:
        """The same examples, as chats beside the report, too."""
        with stage(self.root, "examples", "examples", examples=examples.folder.rpartition("/")[2]):
            export_chat(read_examples(examples.folder), self.root)
        self.report(examples=examples.count)
        return examples

    def cached(
        self, name: str, depends_on: Sequence[Any], compute: Callable[[str], Mapping[str, Any]]
    ) -> tuple[ExampleSet, dict[str, Any]]:
        """Examples that `compute` writes into the folder it is given, and what it tells of them (`examples`: how many).

        What a killed `compute` had left in the folder is there when it is called again.
        """
        key = content_hash(name, *depends_on)
        folder = f"{self.root}/examples/{key}"
        told, known = cached(f"{folder}/summary.json", lambda: compute(folder))
        return self._gated(_examples(folder, key, told, known)), told

    def _gated(self, examples: ExampleSet) -> ExampleSet:
        """The examples without those that stand in the evaluation set; where none does, the same under the same key."""
        if not (gate := self.gate):
            return examples
        key = content_hash(examples.key, gate.key)
        folder = f"{self.root}/examples/{key}"
        told, known = cached(f"{examples.folder}/gate-{key}.json", lambda: gate.examples(examples.folder, folder))
        if not (left_out := told["left_out"]):
            return examples
        counted = self.sections["decontamination"]["examples"]
        for reason, count in left_out.items():
            counted[reason] = counted.get(reason, 0) + count
        self.say(f"{sum(left_out.values()):,} examples left out, for they stand in the evaluation set: {left_out}")
        return ExampleSet(folder, key, told["examples"], known and examples.known)

    # Students -------------------------------------------------------------------------------------------------

    def train(
        self, examples: ExampleSet, *, start: TrainResult | None = None, beside: bool = False, **changed: Any
    ) -> TrainResult:
        """A student that has learned `examples`: from the base, or from the student of `start` on.

        With LoRA it goes on from that student's adapter, over the same base. `changed` are settings of `train`;
        `beside` leaves the pools their places, since somebody works with them (`has_room`).
        Raises BudgetUsedUp where the budget has left samples unasked, unless it says to train on what there is.
        """
        self.account.check()
        if self.config.train is None:
            raise UsageError("train: this configuration has no train section")
        config, adapter = self.config.train.model_copy(update=changed), None
        if config.soft_targets:
            examples = self._with_soft_targets(examples, config)
        if start and config.lora:
            adapter = start.student
        elif start:
            config = config.model_copy(update={"student": start.student, "revision": None})
        learnt = config.model_dump(exclude=set(RESOURCES))
        begun = [model_identity(adapter)] if adapter else []
        key = content_hash(examples.key, model_identity(config.student, config.revision), learnt, *begun)
        folder = f"{self.root}/training/{key}"
        if read_bytes(f"{folder}/result.json") is None:
            if not beside:
                self.make_room(config)
            self.say(f"training: {examples.count:,} examples, {config.workers} worker(s)")
        with bar(self.console, "training") as shown, self._recorded_training(key, examples) as told:
            result = train(
                examples.folder,
                config,
                folder,
                adapter=adapter,
                on_progress=lambda p: shown.update(p["step"], f"loss {p['loss']:.3f}", total=p["steps"]),
            )
            told["result"] = {name: getattr(result, name) for name in ("steps", "tokens", "tokens_per_s", "examples")}
            return result

    def _recorded_training(self, key: str, examples: ExampleSet) -> AbstractContextManager[dict[str, Any]]:
        folder = examples.folder.rpartition("/")[2]
        return stage(self.root, "training", "training", folder=key, examples=folder)

    def _with_soft_targets(self, examples: ExampleSet, config: Train) -> ExampleSet:
        """The same examples with a teacher's distribution at each token; asked once, whatever is trained on them."""
        teacher = teacher_model(self.config.soft_teacher)
        depends_on = examples.key, *soft_targets_key(self, teacher, config)
        made, told = self.cached(
            "soft targets",
            depends_on,
            lambda folder: write_soft_targets(self, examples.folder, folder, examples.key, teacher, config),
        )
        self.report(soft_targets=told)
        return made

    def engine_of(self, student: TrainResult) -> EngineConfig:
        """The engine settings of a trained student."""
        return trained_model(self.config, student.student)

    def evaluate(self, name: str, model: EngineConfig, answerer: Answerer) -> None:
        """Measure a model on the held-out questions, as `answerer` has it answer."""
        if self.config.evaluation is None or self.held_out is None:
            return
        try:
            with self.measuring(model):
                measured = evaluate_model(self, self.config.evaluation, name, model, answerer, self.held_out)
        except IncompleteRecording:
            measured = None
        except BudgetUsedUp as error:
            self.say(f"{name}: not evaluated. {error}")
            return
        if measured is None or (model.engine == "recorded" and measured.unknown):
            self.say(f"{name}: not evaluated, since {model.model} does not answer all held-out questions")
            return
        self.sections["evaluation"][name] = measured.to_json()
