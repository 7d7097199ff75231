"""Date understanding: a date, events some time apart, and six options; one calendar calculation per step.

Questions have BIG-bench's form (``What is the date ... in MM/DD/YYYY?``, options A to F) and stems of their own. Asked
without options, the date itself is the answer. The script reads these stems only; for any other question feedback needs
the gold answer.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from raydistill.pipelines.tasks.answers import Kind
from raydistill.pipelines.tasks.stepwise.base import Fault, StepwiseTask, UnreadableQuestion, another

DATE = r"\d{1,2}/\d{1,2}/\d{4}"
SPAN = r"(\d+) (day|week|month|year)s?"
ASKED = re.compile(
    rf"(?:[A-Z]\w+'s calendar shows (?P<today>{DATE}) today\."
    rf"|[A-Z]\w+ [a-z ]+ on (?P<first>{DATE})\.(?P<events>(?: [A-Z]\w+ [a-z ]+ {SPAN} (?:later|earlier)\.)*)"
    rf" Today is (?P<since>{SPAN} (?:after|before)) that\.)"
    r" What is the date (?P<asked>[^?]+) in MM/DD/YYYY\?(?:\nOptions:\n(?P<options>.+))?",
    re.DOTALL,
)
HOP = re.compile(rf"{SPAN} (later|earlier|after|before|ago|from today)")
OPTION = re.compile(rf"\((?P<letter>[A-Z])\) (?P<date>{DATE})")
STEP = re.compile(rf"(?P<hop>{SPAN} (?:after|before)) (?P<start>{DATE}) is (?P<end>{DATE})\.?")
DAYS = {"tomorrow": "1 day from today", "yesterday": "1 day ago"}

NAMES = ("Ana", "Ben", "Cleo", "Dan", "Elif", "Finn", "Greta", "Hal", "Ines", "Jon", "Kira", "Liam")
FIRST_EVENTS = ("planted a tree", "opened a shop", "began a diary", "sent a parcel", "moved house", "lost a key")
LATER_EVENTS = ("called", "came for a visit", "wrote a letter", "bought a bicycle", "found a coin")
LONGEST = {
    1: {"day": 9, "week": 1, "month": 1, "year": 3},
    2: {"day": 9, "week": 2, "month": 2, "year": 5},
    3: {"day": 30, "week": 4, "month": 6, "year": 10},
    4: {"day": 60, "week": 8, "month": 11, "year": 30},
}  # level (which is also the number of calculations) -> unit -> longest time between two events


@dataclass(frozen=True, slots=True)
class Hop:
    """So many days, weeks, months or years on (back if negative); ``Hop(-2, "week")``."""

    amount: int
    unit: str

    def __str__(self) -> str:
        size = abs(self.amount)
        return f"{size} {self.unit}{'s' * (size != 1)} {'after' if self.amount > 0 else 'before'}"


@dataclass(frozen=True, slots=True)
class Journey:
    """The date reached, what is still to be added or taken away, and the options by letter, if there are any."""

    reached: date
    hops: tuple[Hop, ...]
    options: tuple[tuple[str, date], ...]


class DateUnderstanding(StepwiseTask[Journey]):
    """Each step goes from one event to the next, the last one to the day that is asked for."""

    name = "date_understanding"
    answer_kind = "choice"
    kinds = ("day", "month", "year", "direction", "start", "answer")

    def ask(self, level: int, rng: Random) -> str:
        """As many calculations as the level's number."""
        first = date(1950, 1, 1) + timedelta(days=rng.randrange(36_500))
        hops: list[Hop] = []
        reached = first
        while len(hops) < level:
            hop = random_hop(level, rng)
            if reached.day <= 28 or hop.unit in ("day", "week"):  # a month after January 31 is open to debate
                hops.append(hop)
                reached = shift(reached, hop)
        options = sorted({reached, *distractors(first, hops, reached, rng)})
        rng.shuffle(options)
        lines = "".join(f"\n({letter}) {write(option)}" for letter, option in zip("ABCDEF", options, strict=True))
        return (
            f"{stem(first, hops[:-1], rng)} What is the date {asked_phrase(hops[-1])} in MM/DD/YYYY?\nOptions:{lines}"
        )

    def open_ended(self, question: str) -> str:
        return question.partition("\nOptions:")[0]

    def start(self, question: str) -> Journey:
        asked = ASKED.fullmatch(question.strip())
        first = read(asked["today"] or asked["first"]) if asked else None
        phrase = DAYS.get(asked["asked"], asked["asked"]) if asked else ""
        if not asked or first is None or not HOP.fullmatch(phrase):
            raise UnreadableQuestion(
                f"date_understanding: only questions of this project's generator, got {question[:80]!r}"
            )
        hops = [read_hop(found) for found in HOP.finditer(f"{asked['events'] or ''} {asked['since'] or ''} {phrase}")]
        read_options = [(found["letter"], read(found["date"])) for found in OPTION.finditer(asked["options"] or "")]
        options = tuple((letter, day) for letter, day in read_options if day)
        if asked["options"] and not options:
            raise UnreadableQuestion(f"date_understanding: no option like (A) 01/02/2003 in {question[-80:]!r}")
        return Journey(first, tuple(hops), options)

    def propose(self, state: Journey) -> str | None:
        return written(state.hops[0], state.reached) if state.hops else None

    def judge(self, state: Journey, text: str) -> Fault | None:
        step = STEP.fullmatch(text)
        if not step:
            return Fault(text, "The step should read: 3 days after 01/02/2003 is 01/05/2003")
        if not state.hops:
            return Fault(text, f"{write(state.reached)} is the date that is asked for")
        hop, start, end = state.hops[0], read(step["start"]), read(step["end"])
        if start is None or end is None:
            return Fault(step["end"] if start else step["start"], "The calendar has no such date")
        if start != state.reached:
            return Fault(step["start"], f"The date so far is {write(state.reached)}")
        if step["hop"] != str(hop):
            return Fault(step["hop"], f"The question says {hop}")
        expected = shift(start, hop)
        return None if end == expected else Fault(step["end"], f"{hop} {write(start)} is {write(expected)}")

    def follow(self, state: Journey, text: str) -> Journey | None:
        step = STEP.fullmatch(text)
        end = read(step["end"]) if step else None
        return Journey(end, state.hops[1:], state.options) if end else None

    def conclude(self, state: Journey) -> str:
        """Where the calculations lead, or the option nearest to it: that very day if all was right."""
        reached = state.reached
        for hop in state.hops:
            reached = shift(reached, hop)
        if not state.options:
            return write(reached)
        letter, _ = min(state.options, key=lambda option: abs(option[1] - reached))
        return f"({letter})"

    def kind_of(self, answer: str) -> Kind:
        return "text" if read(answer) else self.answer_kind

    def wrong_answer(self, state: Journey, answer: str, rng: Random) -> str:
        if not state.options:
            return write(misread(state.reached, rng))
        return another([f"({letter})" for letter, _ in state.options], answer, rng)

    def spoil(self, kind: str, state: Journey, text: str, rng: Random) -> str | None:
        hop, right = state.hops[0], shift(state.reached, state.hops[0])
        if kind == "start":
            return written(hop, misread(state.reached, rng))
        if kind == "direction":
            return written(hop, state.reached, shift(state.reached, Hop(-hop.amount, hop.unit)))
        wrong = shift(right, Hop(rng.choice((-2, -1, 1, 2)), kind))
        return written(hop, state.reached, wrong)


def shift(day: date, hop: Hop) -> date:
    """The day that is `hop` away; the last of the month where the month is too short. Ends at the calendar's ends."""
    try:
        if hop.unit in ("day", "week"):
            return day + timedelta(days=hop.amount * (7 if hop.unit == "week" else 1))
        months = day.year * 12 + day.month - 1 + hop.amount * (12 if hop.unit == "year" else 1)
        year, month = divmod(months, 12)
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError):
        return date.max if hop.amount > 0 else date.min


def read(text: str) -> date | None:
    """A date MM/DD/YYYY; None if the calendar does not have it."""
    try:
        return datetime.strptime(text, "%m/%d/%Y").date()
    except ValueError:
        return None


def write(day: date) -> str:
    return f"{day.month:02}/{day.day:02}/{day.year:04}"


def read_hop(found: re.Match[str]) -> Hop:
    sign = -1 if found[3] in ("earlier", "before", "ago") else 1
    return Hop(sign * min(int(found[1]), 10**6), found[2])


def written(hop: Hop, start: date, end: date | None = None) -> str:
    """The step from `start`, with the right end unless another one is given."""
    return f"{hop} {write(start)} is {write(end or shift(start, hop))}"


def random_hop(level: int, rng: Random) -> Hop:
    unit = rng.choice(("day", "day", "week", "month", "year"))
    return Hop(rng.randint(1, LONGEST[level][unit]) * rng.choice((-1, 1)), unit)


def stem(first: date, hops: list[Hop], rng: Random) -> str:
    """The sentences before the question: nothing but today's date, or a chain of events that ends today."""
    name, *others = rng.sample(NAMES, 1 + len(hops))
    if not hops:
        return f"{name}'s calendar shows {write(first)} today."
    sentences = [f"{name} {rng.choice(FIRST_EVENTS)} on {write(first)}."]
    for hop, other in zip(hops[:-1], others, strict=False):
        span = str(hop).replace("after", "later").replace("before", "earlier")
        sentences.append(f"{other} {rng.choice(LATER_EVENTS)} {span}.")
    return " ".join([*sentences, f"Today is {hops[-1]} that."])


def asked_phrase(hop: Hop) -> str:
    phrase = str(hop).replace("after", "from today").replace("before", "ago")
    return {days: word for word, days in DAYS.items()}.get(phrase, phrase)


def misread(day: date, rng: Random) -> date:
    """Another date that looks like this one."""
    return shift(day, Hop(rng.choice((-1, 1)), rng.choice(("day", "month", "year"))))


def distractors(first: date, hops: list[Hop], right: date, rng: Random) -> set[date]:
    """Five wrong options, where likely errors lead: a direction taken the wrong way, a day, month or year off."""
    found: set[date] = set()
    turned = first
    for hop in [*hops[:-1], Hop(-hops[-1].amount, hops[-1].unit)]:
        turned = shift(turned, hop)
    found.add(turned)
    while len(found - {right}) < 5:
        found.add(shift(right, Hop(rng.choice((-2, -1, 1, 2)), rng.choice(("day", "month", "year")))))
    return found - {right}
