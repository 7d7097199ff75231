"""A run: the stages of the configuration, in order, each of them resumable.

    synthesize -> evaluate teacher and base -> train -> evaluate student -> report

What is sampled and trained is the recipe's affair (`recipes/<name>/recipe.py`), which works with a `RunContext`.
Everything lies under the run directory, in folders keyed by a hash of what they depend on, so that the same command
goes on where it stopped and a changed setting redoes only what depends on it (`runtime.run_dir`).
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from raydistill.actors.errors import TrainingError, UsageError
from raydistill.actors.storage import read_bytes, write_json
from raydistill.pipelines import report
from raydistill.pipelines.context import ExampleSet, RunContext, evaluation_gate
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.doctor.preflight import check_machine
from raydistill.pipelines.evaluation.measure import evaluate_beam
from raydistill.pipelines.exports.tracking import check_trackers, track
from raydistill.pipelines.inference.answering import AnswersOnce
from raydistill.pipelines.models import named_models, publish_student
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.events import EventConsole
from raydistill.pipelines.runtime.named import check_model, check_teacher
from raydistill.pipelines.runtime.pools import check_reachable
from raydistill.pipelines.runtime.run_dir import check_layout, lock_run_dir
from raydistill.pipelines.runtime.stages import stage
from raydistill.pipelines.scoring.preflight import check_same_tokens
from raydistill.pipelines.spending.account import BudgetUsedUp
from raydistill.pipelines.tasks import LoadedQuestions, load_questions
from raydistill.pipelines.tasks.golds import overview, several_kinds
from raydistill.pipelines.training.tokens import check_template, has_no_template
from raydistill.pipelines.training.train import TrainResult
from raydistill.pipelines.views.page import leave_page


class Runner:
    """Runs the stages of one configuration; `console` None keeps quiet."""

    def __init__(self, config: Run, console: Console | None = None, ctx: RunContext | None = None) -> None:
        for teacher in config.asked:
            check_teacher(teacher)
        check_trackers(config.tracking)
        if config.train:
            check_model(config.train.student, "train.student")
        self.config = config
        self.recipe = make_recipe(config.recipe)
        for setting, model in self.recipe.models().items():
            check_model(model, setting)
        self.ctx = ctx or RunContext(config, console)
        self.started = time.monotonic()
        self.begun = False
        self._held = ExitStack()  # the lock, and the record of this command

    @property
    def report(self) -> dict[str, Any]:
        """What report.json will hold."""
        return self.ctx.sections

    def start(self) -> Runner:
        """Load all questions, write down configuration and environment.

        Raises UsageError where another command uses the run's folder, or an earlier version has made it.
        """
        ctx = self.ctx
        check_reachable()
        if lock := lock_run_dir(ctx.root):
            self._held.callback(lock.release)
        check_layout(ctx.root)
        if read_bytes(f"{ctx.root}/config.yaml") is None:  # of a run that has begun, it may be asked for nothing more
            check_machine(self.config)
            for teacher in self.config.asked:
                if teacher.engine == "openai":
                    ctx.check_answering(teacher)
        self.load()
        self._held.enter_context(stage(ctx.root, "run", self.config.recipe.recipe))
        self.begun = True
        write_json(f"{ctx.root}/environment.json", report.environment())
        report.write_config(f"{ctx.root}/config.yaml", self.config)
        return self

    def load(self) -> None:
        """Load all questions. Held-out questions are not trained on."""
        ctx = self.ctx
        loaded, overlap = self.recipe.load_questions(self.config.questions), 0
        given = len(loaded.questions)
        if self.config.evaluation:
            ctx.held_out = load_questions(self.config.evaluation.questions)
            held_out = {question.id for question in ctx.held_out.questions}
            kept = QuestionTable(question for question in loaded.questions if question.id not in held_out)
            overlap = given - len(kept)
            loaded = self._decontaminated(replace(loaded, questions=kept))
        if not loaded.questions:
            raise UsageError(f"no question is left to learn from: all {given:,} are held out for the evaluation")
        self._check_template(loaded.questions[0])
        if (train := self.config.train) and train.soft_targets:
            scorer = self.config.soft_teacher
            check_same_tokens(scorer.model, scorer.revision, train.student, train.revision)
        ctx.questions = loaded
        ctx.report(
            questions={
                "task": loaded.task.name,
                "used": len(loaded.questions),
                "templates": len({q.meta["template"] for q in loaded.questions if "template" in q.meta}),
                "duplicates": len(loaded.duplicates),
                "held_out": overlap,
            }
        )
        ctx.say(
            f"{len(loaded.questions):,} questions of {loaded.task.name} "
            f"({len(loaded.duplicates):,} duplicates merged, {overlap:,} left out because they are held out)"
        )
        ctx.say(f"training questions: {overview(loaded)}")
        if several := several_kinds(loaded):
            ctx.say(several)
        if ctx.held_out:
            ctx.say(f"evaluation questions: {overview(ctx.held_out)}")

    def _decontaminated(self, loaded: LoadedQuestions) -> LoadedQuestions:
        """The questions that do not stand in the evaluation set; the examples made of them are looked at later.

        Raises UsageError where a demonstration in the prompts is an evaluation question, before anything is paid for.
        """
        config, ctx = self.config.evaluation, self.ctx
        assert config and ctx.held_out
        kept, left_out = loaded.questions, dict[str, int]()
        if not (gate := evaluation_gate(config, ctx.held_out)):
            ctx.report(decontamination="off")
            return loaded
        ctx.gate = gate
        if self.config.questions:  # else the recipe makes its own of something else
            kept, left_out = gate.questions(loaded.questions)
        shown = Counter(reason for text in self.recipe.demonstrations() if (reason := gate.reason(text)))
        if shown["evaluation_copy"]:
            raise UsageError(
                f"{shown['evaluation_copy']} demonstrations in the prompts are evaluation questions: take them out of "
                "recipe.contexts (or recipe.target), or set evaluation.decontamination=off"
            )
        ctx.report(decontamination={"questions": left_out, "demonstrations": dict(shown), "examples": {}})
        if left_out or shown:
            told = f"{sum(left_out.values()):,} questions left out, for they stand in the evaluation set: {left_out}"
            ctx.say(f"{told}; demonstrations that share words with it: {sum(shown.values())}")
        return replace(loaded, questions=kept)

    def _check_template(self, question: Question) -> None:
        """Raise UsageError, before anything is paid for, where the student's chat template cannot say its prompts."""
        train = self.config.train
        if train and Path(train.student).is_dir():
            if has_no_template(train.student, train.revision):
                self.ctx.say(
                    f"train.student: {train.student} has no chat template: its turns are written without marks, and "
                    "the student keeps that; for others put chat_template.jinja beside its tokenizer (docs/doctor.md)"
                )
            for prompt in self.recipe.student.prompts(question):
                check_template(train.student, train.revision, prompt.messages)

    def synthesize(self) -> ExampleSet:
        """The examples that the student is to learn from.

        Raises BudgetUsedUp where the budget has left samples unasked, unless it says to train on what there is.
        """
        examples = self.recipe.synthesize(self.ctx)
        self.ctx.account.check()
        return examples

    def train(self, examples: ExampleSet) -> TrainResult:
        """Train the student as the recipe does, and leave it where others find it."""
        if self.config.train is None:
            raise UsageError("train: this configuration has no train section")
        if not examples.count:
            verification = self.report["verification"]
            raise TrainingError(
                f"no examples to train on: none of {verification['programs']:,} samples was verified and selected "
                f"({report.by_number(verification['reasons'])}); "
                f"`raydistill samples {self.config.run_dir} --status failed` shows them, report.html says what to do"
            )
        result = self.recipe.train(self.ctx, examples)
        self.ctx.account.check()
        questions, task = self.recipe.questions(self.config.questions), self.ctx.questions.task
        publish_student(self.config, questions, task, result.student, self.ctx.root)
        names = ("steps", "tokens", "tokens_per_s", "final_loss", "best_validation_loss", "dropped_too_long", "wall_s")
        self.ctx.report(training={name: getattr(result, name) for name in names})
        return result

    def evaluate(self, models: Sequence[str]) -> None:
        """Measure the named models (base, student, teacher) on the evaluation questions.

        The student answers as its recipe has it answer; the others are asked once, as the student is.
        """
        config, ctx, student = self.config.evaluation, self.ctx, self.recipe.student
        if config is None or ctx.held_out is None:
            return
        for name in models:
            if name not in config.models:
                continue
            for title, model in named_models(self.config, name, ctx.root).items():
                ctx.evaluate(title, model, self.recipe.answerer() if name == "student" else AnswersOnce(student))
            if name != "student":
                continue
            for title, answerer in self.recipe.answerers().items():
                ctx.evaluate(f"{name}, {title}", model, answerer)
            for beam in config.beams:
                with ctx.measuring(model):
                    measured = evaluate_beam(ctx, config, beam, name, model, student, ctx.held_out)
                self.report["evaluation"][f"{name}, {beam.name}"] = measured.to_json()

    def finish(self) -> dict[str, Any]:
        """Write report.json and print the summary."""
        self.report["wall_s"] = round(time.monotonic() - self.started, 2)
        self.report["cost"] = self.ctx.account.section(self.report)
        if plan := read_bytes(f"{self.ctx.root}/plan.json"):
            self.report["plan"] = report.compared(json.loads(plan), self.report["cost"])
        write_json(f"{self.ctx.root}/report.json", self.report)
        if isinstance(self.ctx.console, EventConsole):
            self.ctx.console.event("report", **self.report)
        elif self.ctx.console:
            report.print_summary(self.ctx.console, self.report)
            self.ctx.say(f"report: {self.ctx.root}/report.json")
        return self.report

    def close(self) -> None:
        """Stop all pools and leave the folder to others; an exception that is under way is recorded.

        Where that is Ctrl-C, nobody is waited for.
        """
        self.ctx.close(wait=not isinstance(sys.exc_info()[1], KeyboardInterrupt))
        self._held.__exit__(*sys.exc_info())


def run(config: Run, console: Console | None = None) -> dict[str, Any]:
    """The whole run; returns the content of report.json."""
    runner = Runner(config, console)
    with leaving_page(runner):
        examples = runner.start().synthesize()
        runner.evaluate(["teacher", "base"] if config.train else ["teacher"])
        if config.train:
            runner.train(examples)
            runner.evaluate(["student"])
        return runner.finish()


@contextmanager
def leaving_page(runner: Runner) -> Iterator[None]:
    """Work with `runner`; whether that succeeds or fails, the run's page tells of it, once the run has begun."""
    try:
        yield
    except BudgetUsedUp:
        runner.finish()
        raise
    finally:
        runner.close()
        if runner.begun and not isinstance(sys.exc_info()[1], KeyboardInterrupt):  # who waits for nobody
            leave_page(runner.ctx.root, runner.ctx.say)
            track(runner.ctx.root, runner.config.tracking, runner.ctx.say)
