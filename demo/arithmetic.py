"""Bare calculations, worked in the wordings and formats of the rationales: the drills behind them.

The kinds and ranges follow what the rationales of ``gsm_symbolic`` calculate: one- to three-digit numbers mostly,
small factors, exact quotients and percentages, some prices with cents and round thousands, and last steps that
combine what was found before.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from random import Random

from raydistill.demo import gold, rationales, worked

MAX_CALCULATIONS = 3


def drill(rng: Random) -> tuple[str, str]:
    """A question with one to three calculations, and each of them worked; the last one is the answer.

    Example: ``Calculate first cost = 52 * 13 and result = first cost + 85.`` and its worked steps.
    """
    names = rng.sample(step_names(), rng.randrange(MAX_CALCULATIONS))
    program = "def solution():\n"
    for name in names:
        program += f"    {name} = {calculation(rng)}\n"
    last = combination(program, names[-1], rng) if names and rng.random() < 0.5 else calculation(rng)
    program += f"    return {last}\n"
    asked = [line.strip().replace("return", "result =").replace("_", " ") for line in program.split("\n")[1:-1]]
    steps = worked.steps(program)
    return f"Calculate {' and '.join(asked)}.", rationales.render(steps, rng.choice(list(rationales.WORDINGS)))


@cache
def step_names() -> list[str]:
    """The names of the steps in the gold programs: ``["age", "apartments", ...]``."""
    lines = "\n".join(gold.PROGRAMS[template] for template in gold.RATIONALE_TEMPLATES).split("\n")
    return sorted({line.partition(" = ")[0] for line in lines if " = " in line})


def calculation(rng: Random) -> str:
    """One expression of ``KINDS``."""
    return rng.choices(list(KINDS), weights=list(KINDS.values()))[0](rng)


def combination(program: str, name: str, rng: Random) -> str:
    """An expression with the value that a program calls `name`: added to, taken from or multiplied."""
    value = Fraction(worked.steps(program)[-1].value)
    kind = rng.choice("++-*")
    if kind == "-":
        return f"{math.ceil(value) + whole_number(rng)} - {name}"
    return f"{name} * {rng.randint(2, 12)}" if kind == "*" else f"{whole_number(rng)} + {name}"


def whole_number(rng: Random) -> int:
    """One to four digits, two most often; one in ten is a round number up to 990,000."""
    if rng.random() < 0.1:
        return rng.randint(1, 99) * 10 ** rng.randint(1, 4)
    return rng.randint(2, 10 ** rng.choice((1, 2, 2, 2, 2, 2, 3, 3, 3, 4)))


def amount(rng: Random) -> str:
    """A whole number or, one time in twelve, a price."""
    if rng.random() < 1 / 12:
        return worked.written(Fraction(rng.randint(1, 2000), rng.choice((2, 4, 10, 100))))
    return str(whole_number(rng))


def addition(rng: Random) -> str:
    return " + ".join(amount(rng) for _ in range(rng.choice((2, 2, 2, 3, 4))))


def subtraction(rng: Random) -> str:
    smaller, difference = whole_number(rng), whole_number(rng)
    return f"{smaller + difference} - {smaller}"


def multiplication(rng: Random) -> str:
    factors = [amount(rng), str(rng.randint(2, 10 ** rng.choice((1, 1, 1, 2))))]
    rng.shuffle(factors)
    return " * ".join(factors)


def division(rng: Random) -> str:
    """An exact quotient; one time in six by whole-number division with a remainder."""
    divisor, quotient = rng.randint(2, 10 ** rng.choice((1, 1, 2, 2, 3))), rng.randint(2, 10 ** rng.choice((1, 1, 2)))
    if rng.random() < 1 / 6:
        return f"{divisor * quotient + rng.randrange(divisor)} // {divisor}"
    return f"{divisor * quotient} / {divisor}"


def percentage(rng: Random) -> str:
    """A percentage that is a whole number: ``64 * 75 / 100``."""
    percent = rng.choice((5 * rng.randint(1, 19), 10 * rng.randint(1, 9), 25 * rng.randint(1, 3), rng.randint(1, 99)))
    step = rng.choice((100 // math.gcd(percent, 100), 100, 1000, 10000))
    return f"{step * rng.randint(1, 99)} * {percent} / 100"


def fraction(rng: Random) -> str:
    denominator = rng.choice((2, 3, 4, 5, 10))
    return f"{denominator * whole_number(rng)} * {rng.randint(1, denominator - 1)} / {denominator}"


KINDS: dict[Callable[[Random], str], float] = {
    addition: 6,
    subtraction: 4,
    multiplication: 6,
    division: 3,
    percentage: 2,
    fraction: 1,
}
