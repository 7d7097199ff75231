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
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.engine import Sampling
from actors.errors import TrainingError, UsageError
from actors.ledger import read_spending
from actors.segments import read_bytes, read_segments, resolve
from pipelines import cluster, report
from pipelines.config import Engine, Run, SamplingConfig
from pipelines.engines import Engines, model_identity
from pipelines.evaluate import Score, score
from pipelines.example_store import export_chat, read_examples, write_examples
from pipelines.progress import bar
from pipelines.recipes import make_recipe
from pipelines.records import Question, content_hash
from pipelines.stages import Asking
from pipelines.synthesis import Pass, PassResult, missing_samples, run_pass
from pipelines.tasks import LoadedQuestions, load_questions
from pipelines.train import TrainResult, train


class Runner:
    """Runs the stages of one configuration; `console` None keeps quiet."""

    def __init__(self, config: Run, console: Console | None = None) -> None:
        self.config, self.console = config, console
        self.root = config.run_dir.rstrip("/") if "://" in config.run_dir else str(Path(config.run_dir).resolve())
        self.recipe = make_recipe(config.recipe)
        self.started = time.monotonic()
        self.report: dict[str, Any] = {
            "recipe": config.recipe.recipe,
            "wall_s": 0.0,
            "teacher": {"model": config.teacher.model},
            "verification": {},
            "selection": {},
            "examples": 0,
            "training": {},
            "evaluation": {},
            "resumed": {},
        }
        self._check_models()
        name = f"raydistill-{content_hash(self.root, length=8)}"
        self.engines = Engines(f"{name}-engines", f"{self.root}/ledger")
        self.executors = cluster.executor_pool(f"{name}-executors", config.execution)

    def _check_models(self) -> None:
        if self.config.teacher.engine == "vllm":
            cluster.check_model(self.config.teacher.model, "teacher.model")
        if self.config.train:
            cluster.check_model(self.config.train.student, "train.student")

    def say(self, text: str) -> None:
        if self.console:
            self.console.print(text)

    def start(self) -> LoadedQuestions:
        """Load the questions, write down configuration and environment."""
        loaded = load_questions(self.config.questions)
        duplicates = f", {len(loaded.duplicates):,} duplicates merged" if loaded.duplicates else ""
        self.say(f"{len(loaded.questions):,} questions of {loaded.task.name}{duplicates}")
        report.write_json(f"{self.root}/environment.json", report.environment())
        report.write_config(f"{self.root}/config.yaml", self.config)
        return loaded

    def close(self) -> None:
        self.engines.release()
        self.executors.release()

    # Synthesis ------------------------------------------------------------------------------------------------

    def synthesise(self, loaded: LoadedQuestions) -> str:
        """Sample the teacher, verify, select. Returns the folder of the examples."""
        config = self.config
        plan, key = self._plan(config.teacher, loaded, config.teacher.n, config.teacher)
        ids = content_hash(*sorted(question.id for question in loaded.questions))
        folder = f"{self.root}/examples/{content_hash(key, config.recipe.model_dump(), config.teacher.n, ids)}"
        done = read_bytes(f"{folder}/summary.json")
        if done is None:
            remove(folder)
            plan = replace(plan, examples=f"{folder}/parts")
            started = time.monotonic()
            result = self._pass("synthesis", plan, loaded.questions, config.teacher)
            summary = result.to_json() | {"wall_s": round(time.monotonic() - started, 2)}
            examples = sorted(read_examples(f"{folder}/parts"), key=lambda e: e.id) if result.examples else []
            write_examples(examples, folder)
            remove(f"{folder}/parts")
            report.write_json(f"{folder}/summary.json", summary)
            fresh = result.generated
        else:
            summary, fresh = json.loads(done), 0
            self.say(f"synthesis: done before, {summary['samples']:,} samples in {plan.completions}")
        self._export(folder)
        self._report_synthesis(summary, fresh, plan)
        return folder

    def _plan(
        self, model: Engine, loaded: LoadedQuestions, n: int, sampling: SamplingConfig, *, student: bool = False
    ) -> tuple[Pass, str]:
        """The pass that asks `model`, and the key of its verdicts."""
        probe = Question("", "{question}", "")
        prompts = [self.recipe.student_prompt(probe)] if student else self.recipe.prompts(probe)
        drawn = sampling.model_dump(include={"temperature", "top_p", "max_tokens", "stop", "seed"})
        identity = (model_identity(model.model, model.revision), model.adapter and model_identity(model.adapter))
        key = content_hash(identity, model.dtype, [list(prompt.messages) for prompt in prompts], drawn)
        limits = self.config.execution.model_dump(include={"cpu_s", "wall_s", "memory_mb", "minimum_grade"})
        verdicts = content_hash(key, self.recipe.executes and limits, loaded.task.name, loaded.task.grader)
        asking = Asking(
            recipe=self.recipe,
            sampling=Sampling(sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.stop),
            n=n,
            seed=sampling.seed,
            purpose=key,
            adapter=model.adapter,
            student=student,
        )
        in_flight = 2 * model.max_num_seqs * model.replicas[1]
        folders = (f"{self.root}/completions/{key}", f"{self.root}/verdicts/{verdicts}")
        return Pass(asking, loaded.task, *folders, samples_in_flight=in_flight), verdicts

    def _pass(
        self, title: str, plan: Pass, questions: Sequence[Question], model: Engine, *, keep_outcomes: bool = False
    ) -> PassResult:
        """Run a pass with the engines it needs: none when every completion is stored."""
        cluster.connect(self.config.cpus)
        if missing_samples(plan, questions):
            if not self.engines.runs(model):
                self.say(f"{title}: starting engine for {model.model} ...")
            engines = self.engines.use(model)
        else:
            engines = self.engines.client
        if self.recipe.executes:
            self.executors.start()
        with bar(self.console, title, len(questions)) as shown:
            return run_pass(
                plan,
                questions,
                engines,
                self.executors.client,
                keep_outcomes=keep_outcomes,
                on_progress=lambda result: shown.update(result.questions, _tally(result)),
            )

    def _export(self, folder: str) -> None:
        """The examples as chat messages, for other trainers (local run directories only)."""
        if "://" not in self.root:
            export_chat(read_examples(folder), self.root)

    def _report_synthesis(self, summary: dict[str, Any], fresh: int, plan: Pass) -> None:
        statuses, purpose = summary["statuses"], plan.asking.purpose
        spent = read_spending(f"{self.root}/ledger", purpose).tokens
        kept = sum(sum(t["completion_tokens"].to_pylist()) for t in read_segments(plan.completions))
        self.report["teacher"] = {
            "model": self.config.teacher.model,
            "requests": summary["samples"],
            "prompt_tokens": summary["prompt_tokens"],
            "generated_tokens": summary["completion_tokens"],
            "wasted_tokens": max(0, spent - kept),
            "tokens_per_s": round(summary["completion_tokens"] / summary["wall_s"], 1) if summary["wall_s"] else 0.0,
            "new_samples": fresh,
        }
        failed = {reason: n for reason, n in summary["reasons"].items() if reason != "ok"}
        self.report["verification"] = {
            "programs": summary["samples"],
            **{status: statuses.get(status, 0) for status in ("passed", "failed", "unknown")},
            "programs_per_s": round(summary["samples"] / summary["wall_s"], 1) if summary["wall_s"] else 0.0,
            "grade": summary["grade"],
            "reasons": failed,
        }
        self.report["selection"] = {"kept": summary["examples"], "dropped": summary["dropped"]}
        self.report["examples"] = summary["examples"]
        self.report["resumed"] = {
            "samples": summary["samples"] - fresh,
            "verdicts": summary["samples"] - summary["verified"],
        }

    # Training -------------------------------------------------------------------------------------------------

    def train(self, examples: str) -> TrainResult:
        """Fine-tune the student, after the pools have made room if they must."""
        config = self.config.train
        if config is None:
            raise UsageError("train: this configuration has no train section")
        if not self.report["examples"]:
            raise TrainingError(
                f"no examples to train on: none of {self.report['verification']['programs']:,} samples was verified "
                f"and selected (reasons: {self.report['verification']['reasons']})"
            )
        learnt = config.model_dump(exclude={"workers", "cpus_per_worker", "gpus_per_worker", "resource_timeout_s"})
        key = content_hash(Path(examples).name, model_identity(config.student, config.revision), learnt)
        folder = f"{self.root}/training/{key}"
        if read_bytes(f"{folder}/result.json") is None:
            self._make_room()
            self.say(f"training: {self.report['examples']:,} examples, {config.workers} worker(s)")
        with bar(self.console, "training") as shown:
            result = train(
                examples,
                config,
                folder,
                on_progress=lambda p: shown.update(p["step"], f"loss {p['loss']:.3f}", total=p["steps"]),
            )
        self._publish(result)
        names = ("steps", "tokens", "tokens_per_s", "final_loss", "best_validation_loss", "dropped_too_long", "wall_s")
        self.report["training"] = {name: getattr(result, name) for name in names}
        return result

    def _make_room(self) -> None:
        """Let the pools give their resources back if training does not fit beside them."""
        cluster.connect(self.config.cpus)
        config = self.config.train
        assert config is not None
        workers = config.workers if isinstance(config.workers, int) else config.workers[1]
        free = cluster.free_resources()
        if free["CPU"] < workers * config.cpus_per_worker or free["GPU"] < workers * config.gpus_per_worker:
            self.say("training: the pools hand their resources over")
            self.close()

    def _publish(self, result: TrainResult) -> None:
        """The student of this configuration under its plain name."""
        import pyarrow.fs

        filesystem, target = resolve(f"{self.root}/student")
        remove(f"{self.root}/student")
        filesystem.create_dir(target, recursive=True)
        pyarrow.fs.copy_files(
            resolve(result.student)[1], target, source_filesystem=filesystem, destination_filesystem=filesystem
        )
        serving = {"recipe": self.config.recipe.model_dump(), "questions": self.config.questions.model_dump()}
        report.write_json(f"{self.root}/student/raydistill.json", serving)

    # Evaluation -----------------------------------------------------------------------------------------------

    def evaluate(self, models: Sequence[str]) -> None:
        """Measure the named models (base, student, teacher) on the evaluation questions."""
        config = self.config.evaluation
        if config is None:
            return
        wanted = [name for name in models if name in config.models]
        if not wanted:
            return
        loaded = load_questions(config.questions)
        for name in wanted:
            self.report["evaluation"][name] = self._score(name, loaded).to_json()

    def _score(self, name: str, loaded: LoadedQuestions) -> Score:
        """The score of a model, measured now or by an earlier run of the same evaluation."""
        config, model = self.config.evaluation, self._model(name)
        assert config is not None
        draws = [SamplingConfig(n=1, temperature=0, max_tokens=config.max_tokens)]
        if config.n > 1:
            draws.append(SamplingConfig(n=config.n, temperature=config.temperature, max_tokens=config.max_tokens))
        plans = [self._plan(model, loaded, sampling.n, sampling, student=True) for sampling in draws]
        ids = content_hash(*sorted(question.id for question in loaded.questions))
        uri = f"{self.root}/evaluation/{content_hash([key for _, key in plans], config.n, ids)}.json"
        if done := read_bytes(uri):
            return Score(**json.loads(done))
        outcomes = [self._outcomes(name, plan, loaded, model) for plan, _ in plans]
        measured = score(
            *outcomes,
            samples=config.n,
            temperature=config.temperature if config.n > 1 else 0.0,
            grader=f"{loaded.task.name} ({loaded.task.grader})",
        )
        if not measured.unknown:
            report.write_json(uri, measured.to_json())
        return measured

    def _outcomes(self, name: str, plan: Pass, loaded: LoadedQuestions, model: Engine) -> list[Any]:
        drawn = "greedy" if plan.asking.n == 1 else f"n={plan.asking.n}, T={plan.asking.sampling.temperature:g}"
        result = self._pass(f"evaluating {name} ({drawn})", plan, loaded.questions, model, keep_outcomes=True)
        return list(result.outcomes.values())

    def _model(self, name: str) -> Engine:
        """The engine settings for the base, the student or the teacher; the teacher's with another model."""
        teacher = Engine(**self.config.teacher.model_dump(include=set(Engine.model_fields)))
        if name == "teacher":
            return teacher
        if self.config.train is None:
            raise UsageError(f"evaluation.models: {name} needs a train section")
        base = teacher.model_copy(
            update={"engine": "vllm", "model": self.config.train.student, "revision": self.config.train.revision}
        )
        if name == "base":
            return base
        student, lora = f"{self.root}/student", self.config.train.lora
        if lora:
            return base.model_copy(update={"adapter": student, "max_lora_rank": lora.rank})
        return base.model_copy(update={"model": student, "revision": None})

    # ----------------------------------------------------------------------------------------------------------

    def finish(self) -> dict[str, Any]:
        """Write report.json and print the summary."""
        self.report["wall_s"] = round(time.monotonic() - self.started, 2)
        report.write_json(f"{self.root}/report.json", self.report)
        if self.console:
            report.print_summary(self.console, self.report)
            self.console.print(f"report: {self.root}/report.json")
        return self.report


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


def _tally(result: PassResult) -> str:
    counts = result.statuses
    return f"{counts['passed']:,} passed, {counts['failed']:,} failed, {counts['unknown']:,} unknown"


def remove(uri: str) -> None:
    """Remove a folder and what is in it, if it is there."""
    from pyarrow.fs import FileType

    filesystem, path = resolve(uri)
    if filesystem.get_file_info(path).type == FileType.Directory:
        filesystem.delete_dir(path)
