"""A row as it is stored and shown: text by column, nested fields with dots in their names.

{"question": {"stem": "Where?", "choices": [{"label": "A", "text": "here"}]}, "label": 1}
--> {"question.stem": "Where?", "question.choices": "A: here", "label": "neutral"}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raydistill.pipelines.tasks.base import as_text


def flatten(
    row: Mapping[str, Any], labels: Mapping[str, Sequence[str]] | None = None, columns: Sequence[str] = ()
) -> dict[str, str]:
    """The row's non-empty values as text.

    Objects become columns ``a.b``; items of a list are joined by ``; ``, an object among them by its values; binary
    values are left out. A column in `labels` holds ids, which become names; ids without one are left out. With
    `columns`, only those.
    """
    flat = {}
    for name, value in _leaves(row):
        if columns and name not in columns:
            continue
        text = _label(value, labels[name]) if labels and name in labels else _text(value)
        if text:
            flat[name] = text
    return flat


def cut(text: str, characters: int) -> str:
    """The text, or its head up to the last blank before `characters` if it is longer."""
    if len(text) <= characters:
        return text
    head = text[:characters]
    at_blank = head.rsplit(maxsplit=1)[0]
    return at_blank if len(at_blank) > characters // 2 else head


def _leaves(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ": ".join(filter(None, map(_text, value.values())))
    if isinstance(value, list | tuple):
        return "; ".join(filter(None, map(_text, value)))
    return "" if isinstance(value, bytes) else as_text(value)


def _label(value: Any, names: Sequence[str]) -> str:
    text = as_text(value)
    if text in names:
        return text
    return names[int(text)] if text.isdigit() and int(text) < len(names) else ""
