"""Limits by the minute, in virtual time: at no moment more than allowed, and no longer a wait than needed."""

from __future__ import annotations

import random

import pytest

from raydistill.serve.admission.keys import Limits
from raydistill.serve.admission.windows import WINDOW_S, Amounts, Wait, Windows

FAR = 1e9


def test_as_many_requests_as_allowed_in_any_minute() -> None:
    windows, limits, draw = Windows(), Limits(requests=20), random.Random(1)
    now, admitted = 0.0, []
    for _ in range(2000):
        now += draw.expovariate(2)
        told = windows.reserve("a", limits, Amounts(1), FAR, now)
        if isinstance(told, Wait):
            later = now + told.seconds
            assert sum(when > later + 1e-6 - WINDOW_S for when in admitted) < 20  # it is room then, and not earlier
            assert sum(when > later - 1e-6 - WINDOW_S for when in admitted) == 20
        else:
            admitted.append(now)
            windows.settle(told, Amounts(), now + 5)
    assert max(sum(start <= when < start + WINDOW_S for when in admitted) for start in admitted) == 20
    assert isinstance(windows.reserve("b", limits, Amounts(1), FAR, now), int)  # another key, windows of its own


def test_used_and_reserved_together_are_within_the_limit() -> None:
    windows, limits, draw = Windows(), Limits(tokens=1000), random.Random(2)
    now, under_way, used = 0.0, {}, []
    for _ in range(3000):
        now += draw.expovariate(5)
        for number, (most, ends) in list(under_way.items()):
            if ends <= now:
                amount = draw.uniform(0, most)
                windows.settle(number, Amounts(tokens=amount), now)
                used.append((now, amount))
                del under_way[number]
        told = windows.reserve("a", limits, Amounts(1, tokens=(most := draw.randint(1, 400))), FAR, now)
        if isinstance(told, int):
            under_way[told] = (most, now + draw.expovariate(0.1))
        total = sum(amount for when, amount in used if when > now - WINDOW_S) + sum(
            most for most, _ in under_way.values()
        )
        assert total <= 1000 + 1e-6
        assert isinstance(told, int) or total + most > 1000 - 1e-6
    assert len(used) > 100


@pytest.mark.parametrize("used", [None, Amounts(tokens=10)])
def test_what_is_not_settled_counts_as_used_and_is_forgotten(used: Amounts | None) -> None:
    windows, limits = Windows(), Limits(tokens=100)
    number = windows.reserve("a", limits, Amounts(1, tokens=100), 300.0, 0.0)
    assert windows.reserve("a", limits, Amounts(1, tokens=1), FAR, 250.0) == Wait("tokens", 1.0)
    if used:
        windows.settle(int(number), used, 250.0)
    assert isinstance(windows.reserve("a", limits, Amounts(1, tokens=90), 600.0, 301.0), int) == bool(used)
    assert isinstance(windows.reserve("b", limits, Amounts(1, tokens=100), FAR, 301.0), int)
    windows.settle(int(number), Amounts(tokens=50), 302.0)  # too late: nothing
    assert isinstance(windows.reserve("a", limits, Amounts(1, tokens=10), FAR, 362.0), int)
    assert not windows._reservations or len(windows._reservations) <= 3
