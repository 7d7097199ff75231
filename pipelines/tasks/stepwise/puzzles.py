"""Ordering puzzles in BIG-bench's form of logical deduction: claims, and questions read into claims."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

from raydistill.pipelines.tasks.stepwise.base import UnreadableQuestion

Order = tuple[str, ...]
"""All objects: from the left, the oldest, the cheapest, the winner on."""

MAX_OBJECTS = 7  # 5,040 orders to enumerate
ANSWER = "answer"  # the object asked for, in a claim about its place
COUNTS = "three|four|five|six|seven"
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")
_NTH = rf"(?:(?P<nth>{'|'.join(ORDINALS)})[- ])?"

OBJECTS = re.compile(
    rf"\b(?:{COUNTS}) [a-z]+: (?P<list>[^.:]+)\. (?P<clues>.+)\n(?:Options:\n(?P<options>.+)|Which (?P<asked>.+)\?)",
    re.DOTALL,
)
OPTION = re.compile(r"\((?P<letter>[A-Z])\) (?P<statement>.+)")
STATEMENT = re.compile(r"(?:The |the )?(?P<subject>.+?) (?:is|are|finished) (?:the )?(?P<what>.+?)\.?")
PREDICATE = re.compile(r"\b(?:is|are|finished) .+")
BEFORE = re.compile(r"(?:to the left of|older than|above|less expensive than|cheaper than) (?:the )?(?P<other>.+)")
AFTER = re.compile(r"(?:to the right of|newer than|below|more expensive than) (?:the )?(?P<other>.+)")
FROM_START = re.compile(rf"{_NTH}(?:from the left|leftmost|oldest|cheapest)|(?P<place>{'|'.join(ORDINALS)})")
FROM_END = re.compile(rf"{_NTH}(?:from the right|rightmost|newest|most expensive|to-last|last)")
CLAIM = re.compile(r"(?P<subject>.+?) (?:before (?P<other>.+?)|at (?P<place>\d{1,3}))\.?")


@dataclass(frozen=True, slots=True)
class Claim:
    """`subject` stands before `other`, or at `place` counted from 1; ``answer at 2`` says what place is asked about."""

    subject: str
    other: str = ""
    place: int = 0

    def __str__(self) -> str:
        return f"{self.subject} before {self.other}" if self.other else f"{self.subject} at {self.place}"

    @property
    def names(self) -> set[str]:
        """The objects that the claim is about."""
        return {self.subject, self.other} - {""}

    @property
    def about_answer(self) -> bool:
        """Whether this is ``answer at 2``."""
        return self.subject == ANSWER and not self.other

    def holds(self, order: Order) -> bool:
        """Whether the claim is true of this order; a claim about anything that is not there is false."""
        if not self.names <= set(order):
            return False
        if self.other:
            return order.index(self.subject) < order.index(self.other)
        return order.index(self.subject) == self.place - 1


@dataclass(frozen=True, slots=True)
class Puzzle:
    """What a question says; `orders` are all those that its clues admit."""

    objects: tuple[str, ...]
    clues: tuple[Claim, ...]
    options: tuple[tuple[str, Claim], ...]  # the answer, which is (A) or an object, and what it claims
    orders: tuple[Order, ...]

    @property
    def asked(self) -> int:
        """The place that all options are about; 0 if there is none."""
        places = {claim.place for _, claim in self.options}
        return places.pop() if len(places) == 1 else 0

    def entails(self, claim: Claim) -> bool:
        """Whether the claim holds in every order that the clues admit, or says what place is asked about."""
        if claim.about_answer:
            return 0 < claim.place == self.asked
        return all(map(claim.holds, self.orders))


@lru_cache(maxsize=4096)
def read_puzzle(question: str) -> Puzzle:
    """Read a question. Raises UnreadableQuestion, also where its clues do not decide between the options."""
    found = OBJECTS.search(question.strip())
    if not found:
        raise UnreadableQuestion(
            f"logical_deduction: expected objects, clues, and options or a question, got {question[:80]!r}"
        )
    objects = read_list(found["list"])
    clues = tuple(read_statement(sentence, objects) for sentence in found["clues"].split(". "))
    if found["asked"]:
        options = [(name, read_statement(f"{name} {found['asked']}", objects)) for name in objects]
    else:
        options = read_options(found["options"], objects)
    orders = tuple(order for order in permutations(objects) if all(clue.holds(order) for clue in clues))
    puzzle = Puzzle(objects, clues, tuple(options), orders)
    if not orders or sum(puzzle.entails(claim) for _, claim in options) != 1:
        raise UnreadableQuestion(f"logical_deduction: the clues do not decide for one option in {question[:80]!r}")
    return puzzle


def read_list(text: str) -> tuple[str, ...]:
    """``a rose, a fern, and an aster`` as names without articles. Raises UnreadableQuestion."""
    parts = [part for part in re.split(r",\s*(?:and\s+)?|\s+and\s+", text) if part]
    objects = tuple(re.sub(r"^(?:a|an|the) ", "", part) for part in parts)
    if len(objects) > MAX_OBJECTS or len(set(objects)) < len(objects):
        raise UnreadableQuestion(
            f"logical_deduction: expected at most {MAX_OBJECTS} different objects, got {text[:80]!r}"
        )
    return objects


def read_options(text: str, objects: tuple[str, ...]) -> list[tuple[str, Claim]]:
    """Lettered statements, one per line. Raises UnreadableQuestion."""
    options = []
    for line in text.splitlines():
        if not (option := OPTION.fullmatch(line.strip())):
            raise UnreadableQuestion(f"logical_deduction: expected an option like (A) ..., got {line[:80]!r}")
        options.append((f"({option['letter']})", read_statement(option["statement"], objects)))
    return options


def without_options(question: str) -> str:
    """The question asked openly: ``Which is the oldest?`` for options that say so of one object each."""
    told, _, options = question.partition("\nOptions:\n")
    (predicate,) = {line[found.start() :] for line in options.splitlines() if (found := PREDICATE.search(line))}
    return f"{told}\nWhich {predicate}?"


def read_statement(sentence: str, objects: tuple[str, ...]) -> Claim:
    """A clue or an option as a claim. Raises UnreadableQuestion."""
    statement = STATEMENT.fullmatch(sentence.strip())
    what = statement["what"] if statement else ""
    claim = None
    if statement and (before := BEFORE.fullmatch(what)):
        claim = Claim(statement["subject"], before["other"])
    elif statement and (after := AFTER.fullmatch(what)):
        claim = Claim(after["other"], statement["subject"])
    elif statement and (start := FROM_START.fullmatch(what)):
        claim = Claim(statement["subject"], place=nth(start["nth"] or start["place"]))
    elif statement and (end := FROM_END.fullmatch(what)):
        claim = Claim(statement["subject"], place=len(objects) + 1 - nth(end["nth"]))
    if claim is None or not claim.names <= set(objects):
        raise UnreadableQuestion(f"logical_deduction: cannot read the statement {sentence[:80]!r}")
    return claim


def nth(ordinal: str | None) -> int:
    """The number of an ordinal; 1 without one (``leftmost``)."""
    return ORDINALS.index(ordinal) + 1 if ordinal else 1


def read_claim(text: str) -> Claim | None:
    """A step as a claim: ``rose before fern`` or ``fern at 3``."""
    found = CLAIM.fullmatch(text)
    return Claim(found["subject"], found["other"] or "", int(found["place"] or 0)) if found else None
