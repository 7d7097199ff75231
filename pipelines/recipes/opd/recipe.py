"""On-policy distillation (arXiv 2306.13649, and as practised since 2025), with programs that are run.

Needs a teacher of the student's tokenizer on the run's own engines, or none with `privileged`. The student first learns
what the teacher writes and the task verifies (`cold_start`). Then, in rounds, it answers questions itself; the sandbox
runs its programs; the teacher scores its own token ids, in one prefill; and it is trained by a clipped policy gradient
whose advantage at a token is how much likelier the teacher finds it: the reverse KL on sampled tokens. Its engines then
take the new weights in place.

Verdicts may join in: a right answer's tokens rise within the question's group, those from a fault on sink. What has no
verdict is dropped and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import TrainingError
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.data.blocks import Block
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.models import base_model, teacher_model
from raydistill.pipelines.prompts import demonstrated, render
from raydistill.pipelines.recipes.base import Recipe
from raydistill.pipelines.recipes.opd.config import OPD, ColdStart, RoutedTeacher
from raydistill.pipelines.recipes.opd.judged import Actors, teacher_beside
from raydistill.pipelines.recipes.opd.overlap import train_beside
from raydistill.pipelines.recipes.opd.rounds import collect_round
from raydistill.pipelines.recipes.opd.telling import in_one_line, tell_rounds
from raydistill.pipelines.sampling.distinct import DistinctVerified
from raydistill.pipelines.sampling.prompter import Format, Prompt, Prompter, read_output
from raydistill.pipelines.scoring.preflight import check_context, check_same_tokens

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext
    from raydistill.pipelines.run_config import Run
    from raydistill.pipelines.training.train import TrainResult
    from raydistill.pipelines.views.run_folder import RunFolder


class OnPolicyDistillation(Recipe[OPD]):
    """The recipe of on-policy distillation: a cold start, then rounds on what the student writes."""

    name = "opd"
    Config = OPD
    several_teachers = False  # those that score are the recipe's own

    def __init__(self, config: OPD) -> None:
        super().__init__(config)
        self.format: Format = config.target
        self.student = Prompter(self._ask_student, read_output, f"opd-{config.target}/1", (self.format,))
        way = f"opd-{config.target}-{config.prompt}/1"
        self.teacher = Prompter(self._ask_teacher, read_output, way, (self.format,))
        most = (config.cold_start or ColdStart()).max_answers
        self.selector = DistinctVerified(self.name, self.student, most)
        self.accounts: list[dict[str, Any]] = []

    def asks_teacher(self) -> Prompter | None:
        return self.teacher if self.config.cold_start else None

    def models(self) -> dict[str, str]:
        return {f"recipe.teachers.{place}.model": one.model for place, one in enumerate(self.config.teachers)}

    def scorers(self, run: Run) -> list[tuple[EngineConfig, int]]:
        """The teacher and those that are routed to; or the student, as its own teacher."""
        if not self.config.distillation:
            return []
        student = base_model(run)
        teacher = student if self.config.privileged else teacher_beside(student, teacher_model(run.teacher))
        models = [teacher, *(self._routed(student, teacher, other) for other in self.config.teachers)]
        return [(model, self.config.top_k) for model in models]

    def demonstrations(self) -> list[str]:
        return demonstrated(self.config.prompt, self.config.target) if self.config.cold_start else []

    @classmethod
    def check(cls, run: Run) -> None:
        super().check(run)
        config: Any = run.recipe
        if run.teacher.engine != "vllm" and config.distillation and not config.privileged:
            raise ValueError(
                "recipe opd asks the teacher for log-probabilities of given tokens: expected teacher.engine vllm, or "
                "recipe.privileged for a student that is its own teacher"
            )
        if run.train and run.train.soft_targets and config.cold_start is None:
            raise ValueError("train.soft_targets are of the cold start's text, and there is none: set recipe.top_k")

    def synthesize(self, ctx: RunContext) -> ExampleSet:
        """The teacher's verified answers; without a cold start, the first round's samples."""
        self._check_tokens(ctx)
        if self.config.cold_start:
            return ctx.synthesize("synthesis", self.teacher, self.selector)
        collected = self._collect(ctx, None, 1, None)
        if not collected.count:
            raise TrainingError(f"nothing to learn from: {in_one_line(self.accounts[0])}")
        return collected

    def train(self, ctx: RunContext, examples: ExampleSet) -> TrainResult:
        """Fine-tune on the teacher's text, then round after round on the student's own, each from the last one on."""
        cold = self.config.cold_start
        self.accounts = self.accounts if cold is None else []
        ctx.report(rounds=self.accounts)
        student = None
        if cold:
            changed: dict[str, Any] = {"epochs": cold.epochs} if cold.epochs else {}
            student = ctx.train(examples, **changed)
            if ctx.measures_students and self.config.rounds:
                ctx.evaluate("cold start", ctx.engine_of(student), self.answerer())
        text, collected = (examples, None) if cold else (None, examples)
        for number in range(1, self.config.rounds + 1):
            collected = collected or self._collect(ctx, student, number, text)
            if not collected.count:
                break
            student, collected = self._learn(ctx, student, collected, number, text)
            self._tell(ctx, number, student)
        assert student is not None  # there is a cold start or a round
        return student

    def _learn(
        self, ctx: RunContext, student: TrainResult | None, examples: ExampleSet, number: int, text: ExampleSet | None
    ) -> tuple[TrainResult, ExampleSet | None]:
        """The student of a round, and with `overlap` the next round's examples, of the student before."""
        settings = self._settings()
        if not self.config.overlap or number == self.config.rounds:
            return ctx.train(examples, start=student, **settings), None

        def ahead() -> ExampleSet:
            return self._collect(ctx, student, number + 1, text)

        return train_beside(ctx, ahead, self._engine(ctx, student), examples, start=student, **settings)

    def tell(self, run: RunFolder) -> list[Block]:
        """How the teacher was asked for text; and round by round what the student wrote and learned of it."""
        return [*super().tell(run), *tell_rounds(run.report.get("rounds") or [], run.evaluation)]

    def _collect(
        self, ctx: RunContext, student: TrainResult | None, number: int, text: ExampleSet | None
    ) -> ExampleSet:
        """A round's examples by `student`, or by the base; its account is reported."""
        train = ctx.config.train
        engine, adapter = self._engine(ctx, student), None
        assert train is not None  # `base_model` has seen to it, or an earlier training
        if student and train.lora:
            adapter = student.student
        elif student:
            train = train.model_copy(update={"student": student.student, "revision": None})
        teacher = engine if self.config.privileged else teacher_beside(engine, ctx.teacher_engine)
        routed = tuple((other.where, self._routed(engine, teacher, other)) for other in self.config.teachers)
        actors = Actors(engine, teacher, train, adapter, routed)
        collected, account = collect_round(ctx, self.config, self.student, actors, number, text)
        behind = max(0, number - 2) if self.config.overlap else number - 1
        self.accounts.append({"round": number, "sampled_by": behind, **account})
        return collected

    @staticmethod
    def _engine(ctx: RunContext, student: TrainResult | None) -> EngineConfig:
        """The engine settings of a student; of the base where none is trained yet."""
        return ctx.engine_of(student) if student else base_model(ctx.config)

    @staticmethod
    def _routed(student: EngineConfig, teacher: EngineConfig, other: RoutedTeacher) -> EngineConfig:
        """Another teacher, hosted as the run's is."""
        return teacher_beside(student, teacher.model_copy(update={"model": other.model, "revision": other.revision}))

    def _settings(self) -> dict[str, Any]:
        """How a round is trained: without validation, as a policy gradient has no loss to stop by."""
        rate = {"learning_rate": self.config.learning_rate} if self.config.learning_rate else {}
        stopping = {"validation_fraction": 0.0, "early_stopping_patience": None, "soft_targets": None}
        return rate | stopping | {"epochs": self.config.epochs}

    def _tell(self, ctx: RunContext, number: int, student: TrainResult) -> None:
        """What training has found of the round's samples, and one line about the round."""
        account = self.accounts[number - 1]
        account |= {"student": student.student, "trained_tokens": student.tokens}
        steps = student.history.get("policy_gradient", [])
        if steps:
            *_, clipped, staleness = zip(*steps, strict=True)
            account |= {
                "staleness": {"first": staleness[0], "mean": sum(staleness) / len(steps)},  # mean |log ratio|, nats
                "clipped": sum(clipped) / len(steps),
            }
        ctx.say(f"round {number}: {in_one_line(account)}")

    def _check_tokens(self, ctx: RunContext) -> None:
        """Raise UsageError, before a token is spent, where the teacher's scores would be of other tokens."""
        train = ctx.config.train
        if train is None or not self.config.distillation:
            return
        if not self.config.privileged:
            others = [(teacher.model, teacher.revision) for teacher in self.config.teachers]
            for model, revision in [(ctx.teacher_engine.model, ctx.teacher_engine.revision), *others]:
                check_same_tokens(model, revision, train.student, train.revision)
        scorer = base_model(ctx.config) if self.config.privileged else ctx.teacher_engine
        asked = (prompt.messages for question in ctx.questions.questions for prompt in self.student.prompts(question))
        check_context(scorer, train.student, train.revision, asked, ctx.student_tokens)

    def _ask_teacher(self, question: Question) -> list[Prompt]:
        way, target = self.config.prompt, self.config.target
        return [Prompt(f"{target}-{way}", render(way, target, question.text), self.format)]

    def _ask_student(self, question: Question) -> list[Prompt]:
        target = self.config.target
        return [Prompt(target, render("instruct", target, question.text), self.format)]
