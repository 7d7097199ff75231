"""The sampling jobs of a run: their folders, and the pools of engines and executors that they need.

Completions are keyed by model, prompter and sampling (`keys`); verdicts by those and by limits, sandbox, task and
judge. Pools start when a job needs them, and give their resources away when training does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from typing import Any

from rich.console import Console

from raydistill.actors.engine.requests import Sampling
from raydistill.actors.errors import UsageError
from raydistill.actors.executor import SANDBOX_VERSION
from raydistill.actors.pool import PoolClient
from raydistill.actors.segments import list_segments
from raydistill.actors.storage import absolute
from raydistill.pipelines.config.budget import Budget
from raydistill.pipelines.config.sections import LIMITS, EngineConfig, Execution, SamplingConfig, Train
from raydistill.pipelines.data.questions import store_questions
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.runtime import pools as cluster
from raydistill.pipelines.runtime.endpoints import check_endpoint, endpoint_identity
from raydistill.pipelines.runtime.engines import Engines, starting
from raydistill.pipelines.runtime.progress import bar
from raydistill.pipelines.runtime.run_dir import check_shared
from raydistill.pipelines.runtime.stages import stage
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats, check_errors, run_sampling
from raydistill.pipelines.sampling.keys import completions_key
from raydistill.pipelines.sampling.plan import Completer, SamplingPlan
from raydistill.pipelines.sampling.prompter import Prompter, Selector
from raydistill.pipelines.sampling.recordings import check_recording
from raydistill.pipelines.sampling.segment_index import SegmentIndex
from raydistill.pipelines.spending.account import Account, BudgetUsedUp
from raydistill.pipelines.spending.waste import waste
from raydistill.pipelines.tasks import LoadedQuestions, Task
from raydistill.pipelines.tasks.judging import judge_version

RECORDED_TOGETHER = 64  # questions of a call to an engine that has all answers at once; elsewhere each comes by itself


class Sampler:
    """Makes and runs sampling jobs in the folder `root`; `console` None keeps quiet."""

    def __init__(
        self,
        root: str,
        execution: Execution,
        cpus: int | None,
        console: Console | None,
        budget: Budget | None = None,
        teachers: Sequence[EngineConfig] = (),
    ) -> None:
        self.root, self.console = absolute(root), console
        self.ledger = f"{self.root}/ledger"
        self._budget, self._teachers = budget or Budget(), teachers
        self._kind = "synthesis"  # of what is asked, for the account: evaluation of a teacher, or free
        self._settings = dict[str, dict[str, Any]]()  # what samples depend on, by purpose
        self._execution, self._cpus = execution, cpus
        self._answering, self._notes = set[tuple[str, bool]](), list[str]()  # of models behind URLs
        name = f"raydistill-{content_hash(self.root, length=8)}"
        self.engines = Engines(f"{name}-engines", self.ledger)
        self.executors = cluster.executor_pool(f"{name}-executors", execution)

    @cached_property
    def account(self) -> Account:
        """What the run has cost, in all its lives, and what is left of its budget."""
        return Account(self.ledger, self._budget, self._teachers)

    def say(self, text: str) -> None:
        if self.console:
            self.console.print(text)

    def job(
        self,
        model: EngineConfig,
        loaded: LoadedQuestions,
        sampling: SamplingConfig,
        *,
        prompter: Prompter,
        selector: Selector | None = None,
        json_schema: Mapping[str, Any] | None = None,
        extra_key: object = None,
        logprobs: bool = False,
    ) -> SamplingJob:
        """A job that asks `model` about questions of the task of `loaded`; replies are held to `json_schema`.

        `extra_key` is what else the completions depend on. With `logprobs` they are stored with their token ids and
        the log-probability of each (`scoring.sampled`). Raises UsageError where these would not be of what is sampled.
        """
        key, told = completions_key(model, sampling, prompter, json_schema, extra_key, logprobs=logprobs)
        self._settings[key] = told
        plan = SamplingPlan(
            prompter=prompter,
            sampling=Sampling(
                sampling.temperature,
                sampling.top_p,
                sampling.max_tokens,
                sampling.stop,
                logprobs=0 if logprobs else None,
                json_schema=json_schema,
            ),
            n=sampling.n,
            prompts_per_round=sampling.contexts_per_round,
            seed=sampling.seed,
            purpose=key,
            adapter=model.adapter,
            model=model.model,
            most=self._budget.samples_per_question if self._kind == "synthesis" else None,
        )
        return self.job_of(
            plan,
            loaded.task,
            selector=selector,
            samples_in_flight=2 * model.max_num_seqs * model.replicas[1],
            # Behind a budget one actor asks: what fits is reckoned with what is under way, which it alone knows.
            engines=(1, 1) if self.account.caps else model.replicas,
            rounds=sampling.rounds,
            question_tokens=sampling.question_tokens,
            together=RECORDED_TOGETHER if model.engine == "recorded" and not self.account.caps else 1,
        )

    def job_of(self, plan: SamplingPlan, task: Task, **settings: Any) -> SamplingJob:
        """The job of a plan, with its folders: completions by the plan's purpose, verdicts by those and the judge."""
        limits = self._execution.model_dump(include=set(LIMITS)) | {"sandbox": SANDBOX_VERSION}
        prompter = plan.prompter
        judge = task.name, task.grader, judge_version(task)
        judged = content_hash(plan.purpose, prompter.reader, prompter.executes and limits, *judge)
        completions, verdicts = f"{self.root}/completions/{plan.purpose}", f"{self.root}/verdicts/{judged}"
        return SamplingJob(plan, task, completions, verdicts, executors=self._execution.replicas, **settings)

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

        `wrap_engines` makes a Completer around the engines, for example a beam search. Raises EngineError where more
        requests have failed than `max_error_share` allows, UsageError where a recording lacks more than that.
        """

        if not isinstance(model, EngineConfig):
            return self._stream(title, job, questions, model, keep_outcomes)
        if not self._closed:
            self._check_source(title, job, questions, model)
        purpose, kind = job.plan.purpose, self._kind
        with self.account.asking(purpose, model, self._settings.get(purpose, {}), kind=kind):
            completer: Completer = wrap_engines(self.engines.client) if wrap_engines else self.engines.client
            if kind != "free":
                completer = self.account.gate(completer, purpose, model)
            start = partial(self.start_engines, title, model)
            result = self._stream(title, job, questions, completer, keep_outcomes, start, model.model)
        self._tell_notes(title)
        check_errors(title, result, model.max_error_share)
        if result.cap:
            self.account.close(result.cap, result.unasked * (kind == "synthesis"))
            if kind == "evaluation":
                raise BudgetUsedUp(self.account.shortfall())
            self.say(f"{title}: {self.account.shortfall()}")
        return result

    @property
    def _closed(self) -> bool:
        """Whether the budget lets nothing through."""
        return self._kind != "free" and bool(self.account.used_up)

    def _stream(
        self,
        title: str,
        job: SamplingJob,
        questions: Sequence[Question],
        completer: Completer,
        keep_outcomes: bool,
        start_engines: Callable[[], None] = lambda: None,
        model: str = "",
    ) -> SamplingStats:
        """Run the job with its executors, a line of progress and a record."""
        self._connect()
        if executes := job.plan.prompter.executes:
            self.executors.begin()  # beside the engines

        def prepare(is_lacking: bool) -> None:
            if is_lacking:
                start_engines()
            if executes:
                self.executors.start()

        if list_segments(job.completions) and not list_segments(job.verdicts):
            self.say(f"{title}: judging stored completions anew; no new tokens for these")
        name = model or type(completer).__name__
        with bar(self.console, title, len(questions)) as shown, self.recorded(title, job, questions, name) as told:
            result = run_sampling(
                job,
                questions,
                completer,
                self.executors.client,
                prepare=prepare,
                keep_outcomes=keep_outcomes,
                on_progress=lambda result: shown.update(result.questions, self._tally(result)),
            )
            told["result"] = result.to_json()
        return result

    def _tally(self, result: SamplingStats) -> str:
        counts = result.statuses
        round_ = f"round {result.rounds}, " if result.rounds > 1 else ""
        judged = f"{round_}{counts['passed']:,} passed, {counts['failed']:,} failed, {counts['unknown']:,} unknown"
        return judged if self._kind == "free" else f"{judged}; {self.account.progress()}"

    @contextmanager
    def measuring(self, model: EngineConfig) -> Iterator[None]:
        """What is asked meanwhile measures `model`: a teacher's tokens are in the budget, others are not."""
        before = self._kind
        self._kind = "evaluation" if any(model.model == teacher.model for teacher in self._teachers) else "free"
        try:
            yield
        finally:
            self._kind = before

    def recorded(
        self, title: str, job: SamplingJob, questions: Sequence[Question], model: str
    ) -> AbstractContextManager[dict[str, Any]]:
        """The record of a job (`runtime.stages`), with the questions as they are asked of `model`."""
        sampling = job.plan.sampling
        return stage(
            self.root,
            "sampling",
            title,
            model=model,
            completions=job.plan.purpose,
            verdicts=job.verdicts.rpartition("/")[2],
            questions=store_questions(questions, f"{self.root}/questions"),
            expected=len(questions) * len(job.plan.sample_ids(questions[0])) if questions else 0,  # in a round
            sampling={name: getattr(sampling, name) for name in ("temperature", "top_p", "max_tokens")},
            prompts=job.plan.prompter.version,
        )

    def start_engines(self, title: str, model: EngineConfig) -> None:
        """Have engines of `model` up, if the budget lets anything be asked."""
        if self._closed:
            return
        self.use_engines(title, model)

    def use_engines(self, title: str, model: EngineConfig) -> PoolClient:
        """A client of running engines with `model`."""
        self._connect()
        if not self.engines.runs(model):
            self.say(f"{title}: {starting(model)} ...")
        return self.engines.use(model)

    def _check_source(self, title: str, job: SamplingJob, questions: Sequence[Question], model: EngineConfig) -> None:
        """Say what a recording lacks, and whether a URL answers where samples are missing, before anything starts."""
        if not questions or model.engine == "vllm":
            return
        if model.engine == "recorded":
            if lacking := check_recording(job.plan, questions, model, job.completions if model.recording else None):
                self.say(f"{title}: {lacking}")
            return
        prefixes = any(prompt.prefix for prompt in job.plan.prompter.prompts(questions[0]))
        try:
            self.check_answering(model, prefixes=prefixes)
        except UsageError:
            stored = SegmentIndex(job.completions).of(questions).sample_ids
            if any(i not in stored for question in questions for i in job.plan.sample_ids(question)):
                raise

    def check_answering(self, model: EngineConfig, *, prefixes: bool = False) -> None:
        """Raise UsageError unless a model behind a URL answers (`check_endpoint`); each is tried once."""
        asked = endpoint_identity(model), prefixes
        if asked not in self._answering:
            check_endpoint(model, prefixes=prefixes)
            self._answering.add(asked)

    def _tell_notes(self, title: str) -> None:
        """Say what a model behind a URL was found not to take, once."""
        for note in self.engines.notes():
            if note not in self._notes:
                self._notes.append(note)
                self.say(f"{title}: {note}")

    def spending(self, *jobs: SamplingJob) -> dict[str, Any]:
        """What was spent on completions of these jobs beside those that are stored, for the report.

        Of a model behind a URL also how much of it is not its server's own count.
        """
        remote = any(self._settings.get(job.plan.purpose, {}).get("endpoint") for job in jobs)
        told = waste(self.ledger, {job.plan.purpose: job.completions for job in jobs}, remote=remote)
        return told | ({"not_taken": self._notes} if remote else {})

    def _connect(self) -> None:
        cluster.connect(self._cpus)
        check_shared(self.root)

    def make_room(self, config: Train) -> None:
        """Let the pools give their resources back if training does not fit beside them."""
        if not self.has_room(config):
            self.say("training: the pools hand their resources over")
            self.close()

    def has_room(self, config: Train, beside: EngineConfig | None = None) -> bool:
        """Whether training fits beside the pools, those of the model `beside` among them where none run yet."""
        self._connect()
        return cluster.has_room(config, None if self.engines.running else beside, self._execution)

    def close(self, *, wait: bool = True) -> None:
        """Stop all pools, beside each other; without `wait` they are told to, and go when they can."""
        with ThreadPoolExecutor() as beside:
            for _ in beside.map(lambda pools: pools.release(wait=wait), (self.engines, self.executors)):
                pass
