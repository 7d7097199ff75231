"""An answer as what it is: a number, a time or date, several values, an interval, a relation, an expression.

    "18 eggs" --read_value--> Number(18, {egg})          "(3, 5)"  --> Written("list", ...), no number
    "12:30 PM"            --> Written("time", "750 ..")  "x ≥ 5"   --> Written("relation", "x≥5")
    "4x + 1"              --> Written("expression", "4x+1")        "the desert" --> None: words

Each is compared with its own kind alone (`same_value`), so that (3, 5) is not 3 and 2x is not 2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from raydistill.pipelines.tasks.answers.dates import read_date, read_time
from raydistill.pipelines.tasks.answers.numbers import Number, finite, read_number, same_number
from raydistill.pipelines.tasks.answers.plain import plain
from raydistill.pipelines.tasks.answers.units import words


@dataclass(frozen=True, slots=True)
class Written:
    """A value that is no single number, by its kind and normal form; ``Written("date", (2024, 1, 5))``."""

    kind: str  # time, date, list, range, quantities, relation, expression
    form: tuple[Any, ...]

    @property
    def spelling(self) -> str:
        if self.kind == "date" and "" not in self.form:
            year, month, day = self.form
            return f"{month:02}/{day:02}/{year}"
        if self.kind == "time":
            return " ".join(filter(None, (":".join(f"{part:02}" for part in self.form[0]), self.form[1])))
        return _spelt(self.form)


Typed = Number | Written


def same_value(answer: Typed, gold: Typed) -> bool:
    """Whether both are of one kind and mean the same."""
    if isinstance(answer, Number) and isinstance(gold, Number):
        return same_number(answer, gold)
    if isinstance(answer, Number) or isinstance(gold, Number):
        return _bare_hour(answer, gold)
    if answer.kind == "time" == gold.kind:
        return _same_time(answer.form, gold.form)
    return answer.kind == gold.kind and _same_form(answer.form, gold.form, answer.kind == "list")


def of_program(value: Any) -> Typed | None:
    """The number or list that a program returned; None for text, true and false, and what else there is."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        number = finite(value)
        return None if number is None else Number(number)
    if isinstance(value, list | tuple) and value:
        items = [of_program(item) or (read_value(item) if isinstance(item, str) else None) for item in value]
        return Written("list", ("", *items)) if all(item is not None for item in items) else None
    return None


_FIGURES = re.compile(r"[-+]?[0-9]{1,15}(?:\.[0-9]{1,15})?")


@lru_cache(maxsize=8192)
def read_value(text: str) -> Typed | None:
    """What all of `text` is; None for words."""
    if _FIGURES.fullmatch(text):
        return Number(float(text))
    text = plain(text).strip().rstrip("。．").strip()
    short = text.removesuffix(".").rstrip()
    if len(text) > 2_000 or not short or "boxed" in text:  # the latter states a value, and is none
        return None
    if date := (read_date(short) if len(short) < 40 else None):
        return Written("date", date)
    if clock := (read_time(text) if len(text) < 40 else None):
        return Written("time", clock)
    if _RANGE.fullmatch(short):
        return Written("range", tuple(re.split(r"\s*-\s*", short)))
    return (
        read_number(text)
        or _equation(short)
        or _quantities(short)
        or _list(short)
        or _relation(short)
        or _expression(short)
    )


_RANGE = re.compile(r"\d[\d,.]*\s*-\s*\d[\d,.]*")
_NAME = re.compile(r"\\?[A-Za-z][A-Za-z_]{0,12}(?:\([a-z0-9]\))?")


def _equation(text: str) -> Typed | None:
    """The value of ``x = 5``, and of ``3 * 6 = 18``; of ``2x = 5`` there is none."""
    sides = [side.strip() for side in text.split("=")] if "=" in text and len(text) < 200 else []
    if len(sides) < 2 or not all(sides):
        return None
    named = _NAME.fullmatch(sides[0]) is not None
    values = [read_value(side) for side in sides[named:]]
    numbers = all(isinstance(value, Number) for value in values)
    return values[-1] if numbers or (named and len(sides) == 2) else None


_QUANTITY = re.compile(r"(\d[\d,.]*(?: \d+/\d+)?)\s*([^\W\d_]+\.?)")
_QUANTITIES = re.compile(rf"{_QUANTITY.pattern}(?:(?:,?\s*and\s+|,?\s*){_QUANTITY.pattern})+")


def _quantities(text: str) -> Written | None:
    """``2 hours 30 minutes``, ``5 feet and 6 inches``: several numbers, each with its unit."""
    if len(text) > 120 or not _QUANTITIES.fullmatch(text):
        return None
    numbers = [read_number(f"{size.rstrip(',.')} {unit}") for size, unit in _QUANTITY.findall(text)]
    return Written("quantities", tuple(numbers)) if all(numbers) else None


_JOINED = re.compile(r"\s*(?:,\s*and\b|,|;|\band\b)\s*")


def _list(text: str) -> Written | None:
    """Tuples, intervals, sets, and values joined by commas or "and"; their brackets are part of them."""
    brackets = ""
    inner = text
    if text[0] in "([{" and text[-1] in ")]}" and _is_closed(text):
        brackets, inner = text[0] + text[-1], text[1:-1]
    if (not brackets and text[0] in "([{") or "∪" in text or (brackets == "{}" and ":" in inner):
        return None
    pieces = _top_level(inner) if _JOINED.search(inner) else [inner]
    if len(pieces) < 2 and not (brackets and brackets != "()" and inner.strip()):
        return None
    items = [read_value(piece) or _word(piece, bool(brackets)) for piece in pieces]
    if any(item is None for item in items):
        return None
    if not brackets and not all(isinstance(item, Number) and not item.unit for item in items):
        return None
    if brackets == "{}":
        items.sort(key=lambda item: item.spelling if item else "")
    return Written("list", (brackets, *items))


def _word(piece: str, bracketed: bool) -> Written | None:
    return Written("word", (piece.strip().strip("'\"").casefold(),)) if bracketed and piece.strip() else None


def _is_closed(text: str) -> bool:
    """Whether the first bracket is closed by the last character and not before."""
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return at == len(text) - 1
    return False


def _top_level(text: str) -> list[str]:
    """The pieces between separators that stand in no bracket."""
    depth, start, pieces = 0, 0, list[str]()
    separators = {found.start(): found.end() for found in _JOINED.finditer(text)}
    for at, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and at in separators and at >= start:
            pieces.append(text[start:at])
            start = separators[at]
    return [*pieces, text[start:]] if pieces or text else []


_RELATION = re.compile(r"[^=<>≤≥≠]{1,80}(?:(?:<=|>=|!=|[<>≤≥≠∈])[^=<>≤≥≠]{1,80}){1,2}")
_MATH = re.compile(r"[\w\s+\-*/^×÷·√π±!().,|∞∪\[\]{}_=°%\\]+")
_OPERATOR = re.compile(
    r"\b(?:sin|cos|tan|log|ln)\b|[+\-*/^×÷·√π±=|∞∪\\]|\d[A-Za-z]|\d\s+[A-Za-z]\b(?![A-Za-z])|\d!|[a-z]\("
)
_WORD = re.compile(r"[^\W\d_]{2,}")
_SHORT_WORDS = words("so is in it to of or we he as at by do go if no on up us my me be an am hm ok oh vs and")
_FUNCTIONS = words("sin cos tan cot sec csc log ln exp sqrt frac arcsin arccos arctan min max mod sum int lim")


def _relation(text: str) -> Written | None:
    """``x ≥ 5``, ``1 < x <= 2``."""
    if len(text) > 200 or not _RELATION.fullmatch(text) or is_prose(text):
        return None
    return Written("relation", (_bare(text).replace("<=", "≤").replace(">=", "≥").replace("!=", "≠"),))


def _expression(text: str) -> Written | None:
    """What is written in symbols: ``4x+1``, ``±5``, ``2\\sqrt[3]{x}``. Not words, not a single name."""
    if len(text) > 400 or not _MATH.fullmatch(text) or not _OPERATOR.search(text) or is_prose(text):
        return None
    if text[0] in "*/^=×÷·," or text[-1] in "+-*/^=×÷·,":  # a list's mark, or what is cut off
        return None
    return Written("expression", (_bare(text),))


def is_prose(text: str) -> bool:
    """Whether there are words in a text that are no functions, products of names, or LaTeX commands."""
    found = (word.casefold() for word in _WORD.findall(re.sub(r"\\[a-zA-Z]+", "", text)))
    return "\n" in text or any(word in _SHORT_WORDS or (len(word) > 2 and word not in _FUNCTIONS) for word in found)


def _bare(text: str) -> str:
    return re.sub(r"\s|\*|×|·|(?<=\d)\.0+(?!\d)|\\,", "", text).rstrip(".")


def _same_form(answer: Sequence[Any], gold: Sequence[Any], is_list: bool) -> bool:
    if len(answer) != len(gold):
        return False
    if is_list and "" in (answer[0], gold[0]) and {answer[0], gold[0]} <= {"", "()", "[]", "{}"}:
        answer, gold = answer[1:], gold[1:]  # a program's list has no brackets of its own
    return all(
        same_value(one, other)
        if isinstance(one, Number | Written) and isinstance(other, Number | Written)
        else one == other
        for one, other in zip(answer, gold, strict=True)
    )


def _same_time(answer: Sequence[Any], gold: Sequence[Any]) -> bool:
    """(parts, half of the day): by the clock where both have it; an answer may say it where the gold one does not."""
    (parts, half), (expected, expected_half) = answer, gold
    if half == expected_half or (half and not expected_half and expected[0] <= 12):
        return list(parts) == list(expected) or _minutes(parts, half) == _minutes(expected, expected_half or half)
    return (
        bool(half) != bool(expected_half)
        and _minutes(parts, half) == _minutes(expected, expected_half)
        and (max(parts[0], expected[0]) > 12)
    )


def _minutes(parts: Sequence[int], half: str) -> tuple[int, ...]:
    hour = parts[0] % 12 + 12 * (half == "pm") if half else parts[0]
    return (hour, *parts[1:])


def _bare_hour(one: Typed, other: Typed) -> bool:
    """``5 pm`` read as a number, and ``5:00 PM``."""
    number, clock = (one, other) if isinstance(one, Number) else (other, one)
    if not isinstance(clock, Written) or clock.kind != "time" or not isinstance(number, Number):
        return False
    parts, half = clock.form
    return bool(half) and half in number.sense and list(parts) == [number.value, *[0] * (len(parts) - 1)]


def _spelt(form: Any) -> str:
    if isinstance(form, Number | Written):
        return form.spelling
    if isinstance(form, tuple | list):
        if (
            form
            and form[0] in ("", "()", "[]", "{}", "(]", "[)")
            and any(isinstance(x, Number | Written) for x in form[1:])
        ):
            opening, closing = form[0] or "[]"
            return f"{opening}{', '.join(map(_spelt, form[1:]))}{closing}"
        return " ".join(part for part in map(_spelt, form) if part)
    return str(form)
