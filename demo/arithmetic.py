"""Bare calculations, worked line by line: the drills behind the teacher's rationales.

The ranges follow what the rationales of ``gsm_symbolic`` calculate: small factors, exact quotients,
percentages of round numbers, prices with cents, thousands.
"""

from collections.abc import Callable
from fractions import Fraction
from random import Random

from demo import worked
from demo.prompts import ANSWER_SENTENCE

MAX_CALCULATIONS = 4


def drill(rng: Random) -> tuple[str, str]:
    """A question with one to four calculations, and each of them worked; the last one is the answer.

    Example: ``Calculate a = 52 * 13 and b = 700 - 85.`` and ``A: 52 * 13 = 520 + 156 = 676.\\nB: ...``
    """
    names = "abcd"[: rng.randint(1, MAX_CALCULATIONS)]
    expressions = [rng.choices(list(KINDS), weights=list(KINDS.values()))[0](rng) for _ in names]
    asked = [f"{name} = {expression}" for name, expression in zip(names, expressions, strict=True)]
    program = "".join(f"    {line}\n" for line in asked) + f"    return {names[-1]}\n"
    steps, value = worked.steps("def solution():\n" + program)
    question = f"Calculate {' and '.join(asked)}."
    return question, "\n".join([*steps[:-1], ANSWER_SENTENCE.format(answer=value)])


def whole_number(rng: Random) -> int:
    """One to four digits, shorter ones more often; one in eight is a round number up to 990,000."""
    if rng.random() < 0.125:
        return rng.randint(1, 99) * 10 ** rng.randint(1, 4)
    return rng.randint(2, 10 ** rng.choice((1, 2, 2, 2, 3, 3, 3, 4)))


def amount(rng: Random) -> str:
    """A whole number or, one time in eight, a price."""
    if rng.random() < 0.125:
        return worked.written(Fraction(rng.randint(1, 9999), rng.choice((2, 4, 10, 100))))
    return str(whole_number(rng))


def addition(rng: Random) -> str:
    return " + ".join(amount(rng) for _ in range(rng.choice((2, 2, 2, 3, 4))))


def subtraction(rng: Random) -> str:
    smaller, difference = whole_number(rng), whole_number(rng)
    return f"{smaller + difference} - {smaller}"


def multiplication(rng: Random) -> str:
    return f"{amount(rng)} * {rng.randint(2, 10 ** rng.choice((1, 1, 2, 2, 2)))}"


def division(rng: Random) -> str:
    """An exact quotient; one time in six by whole-number division with a remainder."""
    divisor, quotient = rng.randint(2, 10 ** rng.choice((1, 1, 2, 2, 3))), whole_number(rng)
    if rng.random() < 1 / 6:
        return f"{divisor * quotient + rng.randrange(divisor)} // {divisor}"
    return f"{divisor * quotient} / {divisor}"


def percentage(rng: Random) -> str:
    percent = rng.choice((rng.randint(1, 19) * 5, rng.randint(1, 99)))
    return f"{whole_number(rng)} * {percent} / 100"


def fraction(rng: Random) -> str:
    denominator = rng.choice((2, 3, 4, 5, 10))
    return f"{denominator * whole_number(rng)} * {rng.randint(1, denominator - 1)} / {denominator}"


KINDS: dict[Callable[[Random], str], float] = {
    addition: 5,
    subtraction: 4,
    multiplication: 5,
    division: 4,
    percentage: 2,
    fraction: 1,
}
