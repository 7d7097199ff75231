"""The options of a multiple-choice question, and which of them a gold label names, read from the whole table.

    ["red", "blue"], {"label": ["1", "2"], "text": [...]}, ["A) red", ...] --read_choices--> {"A": "red", "B": "blue"}
    gold 2, "2", "B", "blue" --IndexedGolds--> "B"

A gold label is an index where it is a number that no label is. Its base is read from all rows: some 0, zero-based; some
as high as there are options, one-based. JSON integers with neither are zero-based, as on every hub; text is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.tasks.answers import as_text
from raydistill.pipelines.tasks.answers.options import same_option

SETTING = "questions.options.index_base"
BASES = (0, 1, "text")
_LABELLED_TEXT = re.compile(r"\s*[(\[]?\s*([A-Za-z]|\d{1,2})\s*[)\].:]+\s*(\S.*)", re.DOTALL)
_INDEX = re.compile(r"\d{1,2}")


def read_choices(value: Any, where: str) -> tuple[dict[str, str], dict[str, str]]:
    """Options by letter, and the letter of each label that the row itself uses.

    `value` is ``[{label, text}]``, ``{label: [...], text: [...]}`` or a list of texts. Labels that are no single
    letters (1 to 4) become the letters of their places. Raises UsageError for anything else, and for no options.
    """
    labels: Sequence[Any] | None = None
    try:
        if isinstance(value, Mapping):
            labels, texts = value["label"], value["text"]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            labels, texts = [item["label"] for item in value], [item["text"] for item in value]
        else:
            texts = value
        if not isinstance(texts, list | tuple) or not texts or (labels is not None and len(labels) != len(texts)):
            raise ValueError
    except (KeyError, TypeError, ValueError):
        raise UsageError(f"{where}: the choices are no list of texts or of label and text: {value!r}") from None
    if len(texts) > len(ascii_uppercase):
        raise UsageError(f"{where}: {len(texts)} choices; expected at most {len(ascii_uppercase)}")
    texts = [as_text(text) for text in texts]
    given = [as_text(label).strip("() .") for label in labels] if labels is not None else []
    if not given:
        given, texts = _own_labels(texts)
    folded = [label.upper() for label in given]
    lettered = all(re.fullmatch(r"[A-Z]", label) for label in folded) and len({*folded}) == len(folded)
    letters = folded if given and lettered else list(ascii_uppercase[: len(texts)])
    return dict(zip(letters, texts, strict=True)), dict(zip(folded, letters, strict=False))


def _own_labels(texts: list[str]) -> tuple[list[str], list[str]]:
    """Labels that stand in the texts themselves (``A) red``), in their order, taken off; else none."""
    found = [_LABELLED_TEXT.fullmatch(text) for text in texts]
    labels = [match[1].upper() for match in found if match]
    orders = (list(ascii_uppercase), list(map(str, range(1, 27))), list(map(str, range(26))))
    if len(texts) < 2 or not any(labels == order[: len(texts)] for order in orders):
        return [], texts
    return labels, [match[2].strip() for match in found if match]


class IndexedGolds:
    """Gold labels that may be indices; each row is noted, then `read` says what all of them are."""

    def __init__(self, base: Any = None) -> None:
        if base not in (None, *BASES) or isinstance(base, bool):
            raise UsageError(f"{SETTING} is {base!r}; expected 0, 1, or text where numbers are options' texts")
        self._base = base
        self._zero = self._top = self._no_text = self._text = self._unfit = ""
        self._only_integers = True

    def note(self, gold: Any, choices: Mapping[str, str], labels: Mapping[str, str], where: str) -> None:
        """A row's gold label, options and own labels."""
        text = as_text(gold)
        if not _INDEX.fullmatch(text) or text.upper() in labels:
            return
        integer = isinstance(gold, int) and not isinstance(gold, bool)
        self._only_integers &= integer
        if int(text) > len(choices):
            self._unfit = self._unfit or where
        elif int(text) == 0:
            self._zero = self._zero or where
        elif int(text) == len(choices):
            self._top = self._top or where
        if not integer and any(same_option(text, option) for option in choices.values()):
            self._text = self._text or where
        else:
            self._no_text = self._no_text or where

    def base(self) -> int | None:
        """What the first option's index is; None where no gold label is an index.

        Raises UsageError where the table does not tell.
        """
        if self._base is not None:
            return None if self._base == "text" else int(self._base)
        if not (self._text or self._no_text) or (self._unfit and not self._no_text):
            return None
        if self._unfit:
            raise UsageError(f"{self._unfit}: the gold label is no option and no index of one; {_HOW}")
        if self._text and not self._no_text:
            raise UsageError(f"{self._text}: the gold label may be an option's text or its index; {_HOW}")
        if self._zero and self._top:
            raise UsageError(f"{self._zero} counts options from 0, {self._top} from 1; {_HOW}")
        if self._zero or self._top or self._only_integers:
            return 0 if self._zero or not self._top else 1
        raise UsageError(f"{self._no_text}: nothing tells whether gold labels count options from 0 or from 1; {_HOW}")


_HOW = f"set {SETTING} to 0, to 1, or to text"


def gold_option(gold: Any, choices: Mapping[str, str], labels: Mapping[str, str], base: int | None, where: str) -> str:
    """The letter that a gold label names by the row's own labels or by its index; else the label as it is."""
    text = as_text(gold)
    if letter := labels.get(text.strip("() .").upper()):
        return letter
    if base is None or not _INDEX.fullmatch(text):
        return text
    place = int(text) - base
    if not 0 <= place < len(choices):
        raise UsageError(
            f"{where}: the gold label {text} is no index of its {len(choices)} options from {base} on; {_HOW}"
        )
    return list(choices)[place]
