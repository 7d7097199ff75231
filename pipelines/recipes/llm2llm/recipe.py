"""LLM2LLM (arXiv 2403.15042, Findings of ACL 2024): a small set of questions grows where the student is weak.

Needs a few questions with gold answers, the seeds, and a teacher that writes Python and new questions. The student is
trained on the seeds' verified programs; then, in rounds, it attempts the seeds, the teacher writes a new question like
each that it fails, and it is trained from the base anew on seeds and all additions. Only seeds are ever written about.
With `contrast` the teacher also sees the nearest seeds that the student gets right (arXiv 2407.00497).

Unlike the released code: a new question's answer is what programs that were run agree on, never what the teacher
states; held-out questions are kept out; the student's attempt is shown; signs count where questions are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raydistill.pipelines.data.blocks import Block
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.prompts import demonstrated, render
from raydistill.pipelines.recipes.base import Recipe
from raydistill.pipelines.recipes.llm2llm.config import LLM2LLM
from raydistill.pipelines.recipes.llm2llm.rounds import Asks, augment
from raydistill.pipelines.recipes.llm2llm.telling import in_one_line, tell_questions, tell_rounds
from raydistill.pipelines.sampling.distinct import DistinctVerified
from raydistill.pipelines.sampling.prompter import Prompt, Prompter, read_output

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext
    from raydistill.pipelines.run_config import Run
    from raydistill.pipelines.training.train import TrainResult
    from raydistill.pipelines.views.run_folder import RunFolder


class IterativeEnhancement(Recipe[LLM2LLM]):
    """The recipe of LLM2LLM: fine-tuning on seeds, then on seeds and what was written about failed ones."""

    name = "llm2llm"
    Config = LLM2LLM
    several_teachers = False
    asks_for_json = True

    def __init__(self, config: LLM2LLM) -> None:
        super().__init__(config)
        self.student = Prompter(self._ask_student, read_output, "llm2llm-program/1", ("program",))
        way = f"llm2llm-program-{config.prompt}/1"
        self.teacher = Prompter(self._ask_teacher, read_output, way, ("program",))
        self.selector = DistinctVerified(self.name, self.student, config.max_programs)

    @classmethod
    def check(cls, run: Run) -> None:
        super().check(run)
        config: Any = run.recipe
        if config.writer and run.teacher.engine != "vllm":
            raise ValueError("recipe.writer is hosted as a local teacher is: expected teacher.engine vllm")
        if run.train is None:
            raise ValueError(f"recipe {cls.name} writes about what a student fails: expected a section train")

    def asks_teacher(self) -> Prompter:
        return self.teacher

    def models(self) -> dict[str, str]:
        return {"recipe.writer.model": self.config.writer.model} if self.config.writer else {}

    def demonstrations(self) -> list[str]:
        return demonstrated(self.config.prompt, "program")

    def synthesize(self, ctx: RunContext) -> ExampleSet:
        """Programs of the teacher that return the seeds' labels."""
        return ctx.synthesize("synthesis", self.teacher, self.selector)

    def train(self, ctx: RunContext, examples: ExampleSet) -> TrainResult:
        """Attempt, write, answer and learn in turns, each time from the base on; until nothing new comes."""
        accounts = list[dict[str, Any]]()
        ctx.report(rounds=accounts)
        asks, student = Asks(self.student, self.teacher, self.selector), ctx.train(examples)
        for number in range(1, self.config.rounds + 1):
            model = ctx.engine_of(student)
            if ctx.measures_students:
                ctx.evaluate("seeds alone" if number == 1 else f"round {number - 1}", model, self.answerer())
            augmented, account = augment(ctx, self.config, asks, model, number, examples)
            accounts.append({"round": number, **account})
            ctx.say(f"round {number}: {in_one_line(account)}")
            if not account["added"]:
                break
            examples = ctx.exported(augmented)
            student = ctx.train(examples)
            accounts[-1]["student"] = student.student
        return student

    def tell(self, run: RunFolder) -> list[Block]:
        """How the seeds were asked; round by round what became of new questions; and some of them."""
        told = tell_rounds(run.report.get("rounds") or [], run.evaluation)
        return [*super().tell(run), *told, *tell_questions(run)]

    def _ask_teacher(self, question: Question) -> list[Prompt]:
        prompt = self.config.prompt
        return [Prompt(f"program-{prompt}", render(prompt, "program", question.text), "program")]

    def _ask_student(self, question: Question) -> list[Prompt]:
        return [Prompt("program", render("instruct", "program", question.text), "program")]
