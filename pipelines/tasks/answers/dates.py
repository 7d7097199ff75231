"""Dates and times of day as they are written: 06/02, 2024-01-05, March 5, 2020, 12:30 p.m."""

from __future__ import annotations

import re

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_NAME = rf"(?P<month>{'|'.join(f'{month[:3]}(?:{month[3:]})?' for month in _MONTHS)}|sept)\.?"
_YEAR = r"(?P<year>\d{4})"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_NAMED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_NAME} {_DAY}(?:,? {_YEAR})?",
        rf"(?:the )?{_DAY}(?: of)? {_NAME}(?:,? {_YEAR})?",
        rf"{_NAME},? {_YEAR}",
    )
)
_DIGIT, _LETTERS = re.compile(r"\d"), re.compile(r"[A-Za-z]{3}")
_ISO = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})")
_FULL = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})")
_SHORT = re.compile(r"(0\d/\d{1,2}|\d{1,2}/0\d)")
_TIME = re.compile(r"(\d{1,4})((?::\d{1,4})+)\s*(?:([ap])\.?\s?m\b\.?)?\s*(?:o'clock)?", re.IGNORECASE)


def read_date(text: str) -> tuple[int | str, ...] | None:
    """(year, month, day), with "" for a part that is not there; of figures alone the month comes first, if it can."""
    if not _DIGIT.search(text):
        return None
    for pattern in _NAMED if _LETTERS.search(text) else ():
        if found := pattern.fullmatch(text):
            parts = found.groupdict()
            month = next(n for n, name in enumerate(_MONTHS, 1) if name[:3] == parts["month"].casefold()[:3])
            return _date(parts.get("year") or "", month, parts.get("day") or "")
    if found := _ISO.fullmatch(text):
        return _date(found[1], found[3], found[4])
    if found := _FULL.fullmatch(text):
        first, second = found[1], found[3]
        return _date(found[4], first, second) if int(first) <= 12 else _date(found[4], second, first)
    if found := _SHORT.fullmatch(text):
        first, second = found[0].split("/")
        return _date("", first, second)
    return None


def _date(year: str, month: int | str, day: str) -> tuple[int | str, ...] | None:
    parts = tuple(int(part) if part else "" for part in (year, str(month), day))
    return parts if 0 < int(parts[1] or 1) <= 31 and 0 < int(parts[2] or 1) <= 31 else None


def read_time(text: str) -> tuple[tuple[int, ...], str] | None:
    """Figures between colons, and am or pm or ""; a ratio, 3:4, is read the same."""
    found = _TIME.fullmatch(text.strip())
    if not found:
        return None
    return (int(found[1]), *map(int, found[2][1:].split(":"))), f"{found[3].lower()}m" if found[3] else ""
