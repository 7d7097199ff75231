"""The check that the base student never meets a ``gsm_symbolic`` question together with its solution.

It looks at the finished texts, not at the generators' intentions, and runs on every example of the base
student's training; the training log carries its counts.
"""

import re
from functools import cache
from random import Random

from demo import gsm
from demo.copying import numbers_in
from demo.mixture import Example

SOLUTION = re.compile(r"def |return|Therefore|answer|[+*/]|(?<!\d)-|=\s*\w+\s*[-+*/(]")
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
