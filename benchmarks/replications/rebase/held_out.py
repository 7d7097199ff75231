"""Test questions of ReBase's replication with contents from elsewhere: what word problems tell, as the demo's target.

The demo's held-out questions draw things and quantities as the teacher's training data did, so that a teacher who asks
questions of its own comes as close to them as anyone can. Contents of other texts are what rows have to offer.
"""

from __future__ import annotations

import re
from random import Random

import reasoning_gym

from raydistill.demo import target_task
from raydistill.demo.rebase_data import FAMILIES, FORM, HELD_OUT_SEED

FAMILY = "gsm_symbolic"
QUANTITY = re.compile(r"(?<![\d.,$/])\d+(?![\d%/]|[.,]\d)")
THINGS = re.compile(r"\b\d+ (?!times\b|years\b|hours\b|minutes\b)([a-z]+s)\b")


def from_word_problems(count: int) -> list[dict[str, str]]:
    """So many different questions of the target with their answers; things and quantities are of word problems."""
    rng, made = Random(HELD_OUT_SEED), dict[str, str]()
    items = reasoning_gym.create_dataset(FAMILY, size=10 * count, seed=HELD_OUT_SEED, **FAMILIES[FAMILY])
    for item in items:
        made |= _question(item["question"], rng)
    return [{"question": question, "answer": answer} for question, answer in made.items()][:count]


def _question(text: str, rng: Random) -> dict[str, str]:
    """The question with its answer; none where the text has no things or fewer than two quantities."""
    things = THINGS.search(text)
    numbers = [number for number in map(int, QUANTITY.findall(text)) if 2 <= number <= target_task.LARGEST]
    if not things or len(numbers) < 2:
        return {}
    quantities = target_task.changes(numbers[: rng.choice((2, 3))], rng)
    made = target_task.example(FORM, rng.choice(target_task.WHO[FORM.who]), things[1], quantities)
    return {made["input"]: made["output"]}
