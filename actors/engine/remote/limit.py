"""How many requests are under way at an endpoint: more as long as it answers more by it, fewer when it complains.

    429, 503                       three quarters, once for all requests that were under way then
    no answer in time              the same, where few others came meanwhile either; else it hung alone
    a round of answers, all of them quicker together than the round before     twice as many, later an eighth more
    no quicker                     back to what was as quick, and tried again some rounds later

A round is as many answers as there are places. Quicker is tokens per second over all requests: where each answer takes
longer the more are under way, and nothing is gained, the server has a queue.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass

FIRST = 8.0
CUT = 0.75
STEP = 1 / 8
SHORTEST_ROUND = 8  # answers; of fewer the speed says little
ROUNDS_HELD = 8
SHARE_OF_GROWTH = 0.25  # what more requests have to bring in speed


@dataclass(frozen=True, slots=True)
class Place:
    """A request's place: since when it has had it, and how many answers had come before."""

    entered: float
    answers: int


class AdaptiveLimit:
    """Places for requests, between 1 and `most`. `enter` waits for one, `leave` gives it back."""

    def __init__(self, most: int) -> None:
        self.places = min(FIRST, float(most))
        self.under_way = self._all_answers = 0
        self._most = float(most)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._closed_until = self._cut_at = -math.inf
        self._doubling = True
        self._held = 0
        self._before, self._speed = self.places, 0.0  # of the last round that was quicker
        self._began, self._answers, self._tokens, self._full = _now(), 0, 0, True  # of this round

    async def enter(self) -> Place:
        """Wait for a place."""
        while not self._open():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # it may have been this one's turn
                raise
        self.under_way += 1
        self._wake()
        return Place(_now(), self._all_answers)

    def leave(self) -> None:
        self.under_way -= 1
        self._wake()

    def answered(self, tokens: int) -> None:
        """An answer came whole."""
        self._all_answers += 1
        self._answers += 1
        self._tokens += tokens
        self._full = self._full and bool(self._waiting)
        if self._answers >= max(SHORTEST_ROUND, self.places):
            self._judge(self._tokens / max(1e-9, _now() - self._began))
            self._begin_round()

    def timed_out(self, place: Place) -> None:
        """No answer came in time."""
        if self._all_answers - place.answers < self.places:
            self.congested(place)

    def congested(self, place: Place, pause_s: float = 0.0) -> None:
        """The server has no room for a request; nobody enters for `pause_s`."""
        now = _now()
        if pause_s:
            self._closed_until = max(self._closed_until, now + pause_s)
            asyncio.get_running_loop().call_later(pause_s, self._wake)
        if place.entered > self._cut_at:
            self._cut_at = now
            self._change(self.places * CUT)
            self._doubling, self._speed, self._held = False, 0.0, 0
            self._begin_round()

    def _judge(self, speed: float) -> None:
        """Change the number of places after a round in which all were taken."""
        growth = 2.0 if self._doubling else 1 + STEP
        if not self._full:
            return
        if self._held:
            self._held -= 1
        elif speed > self._speed * (1 + (growth - 1) * SHARE_OF_GROWTH):
            self._before, self._speed = self.places, speed
            self._change(max(self.places * growth, self.places + 1))
        else:
            self._change(self._before)
            self._doubling, self._speed, self._held = False, 0.0, ROUNDS_HELD

    def _begin_round(self) -> None:
        self._began, self._answers, self._tokens, self._full = _now(), 0, 0, True

    def _change(self, places: float) -> None:
        self.places = min(self._most, max(1.0, places))
        self._wake()

    def _open(self) -> bool:
        return self.under_way < int(self.places) and _now() >= self._closed_until

    def _wake(self) -> None:
        """Let the first that waits look again, if there is a place; who enters wakes the next."""
        while self._waiting and self._open():
            turn = self._waiting.popleft()
            if not turn.done():  # else cancelled
                turn.set_result(None)
                return


def _now() -> float:
    return asyncio.get_running_loop().time()
