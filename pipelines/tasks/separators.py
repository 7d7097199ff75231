"""Which convention a table's numbers are written by: 1,234.5 or 1.234,5. What fits both is read as the others are."""

from __future__ import annotations

import re
from typing import Any

from raydistill.actors.errors import UsageError

_NUMBER = re.compile(r"[-+]?\s*(?:[$€£¥₹]\s?)?(\d[\d.,]*\d)\s*\D{0,12}")
_POINT = re.compile(r"\d+\.(?:\d{1,2}|\d{4,})|\d{1,3}(?:,\d{3})+\.\d+|\d{1,3}(?:,\d{3}){2,}|0\.\d+")
_COMMA = re.compile(r"\d+,(?:\d{1,2}|\d{4,})|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}|0,\d+")
_EITHER = re.compile(r"\d{1,3}[.,]\d{3}")


class Separators:
    """Gold numbers of a table; each is noted, then `comma` says whether the comma is its decimal sign."""

    def __init__(self) -> None:
        self._point = self._comma = ""

    def note(self, gold: Any, where: str) -> None:
        """A row's gold label; numbers of JSON have no separators."""
        found = _NUMBER.fullmatch(gold.strip()) if isinstance(gold, str) else None
        if found and _POINT.fullmatch(found[1]):
            self._point = self._point or where
        elif found and _COMMA.fullmatch(found[1]):
            self._comma = self._comma or where

    def comma(self) -> bool:
        """Raises UsageError where some numbers have a decimal comma and others a decimal point."""
        if self._point and self._comma:
            raise UsageError(
                f"{self._comma} writes a number with a decimal comma, {self._point} one with a decimal point; "
                "write all by one convention"
            )
        return bool(self._comma)


def with_point(gold: str) -> str:
    """A number of a table with decimal commas whose separators fit both conventions, in the other's spelling."""
    found = _NUMBER.fullmatch(gold.strip())
    if not found or not _EITHER.fullmatch(found[1]):
        return gold
    return gold.replace(found[1], found[1].translate(str.maketrans(",.", ".,")))
