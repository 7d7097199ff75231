"""When a vote is decided: the samples that are missing can change neither the answer nor which sample gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from raydistill.pipelines.tasks.judging import elect


def is_decided(values: Sequence[str | None]) -> bool:
    """Whether `elect` gives the same place whatever stands for None, the values that are not there yet.

    "" is a sample that has ended without an answer.
    """
    missing = values.count(None)
    place = elect(values)
    if not missing:
        return True
    if place is None or values.index(None) < place:  # one that comes first may give the same answer
        return False
    votes = Counter(value for value in values if value)
    leading = votes.pop(str(values[place]))
    if missing > leading:  # all of one new answer; as many lose, since they come later
        return False
    return all(
        count + missing < leading or (count + missing == leading and values.index(value) > place)
        for value, count in votes.items()
    )


def count_votes(values: Sequence[str | None]) -> dict[str, int]:
    """How many samples gave which answer, the most frequent first, ties in their order."""
    return dict(Counter(value for value in values if value).most_common())
