"""Rows of a run in the forms that other tools train on.

messages      {"messages": [...]}                              TRL, LLaMA-Factory, ms-swift
preferences   {"prompt": [...], "chosen": [...], "rejected": [...]}      TRL's DPOTrainer
prompts       {"prompt": [...], "reward_model": ..., "verification_info": ...}      verl's and open-r1's GRPO
steps         {"prompt": ..., "completions": [...], "labels": [...]}     TRL's PRMTrainer
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.exports.pairs import pairs_of
from raydistill.pipelines.prompts import fence
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.prompter import Format, Prompt
from raydistill.pipelines.views.run_folder import RunFolder, Sampling, batches_of

Row = dict[str, Any]


def messages(run: RunFolder) -> Iterator[Row]:
    """The examples that the student learned last, as whole chats."""
    if not (folders := run.example_folders()):
        raise UsageError(f"{run.root}: no examples are known of this run; run the same `raydistill run` command first")
    return (example.to_chat() for example in read_examples(folders[-1]))


def preferences(run: RunFolder) -> Iterator[Row]:
    """A right and a wrong answer to the same question, asked as the student is asked."""
    recipe = recipe_of(run)
    for sampling in _synthesis(run):
        for pair in pairs_of(run, sampling):
            prompt = _asked(recipe, pair.question, pair.format)
            yield {
                "prompt": [dict(message) for message in prompt.messages],
                "chosen": _assistant(pair.chosen, pair.format),
                "rejected": _assistant(pair.rejected, pair.format),
                "question_id": pair.question.id,
                "rejected_reason": pair.reason,
            }


def prompts(run: RunFolder) -> Iterator[Row]:
    """The questions with what verifies their answers, for learning by reward; each question once."""
    recipe, number, known = recipe_of(run), 0, set[str]()
    task = {
        "task": run.report.get("questions", {}).get("task", ""),
        "grader": (run.config["questions"] or {}).get("grader"),
    }
    for sampling in _synthesis(run):
        for question in questions_of(sampling):
            if question.id in known or not question.answer:
                continue
            known.add(question.id)
            for asked in recipe.student.prompts(question):
                told = {**task, "format": asked.format, "gold": question.answer}
                yield {
                    "data_source": task["task"],
                    "prompt": [dict(message) for message in asked.messages],
                    "ability": "reasoning",
                    "reward_model": {"style": "rule", "ground_truth": question.answer},
                    "verification_info": json.dumps(told, ensure_ascii=False),
                    "extra_info": {"index": number, "split": "train", "question_id": question.id},
                }
                number += 1


def steps(run: RunFolder) -> Iterator[Row]:
    """Attempts in steps with what is known of each step, where the run's recipe judges steps."""
    found = recipe_of(run).step_labels(run)
    first = next(found, None)
    if first is None:
        raise UsageError(f"{run.root}: no judged steps; expected a finished run of a recipe that judges them")
    yield first
    yield from found


FORMS = {"messages": messages, "preferences": preferences, "prompts": prompts, "steps": steps}


def recipe_of(run: RunFolder) -> Any:
    """The recipe of a run. Raises UsageError where this version cannot read its configuration."""
    from raydistill.pipelines.config.files import validated

    return make_recipe(validated(Run, run.config, f"{run.root}/config.yaml").recipe)


def _synthesis(run: RunFolder) -> list[Sampling]:
    found = [sampling for sampling in run.samplings if not sampling.evaluates]
    if not found:
        raise UsageError(f"{run.root}: no samples are known of this run; run the same `raydistill run` command first")
    return found


def questions_of(sampling: Sampling) -> Iterator[Question]:
    """The questions of a sampling job."""
    for batch in batches_of(sampling.questions):
        for row in batch.to_pylist():
            yield Question(row["question_id"], row["text"], row["answer"], row["meta"])


def _asked(recipe: Any, question: Question, form: str) -> Prompt:
    """How the student is asked for this format; in its first way where it knows no such format."""
    asked = recipe.student.prompts(question)
    return next((prompt for prompt in asked if prompt.format == form), asked[0])


def _assistant(output: str, form: Format) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": fence(output) if form == "program" else output}]
