"""A run: the stages of the configuration, in order, each of them resumable.

    synthesise -> evaluate teacher and base -> train -> evaluate student -> report

Everything lies under the run directory, in folders keyed by a hash of what they depend on, so that the same command
goes on where it stopped and a changed setting redoes only what depends on it:

    completions/<model, prompts, sampling>/   verdicts/<completions, limits, task>/
    examples/<verdicts, recipe, questions>/   training/<examples, training settings>/   evaluation/<...>.json
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console

from raydistill.actors.engine.ledger import read_spending
from raydistill.actors.errors import TrainingError, UsageError
from raydistill.actors.segments import read_segments
from raydistill.actors.storage import read_bytes, remove, write_json
from raydistill.pipelines import report
from raydistill.pipelines.config.sections import EngineConfig, Train
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.examples import export_chat, read_examples, sort_examples, write_examples
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.evaluation.measure import evaluate_beam, evaluate_model
from raydistill.pipelines.models import named_model, publish_student, teacher_model, trained_model
from raydistill.pipelines.recipes.mcc_kd.consistency import count
from raydistill.pipelines.recipes.pad.config import Refine
from raydistill.pipelines.recipes.pad.repair import repairs_of
from raydistill.pipelines.recipes.pad.repairing import repair_outcomes
from raydistill.pipelines.recipes.pad.self_refine import add_repairs
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.synthesis import synthesise as make_of_rows
from raydistill.pipelines.recipes.registry import load_training_questions, make_recipe
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.iteration import attempted, collect_trajectories
from raydistill.pipelines.recipes.tripost.recipe import gold_rationale
from raydistill.pipelines.recipes.tripost.update_scores import measure_updates
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.engines import model_identity
from raydistill.pipelines.runtime.pools import check_model, check_teacher, run_on_driver_node
from raydistill.pipelines.runtime.progress import bar
from raydistill.pipelines.runtime.run_dir import lock_run_dir
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats
from raydistill.pipelines.tasks import LoadedQuestions, load_questions
from raydistill.pipelines.training.train import RESOURCES, TrainResult, train


class Runner:
    """Runs the stages of one configuration; `console` None keeps quiet."""

    def __init__(self, config: Run, console: Console | None = None) -> None:
        check_teacher(config.teacher)
        if config.train:
            check_model(config.train.student, "train.student")
        self.config = config
        self.ctx = RunContext(config, make_recipe(config.recipe), console)
        self.started = time.monotonic()
        self.loaded: LoadedQuestions | None = None
        self.held_out: LoadedQuestions | None = None
        self._lock: FileLock | None = None
        self.report = report.empty(config.recipe.recipe, config.teacher.model)

    def start(self) -> LoadedQuestions:
        """Load all questions, write down configuration and environment. Held-out questions are not trained on.

        Raises UsageError where another command uses the run's folder.
        """
        self._lock = lock_run_dir(self.ctx.root)
        loaded, overlap = load_training_questions(self.config.recipe, self.config.questions), 0
        if self.config.evaluation:
            self.held_out = load_questions(self.config.evaluation.questions)
            held_out = {question.id for question in self.held_out.questions}
            kept = QuestionTable(question for question in loaded.questions if question.id not in held_out)
            overlap = len(loaded.questions) - len(kept)
            loaded = replace(loaded, questions=kept)
        self.loaded = loaded
        self.report["questions"] = {
            "task": loaded.task.name,
            "used": len(loaded.questions),
            "templates": len({q.meta["template"] for q in loaded.questions if "template" in q.meta}),
            "duplicates": len(loaded.duplicates),
            "held_out": overlap,
        }
        self.ctx.say(
            f"{len(loaded.questions):,} questions of {loaded.task.name} "
            f"({len(loaded.duplicates):,} duplicates merged, {overlap:,} left out because they are held out)"
        )
        write_json(f"{self.ctx.root}/environment.json", report.environment())
        report.write_config(f"{self.ctx.root}/config.yaml", self.config)
        return loaded

    # Synthesis ------------------------------------------------------------------------------------------------

    def synthesise(self, loaded: LoadedQuestions) -> str:
        """Sample the teacher, verify, select. Returns the folder of the examples."""
        if isinstance(self.config.recipe, ReBase):
            folder, sections = make_of_rows(self.ctx, self.config.recipe, loaded, self.held_out)
            self.report |= sections
            return folder
        teacher = self.config.teacher
        job, verdicts = self.ctx.job(teacher, loaded, teacher)
        folder = f"{self.ctx.root}/examples/{self._examples_key(loaded, verdicts)}"
        if done := read_bytes(f"{folder}/summary.json"):
            summary = json.loads(done) | {"generated": 0, "verified": 0}
            self.ctx.say(f"synthesis: done before, {summary['samples']:,} samples in {job.completions}")
        else:
            summary = self._synthesise(replace(job, examples=f"{folder}/parts"), loaded, folder)
        export_chat(read_examples(folder), self.ctx.root)
        spent = read_spending(self.ctx.ledger, job.plan.purpose).tokens
        tokens = (table["completion_tokens"] for table in read_segments(job.completions, ["completion_tokens"]))
        stored = sum(sum(column.to_pylist()) for column in tokens)
        self.report |= report.synthesis(teacher.model, summary, wasted_tokens=max(0, spent - stored))
        self._count_pairs(folder)
        return folder

    def _examples_key(self, loaded: LoadedQuestions, verdicts: str) -> str:
        """What examples are named by; TriPosT's rationales come with the questions and depend on nothing else."""
        teacher, recipe = self.config.teacher, self.config.recipe
        if isinstance(recipe, TriPosT):
            told = sorted(content_hash(question.id, gold_rationale(question)) for question in loaded.questions)
            return content_hash(recipe.recipe, *told)
        ids = content_hash(*sorted(question.id for question in loaded.questions))
        drawn = teacher.model_dump(include={"n", "rounds", "contexts_per_round", "question_tokens"})
        return content_hash(verdicts, recipe.model_dump(), drawn, ids)

    def _count_pairs(self, folder: str) -> None:
        """Where rationales are trained in pairs: how many the student's tokenizer leaves, and how many with a span."""
        student, pairs = self.config.train, getattr(self.config.recipe, "rationales", 1) > 1
        if student and pairs and self.report["examples"]:
            examples = read_examples(folder)
            counts = count(examples, student.student, student.revision, max_length=student.max_length)
            kept = {"correct": self.report["verification"]["passed"], "selected": self.report["examples"]}
            self.report[self.config.recipe.recipe] = kept | asdict(counts)
            self.ctx.say(f"{counts.pairs:,} pairs of rationales, {counts.with_span:,} with a common answer span")

    def _synthesise(self, job: SamplingJob, loaded: LoadedQuestions, folder: str) -> dict[str, Any]:
        remove(folder)
        started, parts, recipe = time.monotonic(), f"{folder}/parts", self.ctx.prompter
        if any(job.plan.prompts(question) for question in loaded.questions[:1]):
            result = self.ctx.run("synthesis", job, loaded.questions, self.config.teacher)
            run_on_driver_node(sort_examples, parts, folder)
        else:  # the recipe learns what the questions come with
            examples = (e for question in loaded.questions for e in recipe.select(question, []).examples)
            result = SamplingStats(questions=len(loaded.questions), examples=write_examples(examples, parts))
            sort_examples(parts, folder)
        remove(parts)
        summary = result.to_json() | {"wall_s": round(time.monotonic() - started, 2)}
        if not result.statuses["unknown"]:  # otherwise the next run tries those again
            write_json(f"{folder}/summary.json", summary)
        return summary

    # Training -------------------------------------------------------------------------------------------------

    def train(self, examples: str) -> TrainResult:
        """Fine-tune the student on `examples`, on those of PaD's second task, and in TriPosT's iterations, as asked."""
        if self.config.train is None:
            raise UsageError("train: this configuration has no train section")
        if not self.report["examples"]:
            raise TrainingError(
                f"no examples to train on: none of {self.report['verification']['programs']:,} samples was verified "
                f"and selected (reasons: {self.report['verification']['reasons']})"
            )
        refine = getattr(self.config.recipe, "refine", None)
        result = self._fit(self._refine(refine, examples) if refine else examples, self.config.train)
        if isinstance(self.config.recipe, TriPosT):
            result = self._improve(self.config.recipe, result)
        publish_student(self.config, result.student, self.ctx.root)
        names = ("steps", "tokens", "tokens_per_s", "final_loss", "best_validation_loss", "dropped_too_long", "wall_s")
        self.report["training"] = {name: getattr(result, name) for name in names}
        if measured := result.history.get("validation_consistency"):
            parts = ("step", "cross_entropy", "answer_kl", "answer_agreement")
            self.report[self.config.recipe.recipe]["validation"] = dict(zip(parts, measured[-1], strict=True))
        return result

    def _refine(self, config: Refine, examples: str) -> str:
        """Add the examples of the second task, those from a first student's failures last."""
        assert self.loaded is not None and self.config.train is not None
        student = None
        if config.own_samples:
            first = self._fit(examples, self.config.train)
            student = trained_model(self.config, first.student)
        folder, summary = add_repairs(self.ctx, config, examples, self.loaded, student)
        export_chat(read_examples(folder), self.ctx.root)
        self.report |= {"refinement": summary, "examples": summary["examples"]}
        self.ctx.say(f"refinement: {summary['examples']:,} examples, repairs among them: {summary['repairs']}")
        return folder

    def _improve(self, config: TriPosT, result: TrainResult) -> TrainResult:
        """Iterations of trajectories and replay, each from the last student on; earlier students are measured, too."""
        assert self.loaded is not None and self.config.train is not None
        changed = {name: value for name in ("learning_rate", "epochs") if (value := getattr(config, name)) is not None}
        accounts: list[dict[str, Any]] = []
        self.report |= {"rationales": {"student": result.student}, "iterations": accounts}
        for iteration in range(1, config.iterations + 1):
            student = trained_model(self.config, result.student)
            if self.config.evaluation and "student" in self.config.evaluation.models:
                self._measure("rationales" if iteration == 1 else f"iteration {iteration - 1}", student)
            asked = student if config.attempts == "student" else teacher_model(self.config)
            questions = attempted(self.loaded, config, iteration)
            examples, account = collect_trajectories(self.ctx, config, questions, asked, iteration)
            accounts.append(account)
            self.report["examples"] = account["examples"]
            self.ctx.say(f"iteration {iteration}: {report.conversations(account)}")
            if not account["examples"]:
                break
            result = self._go_on(examples, self.config.train.model_copy(update=changed), result.student)
            account["student"] = result.student
        return result

    def _go_on(self, examples: str, config: Train, student: str) -> TrainResult:
        """Train from the last student's weights on; with LoRA from its adapter, over the same base."""
        if config.lora:
            return self._fit(examples, config, student)
        return self._fit(examples, config.model_copy(update={"student": student, "revision": None}))

    def _fit(self, examples: str, config: Train, adapter: str | None = None) -> TrainResult:
        """Train after the pools have made room if they must; with LoRA from `adapter` on, where there is one."""
        learnt = config.model_dump(exclude=set(RESOURCES))
        begun = [model_identity(adapter)] if adapter else []
        key = content_hash(Path(examples).name, model_identity(config.student, config.revision), learnt, *begun)
        folder = f"{self.ctx.root}/training/{key}"
        if read_bytes(f"{folder}/result.json") is None:
            self.ctx.make_room(config)
            self.ctx.say(f"training: {self.report['examples']:,} examples, {config.workers} worker(s)")
        with bar(self.ctx.console, "training") as shown:
            return train(
                examples,
                config,
                folder,
                adapter=adapter,
                on_progress=lambda p: shown.update(p["step"], f"loss {p['loss']:.3f}", total=p["steps"]),
            )

    # Evaluation -----------------------------------------------------------------------------------------------

    def evaluate(self, models: Sequence[str]) -> None:
        """Measure the named models (base, student, teacher) on the evaluation questions."""
        if self.config.evaluation is None or self.held_out is None:
            return
        config, scores = self.config.evaluation, self.report["evaluation"]
        for name in models:
            if name not in config.models:
                continue
            model = named_model(self.config, name, self.ctx.root)
            self._measure(name, model)
            for beam in config.beams if name == "student" else ():
                measured = evaluate_beam(self.ctx, config, beam, name, model, self.held_out)
                scores[f"{name}, {beam.name}"] = measured.to_json()

    def _measure(self, name: str, model: EngineConfig) -> None:
        """Measure a model as the recipe asks it: a trained student repairs or updates its own answers."""
        assert self.config.evaluation is not None and self.held_out is not None
        config, recipe, loaded = self.config.evaluation, self.config.recipe, self.held_out
        if isinstance(recipe, TriPosT) and name not in ("teacher", "base"):
            measured = measure_updates(self.ctx, config, recipe, name, model, loaded)
        else:
            repairs = repairs_of(recipe) if name == "student" else 0
            measured = evaluate_model(self.ctx, config, name, model, loaded, repairs=repairs, repair=repair_outcomes)
        self.report["evaluation"][name] = measured.to_json()

    # ----------------------------------------------------------------------------------------------------------

    def finish(self) -> dict[str, Any]:
        """Write report.json and print the summary."""
        self.report["wall_s"] = round(time.monotonic() - self.started, 2)
        write_json(f"{self.ctx.root}/report.json", self.report)
        if self.ctx.console:
            report.print_summary(self.ctx.console, self.report)
            self.ctx.say(f"report: {self.ctx.root}/report.json")
        return self.report

    def close(self) -> None:
        """Stop all pools and leave the folder to others."""
        self.ctx.close()
        if self._lock:
            self._lock.release()


def run(config: Run, console: Console | None = None) -> dict[str, Any]:
    """The whole run; returns the content of report.json."""
    runner = Runner(config, console)
    try:
        loaded = runner.start()
        examples = runner.synthesise(loaded)
        runner.evaluate(["teacher", "base"] if config.train else ["teacher"])
        if config.train:
            runner.train(examples)
            runner.evaluate(["student"])
        return runner.finish()
    finally:
        runner.close()
