"""Stated answers: finding them in a rationale, and comparing them with the gold label.

Three kinds of answer, each with its own rules:

  numeric   by value: 1,080 = $1080.00 = 1080 eggs = 1.08e3; 50% = 50; 3/4 = 0.75; 1 1/2 = 1.5. Two whole
            numbers are equal or not; otherwise 1e-4 of the gold value is allowed. nan, inf, True: never.
  choice    by letter: (B), B., b) and "(B) the desert" are B; with the options known, so is their text.
  text      without case, articles, surplus white space and punctuation around words; yes = true, no = false.

Which answer a text gives (`find_answer`) never depends on the right one, so that it is the same where that is unknown.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from raydistill.pipelines.tasks.extract import final_reply, until_next_question

Kind = Literal["numeric", "choice", "text"]
Value = str | int | float | bool | list | dict  # what a program returns; lists and dicts are answers of kind text
KINDS: tuple[Kind, ...] = ("numeric", "choice", "text")
Choices = Mapping[str, str]  # the options of a question by label

# What rounding a printed result may cost: 66.6667 is right for 200/3. ToRA's labels use the same bound.
RELATIVE_TOLERANCE = 1e-4
# Whole numbers must agree, but for what double precision loses in computing them (1e21 + 1 - 1).
WHOLE_TOLERANCE = 1e-12
# A gold value of 0 admits what is left of computing it in floating point.
ZERO_TOLERANCE = 1e-9

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3}(?!\w))?|\.\d+"
NUMBER = re.compile(
    r"(?P<sign>(?:(?<![\w)\]])[-+])?(?:[$€£¥₹]\s?-?)?)(?<!\w)(?<!\d\.)"
    rf"(?P<size>\d+ \d+/\d+|(?:{_DIGITS})/(?:{_DIGITS})|(?:{_DIGITS}))"
)
_UNIT = r"[^\W\d_]+"
BARE_NUMBER = re.compile(rf"=?\s*{NUMBER.pattern}\s*[%°]?\s*(?:{_UNIT}(?:[\s/.-]+{_UNIT})*)?[\s.²³]*")

LETTER = re.compile(r"\(?([A-Za-z])(?:[).:]+\s*(.*))?", re.DOTALL)  # B, (B), B. or "B) the desert"
# A letter in running text: in brackets, or a capital that is not the article.
LETTER_IN_TEXT = re.compile(r"\(([A-Za-z])\)|\b([B-H]|A(?!\s+(?!because|since)[a-z]))\b(?![’'])")

# Where an answer is stated, the most explicit form first.
MARKED = (
    re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL | re.IGNORECASE),
    re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}"),
    re.compile(r"^[ \t]*####(.+)$", re.MULTILINE),
)
SPOKEN = (
    re.compile(r"^.*\banswer\s*(?:is|=)\s*:?\s*(.+)$", re.MULTILINE | re.IGNORECASE),
    re.compile(r"^.*\b(?:option|choice) is\s*:?\s*(.+)$", re.MULTILINE | re.IGNORECASE),
)
LABELLED = re.compile(r"^[ \t]*(?:(?:the )?(?:final )?answer|a)[ \t]*:\s*(.+)$", re.MULTILINE | re.IGNORECASE)
CONCLUSION = re.compile(r"\b(?:therefore|thus|hence|so)\b(.+)$", re.MULTILINE | re.IGNORECASE)
SENTENCE_END = re.compile(r"(?<!\bMr)(?<!\bDr)(?<!\bSt)(?<!\bMrs)(?<!\b[A-Z])[.!?](?:\s|$)")

_MARKUP = (
    (re.compile(r"<<[^<>\n]*>>"), ""),  # GSM8K's calculator annotation: 48/2 = <<48/2=24>>24
    (re.compile(r"\*\*(.+?)\*\*"), r"\1"),
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\[!,;: ()\[\]]"), ""),
    (re.compile(r"\\([$%])"), r"\1"),
    (re.compile("−"), "-"),
)
_SYNONYMS = {"yes": "true", "no": "false"}
_ARTICLES = frozenset({"a", "an", "the"})


class Returned(str):
    """A string that a program returned: it is the answer, of however many lines, where another text states one."""

    __slots__ = ()


def find_answer(value: Value | None, kind: Kind, choices: Choices | None = None) -> Value | None:
    """The answer that `value`, a program's result or a text, is or states; None if it states none.

    A number with its unit, or an option named by label or text, is taken as it stands; so is what a program returned.
    Of any other text it is what `parse_answer` finds.
    """
    if value is None or not isinstance(value, str):
        return value
    if kind == "numeric" and to_number(value) is not None:
        return value
    if kind == "choice" and (letter := _whole_choice(value, choices)):
        return letter
    if kind == "text" and isinstance(value, Returned):
        return stated_answer(value, kind) or value.strip() or None
    return parse_answer(value, kind)


def parse_answer(text: str, kind: Kind) -> str | None:
    """The final answer of a rationale, as written there; None if there is none of this kind.

    What `stated_answer` finds; failing that, the last number or option letter (for text: all) of the last
    line, then of what follows the last Therefore, Thus, Hence or So (the rule of arXiv 2310.14747).
    """
    if answer := stated_answer(text, kind):
        return answer
    reply = _reply(text)
    for line in (reply.rpartition("\n")[2], *CONCLUSION.findall(reply)[-1:]):
        if answer := _last(line, kind):
            return answer
    return None


def stated_answer(text: str, kind: Kind) -> str | None:
    """The answer that a text states in one of the usual forms; None if it uses none of them.

    Tried in this order, the last of each: ``<answer>X</answer>``, ``\\boxed{X}``, ``#### X``; ``the answer is
    X``, ``the correct option is X``; a line ``A: X`` or ``Answer: X`` with nothing but the answer on it. What
    stands in ``<think>`` or after a made-up next question is not looked at.
    """
    reply = _reply(text)
    for form in MARKED + SPOKEN:
        for stated in reversed(form.findall(reply)):
            if answer := _first(_sentence(stated) if form in SPOKEN else stated, kind):
                return answer
    for label in reversed(LABELLED.findall(reply)):
        if _is_bare(label, kind):
            return _trim(label)
    return None


def compare(value: Value, gold: str, kind: Kind, choices: Choices | None = None) -> bool:
    """Whether `value`, a program's result or a stated answer, is the gold answer by the rules of its kind."""
    if kind == "numeric":
        number, expected = to_number(value), to_number(gold)
        return number is not None and expected is not None and _close(number, expected)
    if kind == "choice":
        letter = to_letter(str(value), choices)
        return letter is not None and letter == to_letter(gold, choices)
    return normalise(as_text(value)) == normalise(gold)


def canonical(value: Value, kind: Kind, choices: Choices | None = None) -> str:
    """One spelling for answers that are the same, so that they can be counted: 1080 for $1,080.00, B for (B)."""
    if kind == "numeric":
        number = to_number(value)
        return str(value) if number is None else f"{number:.15g}"
    return (to_letter(str(value), choices) or str(value)) if kind == "choice" else normalise(as_text(value))


def as_text(value: Any) -> str:
    """A value as an answer in words: true for a boolean, 39 for 39.0, "" for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def infer_kind(golds: Iterable[str]) -> Kind:
    """The kind of gold answers: numeric if each is a number, choice if each is a letter, else text."""
    golds = list(golds)
    if all(to_number(gold) is not None for gold in golds):
        return "numeric"
    return "choice" if all(re.fullmatch(r"\(?[A-Z]\)?", gold.strip()) for gold in golds) else "text"


def to_number(value: Value) -> float | None:
    """The finite number that `value` is; text may carry currency, separators, percent sign and unit."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        found = BARE_NUMBER.fullmatch(_plain(value).strip())
        return _number(found["sign"], found["size"]) if found else None
    return _finite(value) if isinstance(value, int | float) else None


def to_letter(text: str, choices: Choices | None = None) -> str | None:
    """The capital letter of the option that `text` names by its label, by label and text, or by its text."""
    text = text.strip()
    labelled = LETTER.fullmatch(text)
    if labelled:
        letter, rest = labelled[1].upper(), labelled[2] or ""
        if not rest or not choices or normalise(rest) == normalise(choices.get(letter, "")):
            return letter
    named = [label for label, option in (choices or {}).items() if normalise(option) == normalise(text)]
    return named[0] if len(named) == 1 else None


def normalise(text: str) -> str:
    """`text` as the kind `text` compares it; what consists of punctuation or articles alone keeps them."""
    folded = unicodedata.normalize("NFKC", text).casefold().split()
    words = [word.strip(".,;:!?\"'`*()“”‘’") for word in folded]
    joined = " ".join([word for word in words if word and word not in _ARTICLES] or folded)
    return _SYNONYMS.get(joined, joined)


def _whole_choice(text: str, choices: Choices | None) -> str | None:
    """The letter of the option that all of `text` names.

    Where the options are unknown, ``A: ... so (B)`` could be both; there a stated answer comes first, and a label is
    taken of a single line only.
    """
    if not choices and ("\n" in text.strip() or stated_answer(text, "choice")):
        return None
    return to_letter(text, choices)


def _close(number: float, expected: float) -> bool:
    if number.is_integer() and expected.is_integer():
        return math.isclose(number, expected, rel_tol=WHOLE_TOLERANCE)
    return abs(number - expected) <= max(RELATIVE_TOLERANCE * abs(expected), ZERO_TOLERANCE)


def _number(sign: str, size: str) -> float | None:
    """The value of a NUMBER, e.g. of sign ``-$`` and size ``1 1/2``."""
    *whole, last = size.replace(",", "").split()
    over, _, under = last.partition("/")
    if under and not float(under):
        return None
    magnitude = float(over) / float(under or 1) + sum(map(float, whole))
    return _finite(-magnitude if "-" in sign else magnitude)


def _finite(value: int | float) -> float | None:
    try:
        number = float(value)
    except OverflowError:  # an integer beyond the range of double precision
        return None
    return number if math.isfinite(number) else None


def _reply(text: str) -> str:
    return _plain(until_next_question(final_reply(text).strip())).strip()


def _plain(text: str) -> str:
    """`text` without bold type, LaTeX commands, calculator annotations and the typographic minus."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text


def _sentence(text: str) -> str:
    end = SENTENCE_END.search(text)
    return text[: end.start()] if end else text


def _trim(text: str) -> str:
    return text.strip().removesuffix(".").rstrip()


def _is_bare(stated: str, kind: Kind) -> bool:
    """Whether `stated` is nothing but an answer of this kind."""
    if kind == "numeric":
        return to_number(stated) is not None
    return kind == "text" or to_letter(stated) is not None


def _first(stated: str, kind: Kind) -> str | None:
    """The answer at the head of `stated`: of an equation the result, of a choice the letter or its text."""
    if kind == "numeric":
        found = NUMBER.search(stated.rpartition("=")[2]) or NUMBER.search(stated)
        return found[0] if found else None
    found = LETTER_IN_TEXT.search(stated) if kind == "choice" else None
    return (found[1] or found[2]) if found else _trim(stated) or None


def _last(line: str, kind: Kind) -> str | None:
    """The last number or option letter of `line`; for text the whole line."""
    if kind == "text":
        return _trim(line) or None
    *_, found = (None, *(NUMBER if kind == "numeric" else LETTER_IN_TEXT).finditer(line))
    if not found:
        return None
    return found[0] if kind == "numeric" else found[1] or found[2]
