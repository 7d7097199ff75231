"""Logical deduction: objects in a fixed order, clues, and one option per object; claims by enumeration of all orders.

Asked without options (``Which is the oldest?``), the object itself is the answer.

A step is a claim about the order: ``rose before fern`` or ``fern at 3``, counted from the left, the oldest, the
cheapest, the winner. It is right if it holds in every order that the question's clues admit. The gold rationale says
each clue again in that form and what place is asked about (``answer at 2``), then places the objects, the one asked
for last: a small student does not find it again among the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations
from random import Random

from raydistill.pipelines.tasks.answers import Kind
from raydistill.pipelines.tasks.stepwise.base import Fault, StepwiseTask, another
from raydistill.pipelines.tasks.stepwise.puzzles import (
    ANSWER,
    Claim,
    Order,
    Puzzle,
    read_claim,
    read_puzzle,
    without_options,
)
from raydistill.pipelines.tasks.stepwise.scenes import EVERY_OBJECT, SCENES, question_text, random_claim

SIZES = {1: 3, 2: 4, 3: 5, 4: 7}  # level -> objects


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A puzzle, the claims made so far, and the clues that have not been said again yet."""

    puzzle: Puzzle
    claims: tuple[Claim, ...]
    pending: tuple[Claim, ...]

    @property
    def asked(self) -> int:
        """The place asked about, as the claims have it; 0 if the question is about none."""
        return next((claim.place for claim in self.claims if claim.about_answer), self.puzzle.asked)


class LogicalDeduction(StepwiseTask[Reasoning]):
    """Three and four objects are seen, five and seven unseen."""

    name = "logical_deduction"
    answer_kind = "choice"
    kinds = ("reversed", "mixed_up", "misplaced", "stranger", "out_of_range", "answer")

    def ask(self, level: int, rng: Random) -> str:
        """Clues are drawn until they leave one order, and those not needed for that dropped; none says the answer."""
        scene, size = rng.choice(SCENES), SIZES[level]
        objects = tuple(rng.sample(scene.objects, size))
        order = tuple(rng.sample(objects, size))
        clues = deciding_clues(order, rng)
        left = sorted({*range(1, size + 1)} - {clue.place for clue in clues})
        return question_text(scene, objects, clues, rng.choice(left), rng)

    def open_ended(self, question: str) -> str:
        return without_options(question)

    def start(self, question: str) -> Reasoning:
        puzzle = read_puzzle(question)
        return Reasoning(puzzle, (), puzzle.clues)

    def propose(self, state: Reasoning) -> str | None:
        if state.pending:
            return str(state.pending[0])
        placed, asked = {claim.subject for claim in state.claims if claim.place}, state.asked
        if asked and ANSWER not in placed:
            return str(Claim(ANSWER, place=asked))
        unsaid = [Claim(name, place=n) for n, name in enumerate(believed_order(state), 1) if name not in placed]
        return str(min(unsaid, key=lambda claim: claim.place == asked)) if unsaid else None

    def judge(self, state: Reasoning, text: str) -> Fault | None:
        claim, puzzle = read_claim(text), state.puzzle
        if claim is None:
            return Fault(text, "The step should read: a before b, or: a at 2")
        known = {ANSWER} if claim.about_answer and puzzle.asked else set(puzzle.objects)
        for name in sorted(claim.names - known):
            return Fault(name, f"There is no {name}")
        if claim in state.claims:
            return Fault(text, "This was said before")
        if claim.subject == claim.other:
            return Fault(text, "Nothing stands before itself")
        if not claim.other and not 1 <= claim.place <= len(puzzle.objects):
            return Fault(text, f"There are only {len(puzzle.objects)} places")
        return None if puzzle.entails(claim) else Fault(text, correction(claim, state))

    def follow(self, state: Reasoning, text: str) -> Reasoning | None:
        claim = read_claim(text)
        if claim is None:
            return None
        if claim.about_answer or claim in state.pending or state.puzzle.entails(claim):
            pending = tuple(clue for clue in state.pending if clue != claim)
        else:  # a clue misread
            pending = state.pending[1:]
        return Reasoning(state.puzzle, (*state.claims, claim), pending)

    def conclude(self, state: Reasoning) -> str:
        puzzle = state.puzzle
        if all(map(puzzle.entails, state.claims)):
            [answer] = [answer for answer, option in puzzle.options if puzzle.entails(option)]
        else:
            order = believed_order(state)
            answer = max(puzzle.options, key=lambda option: replace(option[1], place=state.asked).holds(order))[0]
        return answer

    def kind_of(self, answer: str) -> Kind:
        return self.answer_kind if answer.startswith("(") else "text"

    def wrong_answer(self, state: Reasoning, answer: str, rng: Random) -> str:
        return another([option for option, _ in state.puzzle.options], answer, rng)

    def spoil(self, kind: str, state: Reasoning, text: str, rng: Random) -> str | None:
        claim = read_claim(text)
        objects = state.puzzle.objects
        if claim is None:
            return None
        if kind == "reversed":
            return str(Claim(claim.other, claim.subject)) if claim.other else None
        if kind == "mixed_up":
            others = [name for name in objects if name not in claim.names]
            mixed = [Claim(name, claim.other, claim.place) for name in others]
            mixed += [Claim(claim.subject, name) for name in others if claim.other]
            wrong = [candidate for candidate in mixed if not state.puzzle.entails(candidate)]
            return str(rng.choice(wrong)) if wrong else None
        if kind == "stranger":
            stranger = rng.choice([name for name in EVERY_OBJECT if name not in objects])
            return str(Claim(stranger, claim.other, claim.place))
        if claim.other:
            return None
        if kind == "out_of_range":
            return str(Claim(claim.subject, place=len(objects) + rng.randint(1, 2)))
        wrong_places = [place for place in range(1, len(objects) + 1) if place != claim.place]
        return str(Claim(claim.subject, place=rng.choice(wrong_places)))


def deciding_clues(order: Order, rng: Random) -> list[Claim]:
    """True claims that together admit this order only, none of which could be left out."""
    clues: dict[Claim, set[Order]] = {}  # each with the orders that it admits
    left = every = set(permutations(order))
    while len(left) > 1:
        clue = random_claim(order, rng)
        admitted = {candidate for candidate in left if clue.holds(candidate)}
        if len(admitted) < len(left):
            clues[clue] = {candidate for candidate in every if clue.holds(candidate)}
            left = admitted
    for clue in list(clues):
        others = [admitted for other, admitted in clues.items() if other != clue]
        if len(every.intersection(*others)) == 1:
            del clues[clue]
    return list(clues)


@lru_cache(maxsize=4096)
def believed_order(state: Reasoning) -> Order:
    """The order that the claims made so far lead to; if one is wrong, the first that most claims and clues fit."""
    if all(map(state.puzzle.entails, state.claims)):
        return state.puzzle.orders[0]
    basis = state.claims + state.pending
    return max(permutations(state.puzzle.objects), key=lambda order: sum(claim.holds(order) for claim in basis))


def correction(claim: Claim, state: Reasoning) -> str:
    """What to say instead of a wrong claim: the clue on the same objects if there is one, or what follows."""
    for clue in state.pending:
        if clue.names == claim.names:
            return f"The clue says {clue}"
    order = state.puzzle.orders[0]
    if claim.other:
        return f"It should be {Claim(claim.other, claim.subject)}"
    place = state.puzzle.asked if claim.about_answer else order.index(claim.subject) + 1
    return f"It should be {replace(claim, place=place)}"
