"""Answers in words: one normal form for what differs by case, articles, punctuation and blanks alone."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from raydistill.pipelines.tasks.answers.plain import plain

_SYNONYMS = {"yes": "true", "no": "false"}
_ARTICLES = frozenset({"a", "an", "the"})
_MARKS = ".,;:!?\"'`*()“”‘’。，！？"
_DECIMAL = re.compile(r"[-+]?\.\d+")
_HALF_OF_DAY = re.compile(r"\b([ap])\. ?m\b\.?", re.IGNORECASE)


def as_text(value: Any) -> str:
    """A value as an answer in words: true for a boolean, 39 for 39.0, "" for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def normalise(text: str) -> str:
    """`text` as the kind `text` compares it; what consists of punctuation or articles alone keeps them."""
    folded = unicodedata.normalize("NFKC", _HALF_OF_DAY.sub(r"\1m", plain(text))).casefold().split()
    words = [word if _DECIMAL.fullmatch(word) else word.strip(_MARKS) for word in folded]
    joined = " ".join([word for word in words if word and word not in _ARTICLES] or folded)
    return _SYNONYMS.get(joined, joined)
