"""ReBase, retrieval-based distillation (arXiv 2407.05463): a task's examples are made of other datasets' rows.

Needs a target (an instruction and a few examples), a datastore of rows, and a teacher that rewrites. The rows most like
the target are retrieved (section 3.1), the teacher writes each of them anew as an example of the task (section 3.2),
and the student learns what is left after guards and checks, with the same instruction and examples in its prompt.

    rows --Rewriter's prompt--> candidates --guards--> --Reanswerer's prompt, or a checker--> examples

Unlike the released code: rows are scored by their values and not by their dataset's description; answers are checked;
copies, repeats and overlaps with the evaluation set leave; the loss is on the completion (`loss: all` is the paper's).
"""

from __future__ import annotations

from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Example, Question, WeightedText, content_hash
from raydistill.pipelines.data.rewritten import Rewritten, as_message
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.prompts import answer_kind, answer_messages
from raydistill.pipelines.sampling.prompter import AskedOnce, Prompt
from raydistill.pipelines.tasks import LoadedQuestions
from raydistill.pipelines.tasks.base import AnswerTask
from raydistill.pipelines.tasks.extract import final_reply


class RetrievalBasedDistillation(AskedOnce):
    """The recipe of ReBase, as the student knows it: instruction, examples, question.

    It selects nothing: whether a row becomes an example depends on the other rows (`synthesis.py`).
    """

    name = "rebase"
    executes = False

    def __init__(self, config: ReBase) -> None:
        self.config = config

    def prompts(self, question: Question) -> list[Prompt]:
        """None: what the teacher is asked are rows (`Rewriter`) and its own questions (`Reanswerer`)."""
        return []

    def student_prompt(self, question: Question) -> Prompt:
        config = self.config
        return Prompt("answer", answer_messages(config, question.text, config.shots, reasoning=config.reasoning))

    def extract(self, text: str) -> str | None:
        return final_reply(text) or None

    def example(self, row: Question, rewritten: Rewritten) -> Example:
        """What the student learns of a row."""
        kept = rewritten if self.config.reasoning else Rewritten(rewritten.input, rewritten.output)
        question = Question.make(self.name, rewritten.input, rewritten.output)
        completion = as_message(kept)
        return Example(
            id=content_hash(self.name, question.id, completion),
            question_id=question.id,
            messages=tuple(self.student_prompt(question).messages),
            completion=(WeightedText(completion),),
            group=question.id,
            answer=rewritten.output,
            source=row.id,
            meta={name: row.meta[name] for name in ("source", "row") if name in row.meta},
            prompt_weight=1.0 if self.config.loss == "all" else 0.0,
        )


def questions_of(config: ReBase) -> Questions:
    """How the questions that the teacher writes are graded."""
    return Questions(task="rebase", grader=answer_kind(config))


def target_questions(config: ReBase) -> LoadedQuestions:
    """The target's examples, with the task that compares answers."""
    task = AnswerTask("rebase", answer_kind(config))
    return LoadedQuestions(task, [Question.make(task.name, e["input"], e["output"]) for e in config.target.examples])
