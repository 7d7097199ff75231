"""The checks that a student never meets a question together with its solution.

``leak`` is about ``gsm_symbolic``, ``task_leak`` about the other tasks that students are taught. Both look at the
finished texts, not at the generators' intentions, and run on every example of every training; the training log
carries their counts.
"""

import re
from functools import cache
from random import Random

from raydistill.demo import choices, gsm, target_task
from raydistill.demo.copying import numbers_in
from raydistill.demo.skill import Example
from raydistill.pipelines.tasks.stepwise.base import StepwiseTask, UnreadableQuestion
from raydistill.pipelines.tasks.stepwise.table import TASKS

SOLUTION = re.compile(r"def |return|Therefore|answer|[+*/]|(?<!\d)-|=\s*\w+\s*[-+*/(]")
SUPERVISION = re.compile(r'"reasoning"|is right|is wrong|is missing|- right|- wrong|answer is \([A-Z]\)')
STEPS = re.compile(r"Step \d|Therefore|answer is")
INSTANCES_PER_TEMPLATE = 100


def leak(example: Example) -> str | None:
    """Why an example pairs a question with (part of) its solution, or None where it does not.

    About a ``gsm_symbolic`` question an example may hold the question itself, and copies of its numbers: no
    program, no operator, no answer sentence, and no number that the question does not state.
    """
    if example.question is None:
        words = lower_case_words(example.prompt)
        return "a gsm_symbolic wording" if any(fixed <= words for fixed in fixed_words()) else None
    question = example.question.question
    if example.completion == question:
        return None
    found = SOLUTION.search(example.completion)
    if found:
        return f"part of a solution: {found.group()!r}"
    added = set(numbers_in(example.completion)) - set(numbers_in(question))
    return f"numbers not in the question: {sorted(added)}" if added else None


def task_leak(example: Example) -> str | None:
    """Why an example shows (part of) a solution of a choice question, a stepwise task or a stock problem, or None.

    Such a question may stand alone as plain text; with anything asked about it, whatever is replied counts. What a
    question is, the tasks' own parsers say.
    """
    if SUPERVISION.search(example.completion):
        return "feedback, or an option chosen"
    if example.prompt and is_task_question(asked(example.prompt)):
        return "a reply to a task's question"
    if not example.prompt and STEPS.search(example.completion):
        return "steps beside a text"
    return None


def is_task_question(text: str) -> bool:
    """Whether a text is a question of a task that students are taught, other than ``gsm_symbolic``."""
    if choices.COUPLE.search(text) or target_task.parse(text):
        return True
    return any(_reads(task, text) for task in TASKS.values())


def _reads(task: StepwiseTask, text: str) -> bool:
    try:
        task.start(text)
    except UnreadableQuestion:
        return False
    return True


def asked(prompt: str) -> str:
    """What follows the instruction, up to an empty line."""
    return prompt.rpartition("Question: ")[2].partition("\n\n")[0]


def lower_case_words(text: str) -> set[str]:
    """The words of a question (of what follows the instruction) that are no names or numbers."""
    return set(re.findall(r"\b[a-z]{2,}\b", text.rpartition("Question: ")[2]))


@cache
def fixed_words() -> tuple[set[str], ...]:
    """For each ``gsm_symbolic`` template the words that all its instances share."""
    rng = Random(0)
    return tuple(
        set.intersection(
            *(lower_case_words(gsm.training_instance(template, rng).question) for _ in range(INSTANCES_PER_TEMPLATE))
        )
        for template in gsm.USABLE_TEMPLATES
    )
