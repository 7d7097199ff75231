"""Copying quantities out of questions: which numbers a text holds, and what each of them counts."""

import re
from collections.abc import Sequence
from random import Random

from raydistill.demo.skill import Example

NUMBER = re.compile(r"\d[\d,]*\d(?:\.\d+)?|\d+(?:\.\d+)?")
COUNTED = re.compile(r"(?<![\d,.])(\d[\d,]*(?:\.\d+)?)%?[ -]([a-z]{3,})")
MAX_COUNTED = 4


def numbers_in(question: str) -> list[str]:
    """Numbers written in digits, in order, without thousands separators: ``["380000", "6", "13"]``."""
    return [number.replace(",", "") for number in NUMBER.findall(question)]


def quantities(question: str, rng: Random) -> str:
    """A list of a question's quantities, with no operation among them.

    Example: ``numbers = [5, 30, 8, 120]\\nclams = 30\\nminutes = 8\\n``; the lines come in random order.
    """
    lines = [f"{noun} = {number.replace(',', '')}" for number, noun in COUNTED.findall(question)]
    lines = rng.sample(lines, min(len(lines), MAX_COUNTED))
    lines.append(f"numbers = [{', '.join(numbers_in(question))}]")
    rng.shuffle(lines)
    return "\n".join(lines) + "\n"


def quantities_check(examples: Sequence[Example], completions: Sequence[str]) -> list[bool]:
    """Whether each completion lists the question's numbers, all and in order."""
    return [
        numbers_line(completion) == numbers_in(example.question.question)
        for example, completion in zip(examples, completions, strict=True)
    ]


def numbers_line(completion: str) -> list[str]:
    """The numbers of the line ``numbers = [...]`` of a quantities answer."""
    line = next((line for line in completion.split("\n") if line.startswith("numbers = [")), "")
    return numbers_in(line)
