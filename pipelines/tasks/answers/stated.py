"""Which answer a text states: where it stands, and where it ends.

    "... so 3 * 6 = 18 eggs.\\nThe answer is $18." --stated_answer--> "$18"

This never depends on the right answer, so that it is the same where that is unknown. What is denied ("not 3"), left
open ("3 or 4", "between 3 and 4") or bounded ("more than 3") is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from raydistill.pipelines.tasks.answers.numbers import NUMBER, SIZE, Number
from raydistill.pipelines.tasks.answers.options import chosen_letter, to_letter
from raydistill.pipelines.tasks.answers.plain import plain
from raydistill.pipelines.tasks.answers.units import CURRENCY, MAGNITUDES, SENSES, is_unit
from raydistill.pipelines.tasks.answers.values import read_value
from raydistill.pipelines.tasks.extract import final_reply, until_next_question

Kind = Literal["numeric", "choice", "text", "symbolic"]

# Where an answer is stated, the most explicit form first.
_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\f?boxed\s*\{")
_HASHES = re.compile(r"^[ \t]*####(.+)$", re.MULTILINE)
SPOKEN = (
    re.compile(r"^.*\banswer\s*(?:is|=|will be|would be|must be|should be)\s*:?\s*(.+)$", re.MULTILINE | re.IGNORECASE),
    re.compile(
        r"^.*(?:答案|答え|回答|정답|คำตอบ)\s*(?:应该)?(?:是|为|為|は|은|는|คือ|[:：])\s*[:：]?\s*(.+)$", re.MULTILINE
    ),
    re.compile(r"^.*\b(?:option|choice) is\s*:?\s*(.+)$", re.MULTILINE | re.IGNORECASE),
)
LABELLED = re.compile(
    r"^[ \t]*(?:(?:the )?(?:final |correct )?(?:answer|option|choice)|a|答)[ \t]*:\s*(.+)$",
    re.MULTILINE | re.IGNORECASE,
)
CONCLUSION = re.compile(r"\b(?:therefore|thus|hence|so)\b(.+)$", re.MULTILINE | re.IGNORECASE)

_TITLES = "Mr|Mrs|Ms|Dr|St|Mt|Ft|Prof|Gen|Col|Capt|Lt|Sgt|Sen|Rep|Rev|Hon|Jr|Sr|Gov|Pres|vs|etc|approx|ca|Sts|Messrs"
_NUMBERED = "No|Nos|Fig|Figs|Vol|Ch|Sec|Eq|Art|pp|Op"
_INITIALS = r"(?:[A-Za-z]\.)+[A-Za-z]"
_TITLE_END = re.compile(rf"(?:^|[\s(])(?:{_TITLES}|{_INITIALS}|[A-Z])$")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？]")


def reply(text: str) -> str:
    """What of a completion can state an answer: no reasoning, no invented next task; in plain spelling."""
    return plain(said(text)).strip()


@lru_cache(maxsize=64)  # asked for by each form of the same completion
def said(text: str) -> str:
    """`reply` as it was written."""
    return until_next_question(final_reply(text).strip())


def parse_answer(text: str, kind: Kind) -> str | None:
    """The final answer of a rationale, as written there; None if there is none of this kind.

    What `stated_answer` finds; failing that, the last value or option letter (for text: all) of the last
    line, then of what follows the last Therefore, Thus, Hence or So (the rule of arXiv 2310.14747).
    """
    if answer := stated_answer(text, kind):
        return answer
    spoken = reply(text)
    for line in (spoken.rpartition("\n")[2], *CONCLUSION.findall(spoken)[-1:]):
        if answer := _last(line, kind):
            return answer
    return None


def stated_answer(text: str, kind: Kind) -> str | None:
    """The answer that a text states in one of the usual forms; None if it uses none of them.

    Tried in this order, the last of each: ``<answer>X</answer>``, ``\\boxed{X}``, ``#### X``; ``the answer is
    X``, ``the correct option is X``; a line ``A: X`` or ``Answer: X`` with nothing but the answer on it. What
    stands in reasoning marks or after a made-up next task is not looked at.
    """
    raw = said(text)
    for stated in (*_marked(raw, _TAGGED), *_boxed(raw), *_marked(raw, _HASHES)):
        if answer := _first(plain(stated), kind, marked=True):
            return answer
    spoken = plain(raw).strip()
    for form in SPOKEN:
        for stated in reversed(form.findall(spoken)):
            if answer := _first(_sentence(stated), kind):
                return answer
    for label in reversed(LABELLED.findall(spoken)):
        if _is_bare(label, kind):
            return _trim(label)
    return None


def is_open(text: str) -> bool:
    """Whether the last line denies, bounds or leaves open the value that it ends with."""
    line = reply(text).rpartition("\n")[2]
    numbers = list(NUMBER.finditer(line))
    before = line[: numbers[-1].start()][-60:] if numbers else line[-60:]
    return any(pattern.search(before) for pattern in (_DENIED, _BOUNDED, _OPEN_LEFT))


def _marked(text: str, form: re.Pattern[str]) -> Iterator[str]:
    return reversed(form.findall(text))


def _boxed(text: str) -> Iterator[str]:
    """What stands in ``\\boxed{...}``, the last first, braces of any depth."""
    for opening in reversed(list(_BOXED.finditer(text))[-20:]):
        depth = 1
        for at in range(opening.end(), min(len(text), opening.end() + 2_000)):
            depth += (text[at] == "{") - (text[at] == "}")
            if depth == 0:
                yield text[opening.end() : at]
                break


def _sentence(text: str) -> str:
    """`text` to the end of its first sentence; the point of Mt., 5 p.m. or J. R. ends none."""
    for end in SENTENCE_END.finditer(text):
        before, after = text[: end.start()], text[end.end() :].lstrip()
        if end[0] != ".":
            return before
        if re.search(rf"\b(?:{_NUMBERED})$", before) and after[:1].isdigit():
            continue
        if not _TITLE_END.search(before) or not after:
            return before
        half_of_day = re.search(r"[ap]\.\s?m$", before, re.IGNORECASE)
        if half_of_day and (after[0].isupper() or not after[0].isalnum()):
            return before + end[0]
    return text


def _trim(text: str) -> str:
    text = text.strip().removesuffix(".").removesuffix("。").rstrip()
    return _BRACKETED.sub(r"\1", text)


_BRACKETED = re.compile(r"^<([^<>]+)>$")  # the answer is <208>.


def _is_bare(stated: str, kind: Kind) -> bool:
    """Whether `stated` is nothing but an answer of this kind."""
    if kind in ("numeric", "symbolic"):
        return read_value(stated) is not None
    return kind == "text" or to_letter(stated) is not None


def _first(stated: str, kind: Kind, marked: bool = False) -> str | None:
    """The answer at the head of `stated`: of an equation the result, of a choice the letter or its text."""
    if kind == "text" or (kind == "symbolic" and marked):
        return _trim(stated) or None
    if kind == "choice":
        return _first_choice(stated, marked)
    stated = _REASON.split(stated, maxsplit=1)[0]
    whole, result = _trim(stated), re.split(r"=|≈", stated)[-1]
    typed = read_value(whole)
    if typed is None or isinstance(typed, Number):
        whole = _trim(result)
        typed = read_value(whole)
    if typed is not None:
        return whole
    return _value_in(result, last=False) or (_value_in(stated, last=False) if result != stated else None)


_REASON = re.compile(r"[\s,;(]+(?:because|since)\b", re.IGNORECASE)


def _first_choice(stated: str, marked: bool) -> str | None:
    whole = to_letter(_trim(stated))
    letter = (whole if marked else None) or chosen_letter(stated, cued=marked)
    if letter or marked:
        return letter
    if whole:
        return _trim(stated)
    return None if chosen_letter(stated, last=True) or _LETTERED.search(stated) else _trim(stated) or None


_LETTERED = re.compile(r"\b(?:neither|not|or|and|nor)\s+['\"(]?[A-J]\b(?!\w)")


def _last(line: str, kind: Kind) -> str | None:
    """The last value or option letter of `line`; for text the whole line."""
    if kind == "text":
        return _trim(line) or None
    if kind == "choice":
        return to_letter(_trim(line)) or chosen_letter(line, last=True, cued=True)
    if read_value(_trim(line)) is not None:
        return _trim(line)
    result = re.split(r"=|≈", line)[-1]
    if result != line and read_value(_trim(result)) is not None:
        return _trim(result)
    return _value_in(line, last=True)


_DENIED = re.compile(
    r"(?:\bnot|n['’]t|\bnever|\bneither|\bnor|\brather than|\binstead of)\s+"
    r"(?:be\s+|equal\s+(?:to\s+)?|just\s+|simply\s+)?\W{0,2}$",
    re.IGNORECASE,
)
_BOUNDED = re.compile(
    r"(?:\b(?:more|less|greater|fewer|larger|smaller|higher|lower|bigger|older|younger) than|"
    r"\bat (?:least|most)|\bup to|"
    r"\bno (?:more|less|fewer) than|\bbetween|\bexceeds?|\bunder|\bover|±|(?:[\d)]|\b[A-Za-z])\s?(?:[≤≥<>≠]|<=|>=))"
    r"\s*(?:or equal to\s*)?\W{0,2}$",
    re.IGNORECASE,
)
_UNITS_BETWEEN = r"(?:\s+[^\W\d_]+){0,2},?\s*"
_OPEN_RIGHT = re.compile(
    rf"{_UNITS_BETWEEN}(?:\b(?:or|to|and|through)\b|–)\s*(?:{CURRENCY}\s?)?\d|\s*-\s*\d[\d.,]*(?!\w*\s*[=\d])"
)
_OPEN_LEFT = re.compile(rf"\d{_UNITS_BETWEEN}\s(?:or|to|and|through)\s+(?:{CURRENCY}\s?)?$")
_OPERAND = rf"(?:[-(√]*(?:{SIZE}|[A-Za-zπ](?![A-Za-z]))[)!]*)"
_GROWS_RIGHT = re.compile(
    rf"(?:\s?(?:\*\*|[×÷·*/+^])\s?{_OPERAND}|-{_OPERAND}"
    r"|(?::\d+)+(?:\s?[ap]\.?m\b\.?)?|!(?=[^\s\"'.)])"
    rf"|\s?[√π]{_OPERAND}?"
    r"|(?<=[\d)])[a-zA-Z](?![A-Za-z'’])(?:\^\d+)?|\s[xyznkabπ](?![A-Za-z'’]))+"
)
_GROWS_LEFT = re.compile(rf"(?:(?:{SIZE}|(?<![A-Za-z])[A-Za-zπ]|[()√±])\s?(?:\*\*|<=|>=|[-+×÷·*/^≤≥<>:])?\s?)+$")
_OPERATOR_LEFT = re.compile(r"(?:[\d)a-z]\s?[-+×÷·*/^:]|[√±≤≥<>]|[<>]=|(?<![A-Za-z])[A-Za-z]|\d\()\s?$")
_GROUP = re.compile(r"[(\[{][^()\[\]{}]*[,;][^()\[\]{}]*[)\]}]")
_FOLLOWING = re.compile(rf"\s?(?:%|°[CF]?|{CURRENCY}|[^\W\d_]+(?:\^\d|[²³])?)")
_MINUS = re.compile(r"(?<!\d )\b(?:minus|negative)\s+$", re.IGNORECASE)
_FUNCTION = re.compile(r"(?:\b(?:sin|cos|tan|log|ln|exp)\s?\(?|\d\s+minus\s+|\|)$", re.IGNORECASE)
_EXPONENT = re.compile(r"(?<=[A-Za-z])\^\(?$")  # cm^3
_MORE = re.compile(r",?\s+(?:and\s+)?\d[\d.,]*\s*[^\W\d_]+")


def _value_in(text: str, *, last: bool) -> str | None:
    """The first or last number of `text` with all that belongs to it: 2^10, (3, 5), 12:30 pm, 5 million, 2 h 30 min."""
    numbers = [
        number
        for number in NUMBER.finditer(text)
        if not _EXPONENT.search(text[max(0, number.start() - 3) : number.start()])
    ]
    for number in reversed(numbers) if last else numbers:
        before = text[max(0, number.start() - 60) : number.start()]
        if _DENIED.search(before):
            continue
        if _FUNCTION.search(before) or (_BOUNDED.search(before) and not _RELATED.search(before)):
            return None
        group = next((group[0] for group in _GROUP.finditer(text) if group.start() < number.start() < group.end()), "")
        if group and read_value(group) is not None:
            return group
        start, end = number.start(), number.end()
        if minus := _MINUS.search(before):
            start -= len(before) - minus.start()
        if grown := _GROWS_RIGHT.match(text, end):
            end = grown.end()
        if _OPERATOR_LEFT.search(before) and (grown := _GROWS_LEFT.search(before)):
            start -= len(before) - grown.start()
        elif _OPEN_LEFT.search(before) or _OPEN_RIGHT.match(text, end):
            return None
        return text[start : _with_unit(text, end)].strip()
    return None


_RELATED = re.compile(r"[A-Za-z]\s*(?:[≤≥<>≠]|<=|>=)\s*$")


def _with_unit(text: str, end: int) -> int:
    """Where the units, magnitudes and directions behind a number end; further quantities go with it."""
    while (word := _FOLLOWING.match(text, end)) and _belongs(word[0].strip()):
        end = word.end()
    if more := _MORE.match(text, end):
        unit = re.split(r"\d[\d.,]*\s*", more[0])[-1]
        if is_unit(unit):
            return _with_unit(text, more.end())
    return end


def _belongs(word: str) -> bool:
    return (
        is_unit(word) or word.casefold() in MAGNITUDES or word.casefold() in SENSES or word in ("BC", "BCE", "AD", "CE")
    )
