"""Two students of the same questions, one of recorded programs and one of recorded rationales, asked greedily.

    recorded answers --judge--> right ones of shared questions --Trainer--> student --> answers --judge--> scores

The pool is what a large model wrote for MAWPS and ASDiv (`teachers/reft_svamp` in RAYDISTILL_DATA), the test is SVAMP.
Programs run in the sandbox in this process, and prompts, reading, judging and training are those of a run.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.generation import answers
from benchmarks.replications.cells import Rows, by_question, matrix, mean_of, paired
from benchmarks.trainer import make_trainer
from raydistill.actors.errors import UsageError
from raydistill.actors.executor import Executor
from raydistill.actors.rows import read_file
from raydistill.pipelines.config.sections import Questions, Train
from raydistill.pipelines.data.records import Example, Question
from raydistill.pipelines.inference.answering import Answered
from raydistill.pipelines.prompts import fence
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.sampling.verdicts import judge
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.base import AnswerTask
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import TrainingJob
from raydistill.pipelines.training.tokens import load_tokenizer, stop_token_id, tokenise, write_tokens

ARMS = {
    "programs": ProgramAidedDistillation(PaD(target="program")),
    "rationales": ProgramAidedDistillation(PaD(target="rationale")),
}
TOKENS = 256  # of an answer
BATCH_TOKENS = 4096


class Local:
    """The executor of this process, called as a pool of them is."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    async def call(self, method: str, *arguments: Any) -> Any:
        return await asyncio.to_thread(getattr(self.executor, method), *arguments)


def compare(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Shares of right answers to held-out questions for each kind of student, and what programs gain."""
    if not (data := os.environ.get("RAYDISTILL_DATA")):
        raise UsageError("--cells: RAYDISTILL_DATA is not set; expected the folder with the recorded answers")
    held_out = load_questions(Questions(task="svamp", path=f"{data}/svamp/test_part.jsonl", size=options.held_out))
    executor = Executor()
    try:
        judges = {name: Judge(recipe, executor) for name, recipe in ARMS.items()}
        pool = {name: judges[name].right(recorded(Path(data), name)) for name in ARMS}
        shared = sorted(set.intersection(*map(set, pool.values())))
        scores: dict[str, dict[int, Sequence[float | None]]] = {name: {} for name in ARMS}
        for seed in options.seeds:
            drawn = random.Random(seed).sample(shared, min(options.pool, len(shared)))
            for name in ARMS:
                student = trained(options, [pool[name][text] for text in drawn], seed, folder)
                texts = asked(*student, ARMS[name], held_out.questions)
                scores[name][seed] = by_question(judges[name].of(texts, held_out.questions))["passed"]
    finally:
        executor.close()
    return told(scores, len(shared))


def told(scores: dict[str, dict[int, Sequence[float | None]]], shared: int) -> dict[str, Any]:
    arms: dict[str, Rows] = dict(scores)
    means = {name: mean_of(matrix([*rows.values()])) for name, rows in arms.items()}
    return {"shared": shared, **means, "gain": paired(arms["programs"], arms["rationales"])}


def recorded(data: Path, name: str) -> list[tuple[Question, str]]:
    """Questions of the pool with what was written for each; programs without their docstrings, which repeat it."""
    found = []
    for row in read_file(str(data / "teachers" / "reft_svamp" / f"{name}.jsonl")):
        question = Question.make("svamp", row.field("question"), str(row.field("answer")))
        text = row.field(name.removesuffix("s"))
        found.append((question, fence(without_docstring(text)) if name == "programs" else text))
    return found


def without_docstring(program: str) -> str:
    """The program as the syntax tree spells it, without the first text of its function; as it is if it is none."""
    try:
        tree = ast.parse(program)
    except SyntaxError:
        return program
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None and len(node.body) > 1:
            del node.body[0]
    return ast.unparse(tree)


class Judge:
    """Says of completions, which a recipe's student could have written, whether they are right."""

    def __init__(self, recipe: ProgramAidedDistillation, executor: Executor) -> None:
        self.recipe, self.executors, self.grade = recipe, Local(executor), AnswerTask("svamp", "numeric").grade

    def of(self, completions: Sequence[tuple[str, str]], questions: Sequence[Question]) -> list[Answered]:
        """The verdicts on texts with their reasons for ending, in order."""
        pending = [
            (question, self._row(f"{place}", text, reason))
            for place, ((text, reason), question) in enumerate(zip(completions, questions, strict=True))
        ]
        rows = asyncio.run(judge(pending, self.recipe.student, self.grade, self.executors))
        return [Answered(row["status"], row["reason"], row["value"]) for row in rows]

    def _row(self, name: str, text: str, reason: str) -> dict[str, Any]:
        return {"sample_id": name, "text": text, "format": self.recipe.format, "finish_reason": reason, "error": ""}

    def right(self, answered: Sequence[tuple[Question, str]]) -> dict[str, Example]:
        """Examples of the right answers, by the text of their questions; one for each."""
        verdicts = self.of([(text, "stop") for _, text in answered], [question for question, _ in answered])
        examples = dict[str, Example]()
        for (question, text), verdict in zip(answered, verdicts, strict=True):
            if verdict.status == "passed":
                (prompt,) = self.recipe.student.prompts(question)
                made = self.recipe.selector.example(question, prompt, text, question.answer, question.id)
                examples.setdefault(question.text, made)
        return examples


def trained(options: argparse.Namespace, examples: Sequence[Example], seed: int, folder: str) -> tuple[Any, Any]:
    """A student of these examples, and its tokenizer."""
    tokenizer, path = load_tokenizer(options.model, None), f"{folder}/students.parquet"
    write_tokens(tokenise(tokenizer, examples), path, max_length=1024, vocabulary=10**6)
    config = Train(
        student=options.model,
        learning_rate=options.learning_rate,
        warmup_ratio=0.05,
        epochs=options.epochs,
        batch_tokens=BATCH_TOKENS,
        micro_batch_tokens=BATCH_TOKENS,
        validation_fraction=0,
        precision=options.precision,
        seed=seed,
    )
    trainer = make_trainer(TrainingJob(config, path, folder, stop_token_id(tokenizer)), options.device)
    progress = Progress()
    while not progress.finished:
        trainer.advance(progress, None)
    return trainer.model.eval(), tokenizer


def asked(
    model: Any, tokenizer: Any, recipe: ProgramAidedDistillation, questions: Sequence[Question]
) -> list[tuple[str, str]]:
    """The student's greedy answers, each with its reason for ending."""
    (prompts,) = zip(*(recipe.student.prompts(question) for question in questions), strict=True)
    found = answers(model, tokenizer, [prompt.messages for prompt in prompts], max_new_tokens=TOKENS)
    return [(answer.text, answer.finish_reason) for answer in found]
