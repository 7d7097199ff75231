"""The tasks that ReBase's demo distils: stock keeping, in thousands of formats, each with an exact solver.

    Noah counts 57 apples. Then 30 are bought. Then 12 are sold. How many apples remain?      57 + 30 = 87. ...

A format is a choice of speaker, opening, wording of a change, two verbs and a question; an instruction and three
examples describe it. `parse` reads a question of any format without knowing how it was made, so that whatever a
model writes can be recalculated.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from raydistill.demo.invented import words

WHO = {
    "person": ("Mia", "Noah", "Emma", "Liam", "Ava", "Omar", "Ruth", "Ivan", "Lena", "Paul"),
    "place": ("A shop", "A farm", "A school", "A museum", "A market", "A library", "A bakery", "A hotel"),
    "container": ("The box", "The shelf", "The crate", "The bag", "The drawer", "The basket", "The truck"),
}
WHO_PATTERNS = {"person": r"[A-Z][a-z]+", "place": r"A [a-z]+", "container": r"The [a-z]+"}
OPENINGS = ("has", "starts with", "holds", "counts", "keeps")
CHANGES = ("Then {n} are {verb}.", "{n} are {verb}.", "Later {n} are {verb}.", "Next, {n} are {verb}.")
GAINS = ("added", "bought", "found", "delivered", "made", "brought")
LOSSES = ("removed", "sold", "lost", "taken", "broken", "given away")
QUESTIONS = (
    "How many {things} are there now?",
    "How many {things} are left?",
    "How many {things} remain?",
    "How many {things} are there at the end?",
    "What is the number of {things} now?",
)
INSTRUCTIONS = (
    "Ask how many things there are after some are {gain} and some are {loss}.",
    "Word problems on a stock: things are {gain} or {loss}. The answer is a number.",
    "A count changes as things are {gain} or {loss}; ask for the final count.",
)
THINGS = tuple(
    words(
        "apples books pens cups eggs balls boxes coins cards plates chairs lamps shirts hats shoes stamps flowers "
        "stones keys bottles pears plums nuts toys dolls bikes tickets letters bags ropes nails bricks rings spoons "
        "towels candles maps kites drums clocks"
    )
)
LARGEST = 999  # quantity that a question states


@dataclass(frozen=True)
class Format:
    """What the questions of one target task have in common."""

    who: str  # key of WHO
    opening: str
    change: str
    gain: str
    loss: str
    question: str


@dataclass(frozen=True)
class Problem:
    """What a question says: a first quantity, and the signed changes to it."""

    who: str  # the one named, e.g. "Mia"
    things: str
    quantities: tuple[int, ...]  # the first one, then the changes: negative where something goes
    fits: bool  # whether the text is of the format that it was read by

    @property
    def answer(self) -> int | None:
        """The final count; None where more things go than there are."""
        count = 0
        for quantity in self.quantities:
            count += quantity
            if count < 0:
                return None
        return count


def random_format(rng: Random) -> Format:
    """One of the formats, all equally likely."""
    choices = (OPENINGS, CHANGES, GAINS, LOSSES, QUESTIONS)
    return Format(rng.choice(list(WHO)), *map(rng.choice, choices))


def instruction(form: Format, rng: Random) -> str:
    """What the examples of a format have in common, said in one of several wordings."""
    return rng.choice(INSTRUCTIONS).format(gain=form.gain, loss=form.loss)


def changes(numbers: Sequence[int], rng: Random, minus: float = 0.5) -> tuple[int, ...]:
    """The numbers with signs: a later one is taken away with probability ``minus``, if there is that much."""
    signed: list[int] = []
    for number in numbers:
        goes = bool(signed) and rng.random() < minus and number <= sum(signed)
        signed.append(-number if goes else number)
    return tuple(signed)


def example(form: Format, who: str, things: str, quantities: Sequence[int]) -> dict[str, str]:
    """A question of the format with its reasoning and its answer."""
    sentences = [f"{who} {form.opening} {quantities[0]} {things}."]
    for quantity in quantities[1:]:
        verb = form.gain if quantity > 0 else form.loss
        sentences.append(form.change.format(n=abs(quantity), verb=verb))
    sentences.append(form.question.format(things=things))
    steps, count = [], quantities[0]
    for quantity in quantities[1:]:
        steps.append(f"{count} {'+' if quantity > 0 else '-'} {abs(quantity)} = {count + quantity}.")
        count += quantity
    return {"input": " ".join(sentences), "reasoning": " ".join(steps), "output": str(count)}


def random_example(form: Format, rng: Random) -> dict[str, str]:
    """An example with one or two changes and quantities of one or two digits, now and then of three."""
    numbers = [rng.randint(2, 10 ** rng.choice((1, 2, 2, 2, 3)) - 1) for _ in range(rng.choice((2, 3)))]
    return example(form, rng.choice(WHO[form.who]), rng.choice(THINGS), changes(numbers, rng))


def parse(text: str, form: Format | None = None) -> Problem | None:
    """Read a question; None where it is none of this task.

    Args:
        text: the question.
        form: the format to hold it to; `Problem.fits` tells whether it is of that one. None: any will do.
    """
    match = _whole().fullmatch(text)
    if not match or match["things"] != match["asked"]:
        return None
    found = list(_change().finditer(match["changes"]))
    signed = [int(change["n"]) * (1 if change["verb"] in GAINS else -1) for change in found]
    quantities = (int(match["first"]), *signed)
    if not all(0 < abs(quantity) <= LARGEST for quantity in quantities):
        return None
    wordings = {change[0].replace(change["n"], "{n}", 1).replace(change["verb"], "{verb}") for change in found}
    verbs = {change["verb"] for change in found}
    fits = form is None or (
        re.fullmatch(WHO_PATTERNS[form.who], match["who"]) is not None
        and match["opening"] == form.opening
        and wordings == {form.change}
        and verbs <= {form.gain, form.loss}
        and match["question"] == form.question.format(things=match["things"])
    )
    return Problem(match["who"], match["things"], quantities, fits)


def solve(text: str) -> int | None:
    """The answer of a question of any format; None where it is no question of this task or has no answer."""
    problem = parse(text)
    return problem.answer if problem else None


@cache
def _change() -> re.Pattern[str]:
    """One change, of any wording."""
    wordings = "|".join(sorted((re.escape(change.partition("{")[0]) for change in CHANGES), key=len, reverse=True))
    return re.compile(rf"(?:{wordings})(?P<n>\d+) are (?P<verb>{'|'.join(GAINS + LOSSES)})\.")


@cache
def _whole() -> re.Pattern[str]:
    """A question, of any format."""
    change = _change().pattern.replace("?P<n>", "?:").replace("?P<verb>", "?:")
    question = "|".join(re.escape(q).replace(r"\{things\}", "[a-z]+") for q in QUESTIONS)
    return re.compile(
        rf"(?P<who>{'|'.join(WHO_PATTERNS.values())}) (?P<opening>{'|'.join(OPENINGS)}) (?P<first>\d+) "
        rf"(?P<things>[a-z]+)\. (?P<changes>(?:{change} )+)"
        rf"(?P<question>(?=(?:How many|What is the number of) (?P<asked>[a-z]+))(?:{question}))"
    )
