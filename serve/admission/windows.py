"""What a key has used in the last minute, and what it has reserved: exact, since all of it is looked at each time.

A request reserves before it starts the most that it may use, and says in the end what it has used. So at no moment have
the last 60 s and all that is under way more than the limit. (The package `limits` counts as exactly, but cannot take
back what was too much: it keeps an entry per token.)
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import NamedTuple

from raydistill.serve.admission.keys import Limits

WINDOW_S = 60.0
UNKNOWN_WAIT_S = 1.0  # where it depends on when requests under way end


class Amounts(NamedTuple):
    """How much of each thing that is limited by the minute; the names are those of `Limits`."""

    requests: float = 0
    tokens: float = 0
    execution_s: float = 0


class Wait(NamedTuple):
    """Why a request has to wait, and for how long."""

    limit: str
    seconds: float


class Window:
    """One thing that one key uses."""

    def __init__(self) -> None:
        self.reserved = 0.0
        self._used: deque[tuple[float, float]] = deque()  # when, how much
        self._sum = 0.0

    def use(self, amount: float, now: float) -> None:
        if amount > 0:
            self._used.append((now, amount))
            self._sum += amount

    def wait(self, amount: float, limit: float, now: float) -> float:
        """Seconds until `amount` fits into the limit; 0 where it does."""
        while self._used and self._used[0][0] <= now - WINDOW_S:
            self._sum -= self._used.popleft()[1]
        if not self._used:
            self._sum = 0.0  # what rounding has left
        excess = self._sum + self.reserved + amount - limit
        if excess <= 1e-9:
            return 0.0
        for when, used in self._used:
            excess -= used
            if excess <= 1e-9:
                return when + WINDOW_S - now
        return UNKNOWN_WAIT_S


@dataclass(frozen=True, slots=True)
class Reservation:
    name: str
    amounts: dict[str, float]  # of what is limited, save the request itself
    until: float  # whoever made it is gone, if it has said nothing by then


class Windows:
    """All keys' windows; times are of one clock, in seconds."""

    def __init__(self) -> None:
        self._windows: defaultdict[tuple[str, str], Window] = defaultdict(Window)
        self._reservations: dict[int, Reservation] = {}
        self._made = 0

    def reserve(self, name: str, limits: Limits, most: Amounts, until: float, now: float) -> int | Wait:
        """A number to `settle` with, or why there is no room. A request itself is used at once."""
        self._expire(now)
        limited = {limit: amount for limit, amount in most._asdict().items() if getattr(limits, limit) is not None}
        for limit, amount in limited.items():
            if seconds := self._windows[name, limit].wait(amount, getattr(limits, limit), now):
                return Wait(limit, seconds)
        if "requests" in limited:
            self._windows[name, "requests"].use(limited.pop("requests"), now)
        for limit, amount in limited.items():
            self._windows[name, limit].reserved += amount
        self._made += 1
        self._reservations[self._made] = Reservation(name, limited, until)
        return self._made

    def settle(self, number: int, used: Amounts | None, now: float) -> None:
        """The request is over and has used so much, None for all that it had reserved.

        Nothing where the number is not known any more.
        """
        if found := self._reservations.pop(number, None):
            for limit, amount in found.amounts.items():
                window = self._windows[found.name, limit]
                window.reserved = max(0.0, window.reserved - amount)
                window.use(amount if used is None else getattr(used, limit), now)

    def _expire(self, now: float) -> None:
        """What nobody has settled counts as used; the oldest comes first."""
        while self._reservations and (oldest := next(iter(self._reservations.items())))[1].until < now:
            self.settle(oldest[0], None, now)
