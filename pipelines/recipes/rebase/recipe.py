"""ReBase, retrieval-based distillation (arXiv 2407.05463): a task's examples are made of other datasets' rows.

Needs a target (an instruction and a few examples), a datastore of rows, and a teacher that rewrites. The rows most like
the target are retrieved (section 3.1), the teacher writes each of them anew as an example of the task (section 3.2),
and the student learns what is left after guards and checks, with the same instruction and examples in its prompt.

    rows --rewriting--> candidates --form, guards--> --checker, or fresh answers--> one per row --balance--> examples

Unlike the released code: rows are scored by their values and not by their dataset's description; answers are checked;
copies, repeats and overlaps with the evaluation set leave; the loss is on the completion (`loss: all` is the paper's).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.blocks import Block
from raydistill.pipelines.data.examples import write_examples
from raydistill.pipelines.data.records import Example, Question, WeightedText, content_hash
from raydistill.pipelines.data.rewritten import Rewritten, as_message
from raydistill.pipelines.recipes.base import Recipe
from raydistill.pipelines.recipes.rebase.account import say_what_came, sections, tell_rows, winners
from raydistill.pipelines.recipes.rebase.asking import Asking, answer_task, read_answer
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.prompts import answer_kind, answer_messages
from raydistill.pipelines.recipes.rebase.retrieved_rows import find_rows, guards_of
from raydistill.pipelines.recipes.rebase.rewriting import Rewriting
from raydistill.pipelines.sampling.prompter import Prompt, Prompter
from raydistill.pipelines.tasks import LoadedQuestions

if TYPE_CHECKING:
    from raydistill.pipelines.context import ExampleSet, RunContext
    from raydistill.pipelines.run_config import Run
    from raydistill.pipelines.views.run_folder import RunFolder

NO_EXAMPLE_DEPENDS_ON = {"datastore", "retrieval", "rows", "retriever"}
"""Settings that say which rows there are; the rows themselves are in the key."""


class RetrievalBasedDistillation(Recipe[ReBase]):
    """The recipe of ReBase. Whether a row becomes an example depends on the other rows, too."""

    name = "rebase"
    Config = ReBase
    several_teachers = False
    asks_for_json = True

    def __init__(self, config: ReBase) -> None:
        super().__init__(config)
        shown = content_hash(config.target.model_dump(), config.shots, config.reasoning)
        self.student = Prompter(self._ask_student, read_answer, f"rebase-answer/1/{shown}")

    @classmethod
    def check(cls, run: Run) -> None:
        if run.questions:
            raise ValueError(f"recipe {cls.name} makes its questions of rows: remove questions")
        if run.teacher.rounds > 1:
            raise ValueError(f"recipe {cls.name} asks once about each row: raise teacher.n instead of teacher.rounds")

    def questions(self, given: Questions | None) -> Questions:
        """How the questions that the teacher writes are graded."""
        return Questions(task=self.name, grader=answer_kind(self.config))

    def load_questions(self, given: Questions | None) -> LoadedQuestions:
        """The target's examples, with the task that compares answers."""
        examples = [Question.make(self.name, e["input"], e["output"]) for e in self.config.target.examples]
        return LoadedQuestions(answer_task(self.config), examples)

    def demonstrations(self) -> list[str]:
        return [example["input"] for example in self.config.target.examples]

    def synthesize(self, ctx: RunContext) -> ExampleSet:
        """Rows are retrieved, rewritten by the teacher, checked, and balanced."""
        config, guards = self.config, guards_of(self.config, ctx.held_out)
        rows, found = find_rows(ctx, config, guards)
        asking, checks = Asking(ctx, config), Rewriting.of(config, guards)

        def compute(folder: str) -> dict[str, Any]:
            candidates = checks.of_rows(rows, asking.rewritten(rows) if config.rewrite else None)
            votes = asking.answers([one for several in candidates.values() for one in several])
            chosen, unanswered = checks.choose_all(rows, candidates, votes)
            kept = checks.balanced([example for _, example in chosen])
            made = [self.example(*chosen[place]) for place in kept]
            write_examples(made, folder)
            outputs = Counter(example.answer for example in made)
            labels = {label: outputs[label] for label in config.labels}
            told = asking.account(len(rows)) | {"dropped": dict(+checks.dropped), "labels": labels, "rows": found}
            return told | {"examples": len(made), "unknown": told["unknown"] + unanswered}

        settings = config.model_dump(exclude=NO_EXAMPLE_DEPENDS_ON)
        ids = [row.id for row in rows], sorted(q.id for q in (ctx.held_out.questions if ctx.held_out else ()))
        key = [asking.keys, checks.version, settings, ids, ctx.teacher.n, self.student.version]
        examples, summary = ctx.cached("rewritten", key, compute)
        say_what_came(ctx, summary)
        ctx.report(**sections(ctx, summary, asking.spending(), known=examples.known))
        return ctx.exported(examples)

    def tell(self, run: RunFolder) -> list[Block]:
        """Where rows came from, which labels there are, and the best rows with the columns that won."""
        told = run.report.get(self.name)
        return [*(tell_rows(told) if told else []), *winners(run.newest_json("lookups") or [])]

    def _ask_student(self, question: Question) -> list[Prompt]:
        config = self.config
        return [Prompt("answer", answer_messages(config, question.text, config.shots, reasoning=config.reasoning))]

    def example(self, row: Question, rewritten: Rewritten) -> Example:
        """What the student learns of a row."""
        kept = rewritten if self.config.reasoning else Rewritten(rewritten.input, rewritten.output)
        question = Question.make(self.name, rewritten.input, rewritten.output)
        (asked,), completion = self.student.prompts(question), as_message(kept)
        return Example(
            id=content_hash(self.name, question.id, completion),
            question_id=question.id,
            messages=tuple(asked.messages),
            completion=(WeightedText(completion),),
            group=question.id,
            answer=rewritten.output,
            source=row.id,
            meta={name: row.meta[name] for name in ("source", "row") if name in row.meta},
            prompt_weight=1.0 if self.config.loss == "all" else 0.0,
        )
