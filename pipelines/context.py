"""What a run has at hand: its folders and their keys, its pools, and the sampling jobs that bring questions to them.

Folders are keyed by a hash of exactly what they depend on: completions by model, prompts and sampling; verdicts by
those and by limits and task. Pools start when a job needs them, and give their resources away when training does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from raydistill.actors.engine.requests import Sampling
from raydistill.actors.pool import PoolClient
from raydistill.actors.storage import absolute
from raydistill.pipelines.config.sections import LIMITS, EngineConfig, SamplingConfig, Train
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.runtime import pools as cluster
from raydistill.pipelines.runtime.engines import Engines, model_identity
from raydistill.pipelines.runtime.progress import bar
from raydistill.pipelines.runtime.run_dir import check_shared
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats, run_sampling
from raydistill.pipelines.sampling.plan import Completer, SamplingPlan
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.tasks import LoadedQuestions, Task

if TYPE_CHECKING:
    from raydistill.pipelines.run_config import Run  # which knows the recipes, as this does not


class RunContext:
    """The folders and pools of one run; `console` None keeps quiet."""

    def __init__(self, config: Run, prompter: Prompter, console: Console | None) -> None:
        self.config, self.console = config, console
        self.root = absolute(config.run_dir)
        self.ledger = f"{self.root}/ledger"
        self.prompter = prompter
        name = f"raydistill-{content_hash(self.root, length=8)}"
        self.engines = Engines(f"{name}-engines", self.ledger)
        self.executors = cluster.executor_pool(f"{name}-executors", config.execution)

    def say(self, text: str) -> None:
        if self.console:
            self.console.print(text)

    def _connect(self) -> None:
        cluster.connect(self.config.cpus)
        check_shared(self.root)

    def job(
        self,
        model: EngineConfig,
        loaded: LoadedQuestions,
        sampling: SamplingConfig,
        *,
        student: bool = False,
        prompter: Prompter | None = None,
        extra_key: object = None,
    ) -> tuple[SamplingJob, str]:
        """A job that asks `model` as `prompter` does (default: the run's), and the key of its verdicts.

        `extra_key` is what else the completions depend on.
        """
        prompter, probe = prompter or self.prompter, Question("", "{question}", "")
        prompts = [prompter.student_prompt(probe)] if student else prompter.prompts(probe)
        drawn = sampling.model_dump(include={"temperature", "top_p", "max_tokens", "stop", "seed"})
        identity = (model_identity(model.model, model.revision), model.adapter and model_identity(model.adapter))
        keyed = [list(prompt.messages) for prompt in prompts if not prompt.named_by_content]
        key = content_hash(identity, model.dtype, keyed, drawn, *([extra_key] if extra_key else []))
        verdicts = self.verdicts_key(key, loaded.task, prompter)
        plan = SamplingPlan(
            prompter=prompter,
            sampling=Sampling(sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.stop),
            n=sampling.n,
            prompts_per_round=sampling.contexts_per_round,
            seed=sampling.seed,
            purpose=key,
            adapter=model.adapter,
            student=student,
        )
        in_flight = 2 * model.max_num_seqs * model.replicas[1]
        folders = (f"{self.root}/completions/{key}", f"{self.root}/verdicts/{verdicts}")
        made = SamplingJob(
            plan,
            loaded.task,
            *folders,
            samples_in_flight=in_flight,
            rounds=sampling.rounds,
            question_tokens=sampling.question_tokens,
        )
        return made, verdicts

    def verdicts_key(self, completions: str, task: Task, prompter: Prompter) -> str:
        """The cache key of verdicts: completions key, limits (if programs run), task and grader."""
        limits = self.config.execution.model_dump(include=set(LIMITS))
        return content_hash(completions, prompter.executes and limits, task.name, task.grader)

    def run(
        self,
        title: str,
        job: SamplingJob,
        questions: Sequence[Question],
        model: EngineConfig | Completer,
        *,
        keep_outcomes: bool = False,
        wrap_engines: Callable[[PoolClient], Completer] | None = None,
    ) -> SamplingStats:
        """Run a job. Engines start only if a completion is missing; a Completer as `model` answers in their place.

        `wrap_engines` makes a Completer around the engines, for example a beam search.
        """

        def start_engines() -> None:
            if not isinstance(model, EngineConfig):
                return
            if not self.engines.runs(model):
                self.say(f"{title}: starting engine for {model.model} ...")
            self.engines.use(model)

        self._connect()
        completer: Completer = self.engines.client if isinstance(model, EngineConfig) else model
        if wrap_engines:
            completer = wrap_engines(self.engines.client)
        if job.plan.prompter.executes:
            self.executors.start()
        with bar(self.console, title, len(questions)) as shown:
            return run_sampling(
                job,
                questions,
                completer,
                self.executors.client,
                start_engines=start_engines,
                keep_outcomes=keep_outcomes,
                on_progress=lambda result: shown.update(result.questions, _tally(result)),
            )

    def make_room(self, config: Train) -> None:
        """Let the pools give their resources back if training does not fit beside them."""
        self._connect()
        workers = config.workers if isinstance(config.workers, int) else config.workers[1]
        free = cluster.free_resources()
        if free["CPU"] < workers * config.cpus_per_worker or free["GPU"] < workers * config.gpus_per_worker:
            self.say("training: the pools hand their resources over")
            self.close()

    def close(self) -> None:
        """Stop all pools."""
        self.engines.release()
        self.executors.release()


def _tally(result: SamplingStats) -> str:
    counts = result.statuses
    round_ = f"round {result.rounds}, " if result.rounds > 1 else ""
    return f"{round_}{counts['passed']:,} passed, {counts['failed']:,} failed, {counts['unknown']:,} unknown"
