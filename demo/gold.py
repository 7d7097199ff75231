"""Gold programs for ``gsm_symbolic``, and the three rules that a gold program has to meet.

`gold_programs.yaml` holds one hand-written text per template; an instance's numbers fill it in:

    template 43 --> second_amount = {first_amount} - {difference}   --> second_amount = 13 - 3
                    return {first_amount} + second_amount               return 13 + second_amount

A gold program counts only if it returns the answer (``returns_answer``), every number in it stands in the
question or is a unit constant (``unexplained_numbers``), and the same text with another
instance's numbers gives that instance's answer, which holds by construction; the tests check all three.
``demo.styles`` writes the programs in other ways, ``demo.rationales`` tells them in words.
"""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from raydistill.demo import worked
from raydistill.demo.copying import numbers_in
from raydistill.demo.gsm import Instance

PROGRAMS: dict[int, str] = yaml.safe_load(Path(__file__).with_name("gold_programs.yaml").read_text(encoding="utf-8"))
TEMPLATES = sorted(PROGRAMS)
RELATIVE_TOLERANCE = 1e-6
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")  # a number of a program; not the digit of a name
PLACEHOLDER = re.compile(r"\{(\w+)(?:\[(\d+)\])?\}")  # of a template's text: {name} or {name[i]}

NUMBER_WORDS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "half": 2, "twice": 2, "double": 2, "twins": 2, "third": 3, "triple": 3, "triplets": 3,
    "quarter": 4, "dozen": 12, "dozens": 12, "week": 7, "month": 30,
}  # fmt: skip
"""Words that stand for a number in a question; "half" and "quarter" as divisors."""

QUANTITY_NAMES = {
    (16, 2): "first_friends", (18, 2): "percent", (26, 1): "first_percent", (26, 2): "second_percent",
    (70, 1): "dropped", (84, 2): "multiplier", (89, 2): "multiplier",
}  # fmt: skip
"""Names for the numbers that a template's text has as ``{q[i]}``, by template and i."""

UNIT_CONSTANTS = {7, 12, 24, 30, 52, 60, 100}
"""Days a week, months a year, hours, days a month, weeks a year, minutes or seconds, percent or cents."""


def program(instance: Instance) -> str:
    """The gold program of an instance, e.g. ``def solution():\\n    boys = 9 * 4\\n ...``."""
    values = {name: _as_written(value) for name, value in instance.variables.items()}
    body = PROGRAMS[instance.template].strip().format(**values, q=numbers_in(instance.question))
    return _definition(body)


def with_named_givens(instance: Instance) -> tuple[str, dict[str, str]]:
    """The gold program with a name for each number that the instance gives it, and those numbers' texts by name.

    Example: ``("def solution():\\n    boys = n_girls * multiplier\\n ...", {"n_girls": "9", "multiplier": "4"})``.
    """
    body = PROGRAMS[instance.template].strip()
    values = {name: _as_written(value) for name, value in instance.variables.items()}
    assigned = set(re.findall(r"^ *(\w+) = ", body, re.MULTILINE))
    givens = {}

    def named(placeholder: re.Match[str]) -> str:
        variable, index = placeholder.groups()
        name = f"{variable}_{int(index) + 1}" if index else variable
        name = QUANTITY_NAMES[instance.template, int(index)] if variable == "q" else name
        name += "_given" if name in assigned else ""
        givens[name] = placeholder[0].format(**values, q=numbers_in(instance.question))
        return name

    return _definition(PLACEHOLDER.sub(named, body)), givens


def _definition(body: str) -> str:
    return "def solution():\n" + "".join(f"    {line}\n" for line in body.split("\n"))


def _as_written(value: Any) -> Any:
    """A variable as a question writes it: number words become their number, fractions become ``1/3``."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    return NUMBER_WORDS.get(value, value) if isinstance(value, str) else value


def returns_answer(source: str, answer: str) -> bool:
    """Whether a gold program (our own text, trusted) returns the answer."""
    namespace: dict[str, Any] = {}
    exec(source, namespace)  # gold programs are this package's own text, never a model's
    return same_number(namespace["solution"](), answer)


def same_number(value: Any, answer: str) -> bool:
    """Whether a value equals an answer within ``RELATIVE_TOLERANCE``."""
    try:
        number, gold = float(value), float(answer)
    except (TypeError, ValueError, OverflowError):
        return False
    return abs(number - gold) <= RELATIVE_TOLERANCE * max(1.0, abs(gold))


def unexplained_numbers(source: str, question: str) -> set[float]:
    """Numbers of a program that neither stand in the question nor are unit constants."""
    stated = {float(number) for number in numbers_in(question)}
    words = set(re.findall(r"[a-z]+", question.lower()))
    stated |= {float(number) for word, number in NUMBER_WORDS.items() if word in words}
    used = {float(number) for number in NUMBER.findall(source)}
    return used - stated - UNIT_CONSTANTS


def without_numbers(source: str) -> str:
    """A program's text with ``#`` for each number: the same for every instance of a template."""
    return NUMBER.sub("#", source)


# Templates whose programs are straight-line arithmetic, which can be worked out step by step.
RATIONALE_TEMPLATES = [template for template in TEMPLATES if worked.is_straight_line(PROGRAMS[template])]
