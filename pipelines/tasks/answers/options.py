"""Options named by letter, by index or by text; which of them a text chooses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise

from raydistill.pipelines.tasks.answers.numbers import UNSPACED
from raydistill.pipelines.tasks.answers.plain import plain
from raydistill.pipelines.tasks.answers.values import read_value, same_value
from raydistill.pipelines.tasks.answers.words import normalise

Choices = Mapping[str, str]  # the options of a question by label

# B, (B), [B], B., "B) the desert", option B
LETTER = re.compile(
    r"(?:(?:option|choice|answer)\s+)?[(\[]?([A-Za-z])(?:[)\].:]++\s*+(?!(?:or|and)\b)(.*))?", re.DOTALL | re.IGNORECASE
)
_BEFORE = rf"(?<![^\W{UNSPACED}])(?<![\\'’^_+*/=-])"
_AFTER = rf"(?![^\W{UNSPACED}])(?![’'][a-z]|[\^_+*/=-])"
_BARE = r"(?:[B-J]|A(?!\s+(?!because|since|or\b|and\b|nor\b|is\b|as\b)[a-z]))"
# A letter in running text: in brackets, or a capital that is not the article.
_LETTER = rf"(?:[(\[]([A-Za-z])[)\]]|{_BEFORE}({_BARE}){_AFTER})"
IN_TEXT = re.compile(_LETTER)
_NAMED = rf"(?:(?:option|choice|answer)\s+)?['\"]?{_LETTER}['\"]?"
_NOT = rf"(?:\bnot|n[’']t|\bnever|\brather than|\binstead of|\bexcept)\s+(?:be\s+)?{_NAMED}"
_NEITHER = rf"\bneither\s+{_NAMED}(?:\s*,?\s*nor\s+{_NAMED})*"
DENIED = re.compile(rf"{_NEITHER}|{_NOT}(?:\s*,?\s*(?:or|nor)\s+{_NAMED})*", re.IGNORECASE)
JOINED = re.compile(
    r"['\")\].]*\s*(?:[,/&]|\band\b|\bor\b|,\s*(?:and|or)\b|\band/or\b)\s*(?:(?:option|choice)\s+)?['\"(\[]*",
    re.IGNORECASE,
)
# Before a capital letter that is an answer, and not the name of something (vitamin C, group B).
_CUE = re.compile(
    r"(?:^|[:,;–—=>是选選为為は는은-]|\b(?:is|be|are|as|to|with|by|option|choice|answer|letter|therefore|thus|hence|so|choose|chose|select|"
    r"selected|pick|picked|mark|it's|being|say|go|for|because|that))\s*[:,]?\s*(?:the\s+)?[*_'\"(\[]*$",
    re.IGNORECASE,
)


def to_letter(text: str, choices: Choices | None = None) -> str | None:
    """The capital letter of the option that `text` names by its label, by label and text, or by its text."""
    text = plain(text).strip().strip("'\"“”‘’").strip()
    labelled = LETTER.fullmatch(text)
    if labelled:
        letter, rest = labelled[1].upper(), labelled[2] or ""
        if not rest or not choices or same_option(rest, choices.get(letter, "")):
            return letter
    if not choices:
        return None
    named = [label for label, option in choices.items() if normalise(option) == normalise(text)]
    named = named or [label for label, option in choices.items() if same_option(text, option)]
    return named[0] if len(named) == 1 else None


@lru_cache(maxsize=8192)
def same_option(text: str, option: str) -> bool:
    """Whether `text` is the text of an option: its words, or its number (1/2 and 0.5, 23 and 23.0)."""
    if normalise(text) == normalise(option):
        return True
    value, expected = read_value(text), read_value(option)
    return value is not None and expected is not None and same_value(value, expected)


def chosen_letter(text: str, *, last: bool = False, cued: bool = False) -> str | None:
    """The letter that `text` chooses, the first (or last) there; None where it names none, or joins several.

    A letter that is denied ("not A", "neither A nor B") is passed over. With `cued` a bare capital counts only where an
    option can be named: after "is", "option", a colon, ..., not after a noun (vitamin C).
    """
    found = list(IN_TEXT.finditer(DENIED.sub(lambda denied: " " * len(denied[0]), text)))
    for at in reversed(range(len(found))) if last else range(len(found)):
        if cued and not found[at][1] and not _CUE.search(text[max(0, found[at].start() - 40) : found[at].start()]):
            continue
        around = found[max(0, at - 1) : at + 2]
        if any(_joined(text, one, other) for one, other in pairwise(around)):
            return None
        return found[at][1] or found[at][2]
    return None


def _joined(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    """Whether two letters stand as alternatives or together: A or B, A, B and C."""
    different = (one[1] or one[2]).upper() != (other[1] or other[2]).upper()
    return different and JOINED.fullmatch(text[one.end() : other.start()]) is not None
