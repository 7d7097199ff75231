"""Instances of reasoning-gym's ``gsm_symbolic`` task, by template and seed.

``reasoning_gym.create_dataset("gsm_symbolic", seed=s, size=n)`` draws item i with ``Random(s + i)``, so two
data sets with neighbouring seeds share instances. Training here draws its seeds from ``TRAIN_SEED_START`` up,
far above any seed that a data set is made with: whatever a user evaluates on, the models have not trained on
that instance's seed.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from raydistill.demo.prompts import strip_suffix

TRAIN_SEED_START = 2**40
TRAIN_SEED_BITS = 40

NEED_A_FIX = {32, 35, 37, 61, 63, 65, 74, 76, 77, 79, 86, 87, 90, 97, 98}
USABLE_TEMPLATES = tuple(template for template in range(100) if template not in NEED_A_FIX)
"""The 85 templates that reasoning-gym itself draws from (its ``tasks_ok``)."""


@dataclass(frozen=True)
class Instance:
    """One question, e.g. template 43: "A boy has 13 pencils. His sister has 3 fewer ..."."""

    template: int  # number of the reasoning-gym generator, 0..99
    seed: int
    question: str  # without reasoning-gym's closing remark
    answer: str  # plain number, no thousands separators: "23", "2700.0"
    variables: dict[str, Any]  # the generator's own names and values: {"first_amount": 13, ...}


def instance(template: int, seed: int) -> Instance:
    """The instance that a template's generator draws from ``Random(seed)``."""
    item = _dataset().generators[template](Random(seed), 1.0)
    answer = item["answer"].replace(",", "")
    return Instance(template, seed, strip_suffix(item["question"]), answer, item["metadata"]["variables"])


def training_instance(template: int, rng: Random) -> Instance:
    """An instance for training, with a seed that no evaluation data set reaches."""
    return instance(template, TRAIN_SEED_START + rng.getrandbits(TRAIN_SEED_BITS))


@lru_cache(maxsize=1)
def _dataset() -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset("gsm_symbolic", size=1, seed=0)
