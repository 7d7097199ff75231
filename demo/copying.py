"""Copying out of questions: which numbers a text holds, what each of them counts, which letter an option has."""

import re
from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

from demo.skill import Example
from pipelines.stepwise.dates import misread, write
from pipelines.stepwise.prompts import attempt_prompt
from pipelines.stepwise.scenes import EVERY_OBJECT
from pipelines.stepwise.steps import ANSWER_SENTENCE, join_steps

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


def lettered_option(rng: Random) -> Example:
    """Which letter does a date or an object have among options? The key is the letter."""
    dates = rng.random() < 0.6
    options = similar_dates(6, rng) if dates else rng.sample(EVERY_OBJECT, rng.randint(3, 5))
    place = rng.randrange(len(options))
    form = rng.choice(("{}", "The {} is the leftmost", "{} finished second", "The {} are the cheapest"))
    letters = "ABCDEF"[: len(options)]
    said = options if dates else [form.format(option) for option in options]
    lines = [f"({letter}) {option}" for letter, option in zip(letters, said, strict=True)]
    question = "\n".join([f"Which option says {options[place]}?", "Options:", *lines])
    completion = join_steps([ANSWER_SENTENCE.format(answer=f"({letters[place]})")])
    return Example(attempt_prompt(question), completion, key=letters[place])


def similar_dates(count: int, rng: Random) -> list[str]:
    """Different dates that are easily mistaken for each other."""
    first = date(1950, 1, 1) + timedelta(days=rng.randrange(36_500))
    dates = {write(first)}
    while len(dates) < count:
        dates.add(write(misread(first, rng) if rng.random() < 0.7 else misread(misread(first, rng), rng)))
    return rng.sample(sorted(dates), count)
