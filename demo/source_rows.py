"""Rows of other tasks for ReBase's demo: reasoning-gym items, flattened, each family with columns of its own.

    {"problem": "Calculate 57 + 30 - 12.", "result": "75", "metadata.num_terms": "3"}

`FAMILIES` is also what the demo's datastore is made from. Families that state two or more quantities can be
rewritten; the others (spelling, ciphers, kinship) can not.
"""

import json
import re
from functools import cache
from random import Random
from typing import Any

from raydistill.demo import gold, gsm
from raydistill.demo.prompts import QUESTION_SUFFIX

ITEMS_PER_FAMILY = 1_000_000
VALUE_CHARACTERS = 200  # longer values are cut (the paper: at 250)

SMALL = {"max_digits": 2, "max_terms": 4}
SUMS = {"operators": ["+", "-"], "allow_negation": False, "allow_parentheses": False}
WITH_QUANTITIES: dict[str, dict[str, Any]] = {
    "chain_sum": SMALL,
    "basic_arithmetic": SMALL | SUMS,
    "leg_counting": {"min_animals": 2, "max_animals": 4},
    "gsm_symbolic": {},
    "simple_equations": {},
    "gcd": {"max_value": 200},
    "lcm": {},
    "products": {"max_digits": 2},
    "number_sequence": {},
    "count_primes": {"max_n": 300},
}
WITHOUT_QUANTITIES: dict[str, dict[str, Any]] = {
    "letter_counting": {},
    "spell_backward": {},
    "family_relationships": {},
    "caesar_cipher": {"max_words": 8},
    "sentence_reordering": {"max_words_in_sentence": 12},
}
FAMILIES = WITH_QUANTITIES | WITHOUT_QUANTITIES

QUESTION_COLUMNS = ("question", "problem", "text", "prompt")
ANSWER_COLUMNS = ("answer", "solution", "result", "label")
LEFT_OUT = ("source_dataset", "source_index", "difficulty", "answer_cot", "variables", "answer_value")
WHOLE_NUMBER = re.compile(r"(?<![\w.,:/$%-])\d{1,3}(?![\w%/:]|[.,]\d)(?: ([a-z]{3,}s)\b)?")


def random_row(families: dict[str, dict[str, Any]], rng: Random) -> dict[str, str]:
    """A row of one of the families, under column names drawn at random, with up to two metadata columns."""
    name = rng.choice(list(families))
    item = _gsm_item(rng) if name == "gsm_symbolic" else _dataset(name)[rng.randrange(ITEMS_PER_FAMILY)]
    return flattened(item, rng.choice(QUESTION_COLUMNS), rng.choice(ANSWER_COLUMNS), rng.randint(0, 2))


def flattened(item: dict[str, Any], question: str, answer: str, metadata: int) -> dict[str, str]:
    """A reasoning-gym item as a row of text columns.

    Args:
        item: the item.
        question: name of the question's column.
        answer: name of the answer's column.
        metadata: how many columns of its metadata to keep at most.
    """
    kept = {f"metadata.{key}": value for key, value in item["metadata"].items() if key not in LEFT_OUT}
    values = {question: item["question"], answer: item["answer"]} | dict(list(kept.items())[:metadata])
    return {key: cut(value if isinstance(value, str) else json.dumps(value)) for key, value in values.items()}


def cut(text: str) -> str:
    """The text on one line, at most ``VALUE_CHARACTERS`` long."""
    return " ".join(text.split())[:VALUE_CHARACTERS]


def quantities(row: dict[str, str]) -> list[tuple[int, str, bool]]:
    """What a row's question (its first column) counts: number, noun behind it or "", whether a minus is before it."""
    text = next(iter(row.values()))
    found = [(int(m[0].split()[0]), m[1] or "", text[: m.start()].endswith(" - ")) for m in WHOLE_NUMBER.finditer(text)]
    return [quantity for quantity in found if quantity[0] > 0]


def numbers(row: dict[str, str]) -> set[int]:
    """Every run of digits in the row, as numbers."""
    return {int(number) for value in row.values() for number in re.findall(r"\d+", value)}


def _gsm_item(rng: Random) -> dict[str, Any]:
    """A training instance of a template that the teacher is taught anyway: the others stay unseen."""
    instance = gsm.training_instance(rng.choice(tuple(gold.TEMPLATES)), rng)
    return {"question": instance.question + QUESTION_SUFFIX, "answer": instance.answer, "metadata": {}}


@cache
def _dataset(name: str) -> Any:
    """The training items of a family, with seeds that no other data set reaches."""
    import reasoning_gym

    seed = gsm.TRAIN_SEED_START
    return reasoning_gym.create_dataset(name, size=ITEMS_PER_FAMILY, seed=seed, **FAMILIES[name])
