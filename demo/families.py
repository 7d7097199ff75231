"""Programs for reasoning-gym families other than ``gsm_symbolic``: the base student's taste of real tasks."""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

ITEMS_PER_FAMILY = 1_000_000
FAMILY_SEED = 20_000_000


def _expression_program(item: dict[str, Any]) -> str:
    return f"    return {item['metadata']['expression']}\n"


def _gcd_program(item: dict[str, Any]) -> str:
    numbers = ", ".join(map(str, item["metadata"]["numbers"]))
    return f"    import math\n    return math.gcd({numbers})\n"


def _lcm_program(item: dict[str, Any]) -> str:
    numbers = ", ".join(map(str, item["metadata"]["numbers"]))
    return f"    import math\n    return math.lcm({numbers})\n"


def _count_bits_program(item: dict[str, Any]) -> str:
    return f"    bits = bin({item['metadata']['number']})\n    return bits.count('1')\n"


def _letter_counting_program(item: dict[str, Any]) -> str:
    text = " ".join(item["metadata"]["span"])
    return f"    text = {text!r}\n    return text.lower().count({item['metadata']['target_letter']!r})\n"


FAMILIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "chain_sum": _expression_program,
    "decimal_chain_sum": _expression_program,
    "basic_arithmetic": _expression_program,
    "gcd": _gcd_program,
    "lcm": _lcm_program,
    "count_bits": _count_bits_program,
    "letter_counting": _letter_counting_program,
}


def family_program(rng: Random) -> tuple[str, str]:
    """A (question, program) pair of one of ``FAMILIES``, drawn evenly."""
    name = rng.choice(list(FAMILIES))
    item = _dataset(name)[rng.randrange(ITEMS_PER_FAMILY)]
    return item["question"].strip(), "def solution():\n" + FAMILIES[name](item)


@cache
def _dataset(name: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(name, size=ITEMS_PER_FAMILY, seed=FAMILY_SEED)
