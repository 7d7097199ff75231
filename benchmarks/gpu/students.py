"""Two students of the same questions, one of recorded programs and one of recorded rationales, asked greedily.

    pool of verified answers --Trainer--> student --> answers --judge--> scores

Pool and test are those of `benchmarks/replications/real`, whose students are trained in a run. Here programs run in a
sandbox of this process, and prompts, reading, judging and training are those of a run.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import Any

from benchmarks.gpu.generation import answers
from benchmarks.replications.cells import by_question
from benchmarks.replications.real.pool import Worked, completions, rows_of_test, training
from benchmarks.training.trainer import make_trainer
from raydistill.actors.executor import Executor
from raydistill.pipelines.config.sections import Train
from raydistill.pipelines.data.records import Example, Question
from raydistill.pipelines.evaluation.bootstrap import Rows, matrix, mean_of, paired
from raydistill.pipelines.inference.answering import Answered
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.sampling.verdicts import judge
from raydistill.pipelines.tasks.base import AnswerTask, as_text
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import TrainingJob
from raydistill.pipelines.training.tokens import load_tokenizer, stop_token_id, tokenise, write_tokens

ARMS = {
    "program": ProgramAidedDistillation(PaD(target="program")),
    "rationale": ProgramAidedDistillation(PaD(target="rationale")),
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
    """Shares of right answers to SVAMP for each kind of student, and what programs gain."""
    held_out = [
        Question.make("svamp", row["question"], as_text(row["answer"]))
        for row in rows_of_test("svamp", options.held_out)
    ]
    scores: dict[str, dict[int, Sequence[float | None]]] = {name: {} for name in ARMS}
    executor = Executor()
    try:
        for seed in options.seeds:
            learned = training(seed, options.pool)
            for name, recipe in ARMS.items():
                student = trained(options, examples(recipe, learned, name), seed, folder)
                texts = asked(*student, recipe, held_out)
                scores[name][seed] = by_question(verdicts(recipe, executor, texts, held_out))["passed"]
    finally:
        executor.close()
    return told(scores)


def told(scores: dict[str, dict[int, Sequence[float | None]]]) -> dict[str, Any]:
    arms: dict[str, Rows] = dict(scores)
    means = {name: mean_of(matrix([*rows.values()])) for name, rows in arms.items()}
    return {**means, "gain": paired(arms["program"], arms["rationale"])}


def examples(recipe: ProgramAidedDistillation, learned: Sequence[Worked], kind: str) -> list[Example]:
    """What a student learns: the answers of one kind, which are right."""
    found = []
    for row in completions(learned, kind):
        question = Question.make("svamp", row["question"], row["answer"])
        (prompt,) = recipe.student.prompts(question)
        found.append(recipe.selector.example(question, prompt, row["completion"], question.answer, question.id))
    return found


def verdicts(
    recipe: ProgramAidedDistillation,
    executor: Executor,
    texts: Sequence[tuple[str, str]],
    questions: Sequence[Question],
) -> list[Answered]:
    """The verdicts on texts with their reasons for ending, in order."""
    pending = [
        (
            question,
            {"sample_id": f"{n}", "text": text, "format": recipe.format, "finish_reason": reason, "error": ""},
        )
        for n, ((text, reason), question) in enumerate(zip(texts, questions, strict=True))
    ]
    grade = AnswerTask("svamp", "numeric").grade
    rows = asyncio.run(judge(pending, recipe.student, grade, Local(executor)))
    return [Answered(row["status"], row["reason"], row["value"]) for row in rows]


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
