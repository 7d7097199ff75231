"""ReBase, retrieval-based distillation (arXiv 2407.05463): a task's examples are made of other datasets' rows.

Needs a target (an instruction and a few examples), a datastore of rows, and a teacher that rewrites. The rows most like
the target are retrieved (section 3.1), the teacher writes each of them anew as an example of the task (section 3.2),
and the student learns what is left after guards and checks, with the same instruction and examples in its prompt.

    rows --Rewriter's prompt--> candidates --guards--> --Reanswerer's prompt, or a checker--> examples

Unlike the released code: rows are scored by their values and not by their dataset's description; answers are checked;
copies, repeats and overlaps with the evaluation set leave; the loss is on the completion (`loss: all` is the paper's).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines import rebase_prompts
from pipelines.answers import Kind, Value, infer_kind
from pipelines.config import Questions, ReBase, Run
from pipelines.datastore.flattening import cut
from pipelines.extract import extract_program, final_reply
from pipelines.prompts import render
from pipelines.recipe import Prompt, Selection
from pipelines.records import Example, Question, Sample, Segment, content_hash
from pipelines.rewriting import Rewritten, as_message, parse
from pipelines.tasks import LoadedQuestions, load_questions
from pipelines.tasks.base import AnswerTask, Grade


class RetrievalBasedDistillation:
    """The recipe of ReBase, as the student knows it: instruction, examples, question."""

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

    def enough(self, question: Question, samples: Sequence[Sample]) -> bool:
        return True

    def select(self, question: Question, samples: Sequence[Sample]) -> Selection:
        """Nothing: whether a row becomes an example depends on the other rows (`pipelines.rebase_run`)."""
        return Selection()

    def example(self, row: Question, rewritten: Rewritten) -> Example:
        """What the student learns of a row."""
        kept = rewritten if self.config.reasoning else Rewritten(rewritten.input, rewritten.output)
        question = Question.make(self.name, rewritten.input, rewritten.output)
        completion = as_message(kept)
        return Example(
            id=content_hash(self.name, question.id, completion),
            question_id=question.id,
            messages=tuple(self.student_prompt(question).messages),
            completion=(Segment(completion),),
            group=question.id,
            answer=rewritten.output,
            source=row.id,
            meta={name: row.meta[name] for name in ("source", "row") if name in row.meta},
            prompt_weight=1.0 if self.config.loss == "all" else 0.0,
        )


class Rewriter(RetrievalBasedDistillation):
    """Asks the teacher for an example of the task: made of the question, which is a row, or of nothing."""

    def prompts(self, question: Question) -> list[Prompt]:
        target = self.config.target
        if self.config.retrieval == "none":
            return [Prompt("direct", rebase_prompts.direct_prompt(target.instruction, target.examples))]
        return [Prompt("rewrite", rebase_prompts.rewrite_prompt(target.instruction, target.examples, question.text))]

    def extract(self, text: str) -> str | None:
        """The completion, if it has the form asked for."""
        return text if isinstance(parse(text, keys_of(self.config)), Rewritten) else None


class Reanswerer(RetrievalBasedDistillation):
    """Asks the teacher to answer a question that it wrote, shown all examples; or for a program that does."""

    def __init__(self, config: ReBase) -> None:
        super().__init__(config)
        self.executes = config.check == "programs"

    def prompts(self, question: Question) -> list[Prompt]:
        if self.executes:
            return [Prompt("program", render("instruct", "program", question.text))]
        return [Prompt("answer", answer_messages(self.config, question.text))]

    def extract(self, text: str) -> str | None:
        return extract_program(text) if self.executes else super().extract(text)


@dataclass(frozen=True, slots=True)
class Form:
    """Passes everything that a `Rewriter` extracts; what is right is found out later, of all rows together."""

    name: str = "rebase"
    grader: str = "form"

    def grade(self, value: Value | None, question: Question) -> Grade:
        return Grade("passed", "ok", str(value))


def answer_messages(
    config: ReBase, text: str, shots: int | None = None, *, reasoning: bool = True
) -> list[dict[str, str]]:
    """The chat that asks for an answer after the first `shots` of the target's examples (None: all) as earlier turns.

    They show reasoning, where they have it, and answer; without `reasoning` the answer alone.
    """
    turns = []
    for example in config.target.examples[:shots]:
        shown = example if reasoning else {"output": example["output"]}
        turns += [_user(config, example["input"]), {"role": "assistant", "content": as_message(shown)}]
    return [*turns, _user(config, text)]


def _user(config: ReBase, text: str) -> dict[str, str]:
    return {"role": "user", "content": f"{config.target.instruction}\n\nQuestion: {text}"}


def keys_of(config: ReBase) -> tuple[str, ...]:
    """What the teacher writes: input, output, and reasoning where the target's examples have it."""
    return tuple(config.target.examples[0])


def answer_kind(config: ReBase) -> Kind:
    """How answers are compared."""
    if config.kind != "auto":
        return config.kind
    return infer_kind(example["output"] for example in config.target.examples)


def questions_of(config: Run) -> Questions:
    """The questions that a run learns from; for ReBase, which makes its own, how their answers are compared."""
    if isinstance(config.recipe, ReBase):
        return Questions(task="rebase", grader=answer_kind(config.recipe))
    assert config.questions
    return config.questions


def load_training_questions(config: Run) -> LoadedQuestions:
    """The questions that a run learns from; for ReBase the target's examples, with the task that compares answers."""
    if not isinstance(config.recipe, ReBase):
        return load_questions(questions_of(config))
    task = AnswerTask("rebase", answer_kind(config.recipe))
    return LoadedQuestions(
        task, [Question.make(task.name, e["input"], e["output"]) for e in config.recipe.target.examples]
    )


def row_text(values: Mapping[str, str], best: Sequence[str], config: ReBase) -> str:
    """A row as the teacher is shown it: a JSON object, each value cut; of a long row only the columns `best`."""
    shown = {column: cut(value, config.value_characters) for column, value in values.items()}
    text = json.dumps(shown, ensure_ascii=False)
    if len(text) > config.row_characters:
        text = json.dumps({column: shown[column] for column in values if column in best}, ensure_ascii=False)
    return text
