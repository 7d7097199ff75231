"""A number as people write it: its value, what it counts, and what changes its meaning.

    "-$1,080.50"  "5 million"  "2 1/2 cups"  "1.5*10^-3"  "29,50 €"  "minus five"  "50%"  "44 BC"  "10^6"
    --read_number--> Number(value, unit, sense) | None

Separators are read by the one convention that they fit; 1,234 and 1.234, which fit two, as English. A percent sign
says nothing of the value (50% is 50). A magnitude scales it. A unit may be missing on one side, but two differ; an
era, a time of day or a direction must be there (`same_number`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

from raydistill.pipelines.tasks.answers.arithmetic import evaluate
from raydistill.pipelines.tasks.answers.units import (
    CURRENCY,
    MAGNITUDES,
    NUMBER_WORDS,
    OPPOSITE,
    SENSES,
    unit_name,
    words,
)

# What rounding a printed result may cost: 66.6667 is right for 200/3. ToRA's labels use the same bound.
RELATIVE_TOLERANCE = 1e-4
# Whole numbers must agree, but for what double precision loses in computing them (1e21 + 1 - 1).
WHOLE_TOLERANCE = 1e-12
# A gold value of 0 admits what is left of computing it in floating point.
ZERO_TOLERANCE = 1e-9

# Scripts that write no blanks between words: a number may follow their letters directly.
UNSPACED = "\u0e00-\u0e7f\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
AFTER_WORD = rf"(?<![^\W{UNSPACED}])"

_GROUPED = (
    r"\d{1,3}(?:,\d{3})+(?:\.\d+)?",  # 1,234,567.8
    r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?",  # 12,34,567
    r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}",  # 1.234,5 and 1.234.567
    r"\d{1,3}(?: \d{3})+(?:[.,]\d+)?",  # 1 234 567,8
    r"\d{1,3}(?:['’_]\d{3})+(?:\.\d+)?",  # 1'234'567.8 and 1_234_567
    r"0,\d+|\d+,(?:\d\d?|\d{4,})",  # 29,50
)
_PLAIN = r"\d*\.\d*\(\d{1,20}\)|\d+(?:\.\d+)?|\.\d+"
_DIGITS = rf"(?:{'|'.join(_GROUPED)}|{_PLAIN})(?![.,'’_]?\d)"
_POWER = r"(?:[eE][-+]?\d{1,3}(?!\w)|\s?[×x*·]\s?10\s?(?:\^|\*\*)\s?\(?[-+]?\d{1,3}(?!\d)\)?)?"
SIZE = rf"(?:\d+ \d+/\d+(?![\d/])|{_DIGITS}{_POWER}(?:/{_DIGITS}{_POWER}(?![\d/]))?)"
SIGN = rf"(?:(?<![\w)\]])[-+])?(?:{CURRENCY}\s?-?)?"
NUMBER = re.compile(rf"(?P<sign>{SIGN}){AFTER_WORD}(?<!\d[.,'’_])(?P<size>{SIZE})")

_LEAD = re.compile(r"(?:(?:[=≈~:]|about|approximately|approx\.?|exactly|roughly|around|only|just)\s*)+", re.IGNORECASE)
_WHOLE = re.compile(rf"(?P<sign>[-+]?\s*(?:{CURRENCY}\s?[-+]?\s?)?)(?P<size>{SIZE})(?P<tail>.*)", re.DOTALL)
_SEVERAL = re.compile(r"[(\[{;]|,(?!(?:\d\d,)*\d{3}(?!\d))")  # values, and not the groups of one number
_MINUS = re.compile(r"(?:minus|negative)\s+", re.IGNORECASE)
_WORD = r"[^\W\d_]++(?:['’][^\W\d_]++)?\.?(?:\^-?\d|[²³])?"
_TAIL = re.compile(rf"\s*(?>(?>{CURRENCY}|%|‰|°[CF]?(?![A-Za-z])|{_WORD})(?>\s*[/·-]\s*|\s+(?=\S))?)+[\s.]*")
_TAIL_WORD = re.compile(rf"{CURRENCY}|%|‰|°[CF]?(?![A-Za-z])|{_WORD}")
_VARIABLE = re.compile(r"\s?[a-zπ](?:\^-?\d+)?[\s.]*|\s?[A-Zπ](?:\^-?\d+)?[\s.]*")
SINGLE_LETTER_UNITS = frozenset("mgshlLCFKVWAN")
_ERA = re.compile(r"\b(?:B\.\s?C\.(?:\s?E\.)?)|\b(?:A\.\s?D\.|C\.\s?E\.)")
_VERBS = words("are is were was be been have has had and or than because")
_CLOCK = re.compile(r"\s*([ap])\.?\s?m\.?(?![\w])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number; ``Number(3.0, {"km"}, {"north"})``."""

    value: float
    unit: frozenset[str] = frozenset()  # words of its unit in one spelling each
    sense: frozenset[str] = frozenset()  # era, time of day, direction: what the same number does not mean without

    @property
    def spelling(self) -> str:
        return " ".join([f"{self.value:.15g}", *sorted(self.sense & SENSES)])


def same_number(answer: Number, gold: Number) -> bool:
    """Whether `answer` means the gold number: its value within the tolerance, no other unit, the same sense."""
    if not close(answer.value, gold.value):
        return False
    if answer.unit and gold.unit and not answer.unit & gold.unit:
        return False
    if (gold.sense & SENSES) != (answer.sense & SENSES) and gold.sense & SENSES:
        return False
    return not any(OPPOSITE.get(word, frozenset()) & answer.sense for word in gold.sense)


def close(number: float, expected: float) -> bool:
    """Equal, as whole numbers, or else within 1e-4 of the expected one."""
    if number.is_integer() and expected.is_integer():
        return math.isclose(number, expected, rel_tol=WHOLE_TOLERANCE)
    return abs(number - expected) <= max(RELATIVE_TOLERANCE * abs(expected), ZERO_TOLERANCE)


def finite(value: int | float) -> float | None:
    """`value` in double precision; None beyond its range, and for nan and infinity."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


@lru_cache(maxsize=4096)
def read_number(text: str) -> Number | None:
    """The number that all of `text` (in plain spelling) is; None where it is more, or something else."""
    text = text.strip()
    text = _LEAD.sub("", text, count=1) if not text[:1].isdigit() else text
    if minus := _MINUS.match(text):
        number = read_number(text[minus.end() :])
        return Number(-number.value, number.unit, number.sense) if number and number.value >= 0 else None
    if text.startswith("(") and text.endswith(")") and not _SEVERAL.search(text, 1):
        return read_number(text[1:-1])
    found = _WHOLE.fullmatch(text)
    if not found:
        return _in_words(text) or _computed(text)
    value = _value(found["sign"], found["size"])
    if value is None:
        return None
    number = with_tail(value, found["sign"], found["tail"])
    return number or _computed(text)


def _computed(text: str) -> Number | None:
    """The value of an expression without variables: 10^6, 4√2, 5!, 3π/4, (9+1)."""
    value = evaluate(text.rstrip(". "))
    return None if value is None else Number(value)


def with_tail(value: float, sign: str, tail: str) -> Number | None:
    """The number with what stands behind it; None where that is no magnitude, unit or sense."""
    unit = {unit_name(mark) for mark in re.findall(CURRENCY, sign)}
    if not tail.strip(" ."):
        return Number(value, frozenset(unit))
    if clock := _CLOCK.match(tail):
        rest = with_tail(value, "", tail[clock.end() :])
        return rest and Number(value, rest.unit, rest.sense | {f"{clock[1].lower()}m"})
    tail = _ERA.sub(lambda era: " BC " if era[0][0] == "B" else " AD ", tail)
    glued = not tail[0].isspace()
    if not _TAIL.fullmatch(tail) or (_VARIABLE.fullmatch(tail) and tail.strip(" .")[0] not in SINGLE_LETTER_UNITS):
        return None
    words = [word.rstrip(".") for word in _TAIL_WORD.findall(tail)]
    if not _VERBS.isdisjoint(words):
        return None
    money = bool(unit) or any(unit_name(word) in ("$", "€", "£") for word in words[1:])
    while words and (scale := _magnitude(words[0], glued, money)):
        value, words, glued = value * scale, words[1:], False
    number = finite(value)
    if number is None:
        return None
    sense = {word.casefold() for word in words} & (SENSES | OPPOSITE.keys())
    sense |= {SENSES_BY_CASE[word] for word in words if word in SENSES_BY_CASE}
    unit |= {unit_name(word) for word in words if word.casefold() not in SENSES} - {""}
    return Number(number, frozenset(unit), frozenset(sense))


SENSES_BY_CASE = {"BC": "bc", "BCE": "bc", "AD": "ad", "CE": "ad", "N": "north", "S": "south", "E": "east", "W": "west"}


def _magnitude(word: str, glued: bool, money: bool) -> float | None:
    """What a word multiplies by; ``5k`` and, of money, ``$5M`` too."""
    if scale := MAGNITUDES.get(word.casefold()):
        return scale
    letters = {"k": 1e3, "K": 1e3, "M": 1e6, "mn": 1e6, "B": 1e9, "bn": 1e9, "T": 1e12}
    return letters.get(word) if (money or (glued and word in ("k", "bn", "mn"))) else None


def _value(sign: str, size: str) -> float | None:
    """The value of a NUMBER, e.g. of sign ``-$`` and size ``1 1/2``."""
    whole, blank, last = size.rpartition(" ") if re.fullmatch(r"\d+ \d+/\d+", size) else ("", "", size)
    over, _, under = last.partition("/")
    top, bottom = _decimal(over), _decimal(under) if under else 1.0
    if top is None or not bottom:
        return None
    value = top / bottom + (float(whole) if whole else 0.0)
    return finite(-value if "-" in sign else value)


_TIMES_TEN = re.compile(r"\s?[×x*·]\s?10\s?(?:\^|\*\*)\s?\(?([-+]?\d{1,3})\)?")
_REPEATING = re.compile(r"(\d*)\.(\d*)\((\d+)\)")
_COMMA_IS_POINT = re.compile(r"(?:0|\d+),(?:\d\d?|\d{4,})|0,\d+|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?: \d{3})+,\d+")


def _decimal(written: str) -> float | None:
    """The value of digits with separators, as the convention that they fit has it."""
    written = _TIMES_TEN.sub(r"e\1", written)
    if repeating := _REPEATING.fullmatch(written):
        whole, fixed, period = repeating.groups()
        scale = 10 ** len(fixed)
        return (int(whole + fixed or "0") + int(period) / (10 ** len(period) - 1)) / scale
    mantissa, mark, exponent = re.sub(r"[eE]", "e", written).partition("e")
    if _COMMA_IS_POINT.fullmatch(mantissa):
        mantissa = re.sub(r"[. ]", "", mantissa).replace(",", ".")
    elif mantissa.count(".") > 1:
        mantissa = mantissa.replace(".", "")
    return finite(float(re.sub(r"[,'’_ ]", "", mantissa) + mark + exponent))


_WORDS = re.compile(r"[a-z]++(?:[\s-]++[a-z]++)*+", re.IGNORECASE)
_STOP = words("of in at the a an to for and or is was are than that this but if by on with more less")


def _in_words(text: str) -> Number | None:
    """``eighteen``, ``twenty-one eggs``, ``two hundred and five``; None where other words than a unit follow."""
    text = text.rstrip(". ")
    if len(text) > 100 or not _WORDS.fullmatch(text):
        return None
    words = re.split(r"[\s-]+", text.casefold())
    total, group, used = 0, 0, 0
    for at, word in enumerate(words):
        if word == "and" and used and at + 1 < len(words) and words[at + 1] in NUMBER_WORDS:
            continue
        if word in NUMBER_WORDS:
            group += NUMBER_WORDS[word]
        elif word == "hundred" and used:
            group *= 100
        elif used and word in MAGNITUDES:
            total, group = total + group * int(MAGNITUDES[word]), 0
        else:
            break
        used = at + 1
    rest = words[used:]
    if not used or len(rest) > 3 or _STOP & set(rest):
        return None
    return with_tail(float(total + group), "", " " + " ".join(rest) if rest else "")
