"""TriPosT, self-improvement by interactive demonstrations (arXiv 2310.13522, NAACL 2024): a student corrects itself.

Needs questions with gold rationales in numbered steps (``stepwise:<name>``). The student first learns the rationales;
then, for some iterations, it attempts the questions, feedback names the first wrong step of what it wrote, an
improvement goes on from there until the end is right, and it learns from these conversations with itself
(their form: `conversation.py`; how they are made: `iteration.py`, `editing.py`; what is learned: `replay.py`).

Unlike the released code: padding is never trained, arithmetic is evaluated on the syntax tree instead of by `eval`,
later iterations do sample, and every conversation is accepted or rejected for one reason out of a closed list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raydistill.pipelines.data.blocks import Block
from raydistill.pipelines.data.records import Example, Question, WeightedText, content_hash
from raydistill.pipelines.recipes.base import Recipe
from raydistill.pipelines.recipes.tripost.account import in_one_line
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.iteration import attempted, collect_trajectories
from raydistill.pipelines.recipes.tripost.replay import gold_rationale
from raydistill.pipelines.recipes.tripost.telling import labelled_attempts, tell_conversations, tell_iterations
from raydistill.pipelines.recipes.tripost.updating import STUDENT, UpdateOptions, UpdatesItself

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydistill.pipelines.context import ExampleSet, RunContext
    from raydistill.pipelines.training.train import TrainResult
    from raydistill.pipelines.views.run_folder import RunFolder


class SelfImprovement(Recipe[TriPosT]):
    """The recipe of TriPosT: gold rationales first, then the student's own conversations, iteration by iteration."""

    name = "tripost"
    Config = TriPosT
    several_teachers = False
    student = STUDENT

    @property
    def options(self) -> type[UpdateOptions]:
        return UpdateOptions

    def synthesize(self, ctx: RunContext) -> ExampleSet:
        """The rationales that the questions come with: the baseline, which the iterations go on from."""
        return ctx.write_examples(map(gold_rationale_example, ctx.questions.questions))

    def train(self, ctx: RunContext, examples: ExampleSet) -> TrainResult:
        """Attempt, edit and learn in turns (section 3), each time from the last student on."""
        config, accounts = self.config, list[dict[str, Any]]()
        student = ctx.train(examples)
        ctx.report(rationales={"student": student.student}, iterations=accounts)
        for iteration in range(1, config.iterations + 1):
            if ctx.measures_students:
                name = "rationales" if iteration == 1 else f"iteration {iteration - 1}"
                ctx.evaluate(name, ctx.engine_of(student), self.answerer())
            attempting = ctx.engine_of(student) if config.attempts == "student" else ctx.teacher_engine
            questions = attempted(ctx.questions, config, iteration)
            conversations, account = collect_trajectories(ctx, config, questions, attempting, iteration)
            accounts.append(account)
            ctx.report(examples=conversations.count)
            ctx.say(f"iteration {iteration}: {in_one_line(account)}")
            if not conversations.count:
                break
            student = ctx.train(conversations, start=student, **self._replay_settings())
            account["student"] = student.student
        return student

    def _replay_settings(self) -> dict[str, Any]:
        """What is trained otherwise in the replay than before it."""
        names = ("learning_rate", "epochs")
        return {name: value for name in names if (value := getattr(self.config, name)) is not None}

    def tell(self, run: RunFolder) -> list[Block]:
        """Iteration by iteration what became of conversations, and some of them."""
        accounts = run.report.get("iterations") or []
        return [*tell_iterations(accounts), *tell_conversations(run)]

    def step_labels(self, run: RunFolder) -> Iterator[dict[str, Any]]:
        """Steps of attempts up to the first wrong one, which the feedback names; all steps of right attempts."""
        return labelled_attempts(run)

    def answerer(self, options: UpdateOptions | None = None) -> UpdatesItself:
        """The student judges and updates its own answers."""
        return UpdatesItself(self.config.updates if options is None or options.improve else 0)


def gold_rationale_example(question: Question) -> Example:
    """The rationale of a question. Raises UsageError where it has none."""
    rationale = gold_rationale(question)
    (asked,) = STUDENT.prompts(question)
    return Example(
        id=content_hash(SelfImprovement.name, question.id, rationale),
        question_id=question.id,
        messages=tuple(asked.messages),
        completion=(WeightedText(rationale),),
        group=question.id,
        answer=question.answer,
        source=f"{question.id}/gold",
    )
