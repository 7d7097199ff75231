"""Texts of models as people may safely see them: what could act on a page or a terminal is made visible instead.

"\\x1b[2J" -> "␛[2J"      "\\u202e" -> "⟨U+202E⟩"      half a surrogate pair -> "⟨U+D800⟩"
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

KEPT = "\n\t"
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, the terminal's escape among them
    "\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb"  # direction, width
    "\ud800-\udfff\U000e0000-\U000e007f]"  # halves of pairs, tags that nobody sees
)

CLASSES = {"Keyword": "k", "Literal.String": "s", "Literal.Number": "m", "Comment": "c", "Name.Function": "f"}
"""Short CSS classes of the tokens of Python that are coloured."""


def visible(text: str) -> str:
    """`text` with controls, marks of direction and halves of surrogate pairs written out."""
    return UNSAFE.sub(_name, text)


def _name(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)  # ␛ and its like
    return f"⟨U+{code:04X}⟩"


def json_line(row: Mapping[str, Any]) -> str:
    """A row as one line of JSON that a terminal can show: what `visible` writes out is escaped, as JSON can."""
    return UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], json.dumps(row, ensure_ascii=False)) + "\n"


def cut(text: str, most: int) -> str:
    """`text`, visible, and not more than `most` characters of it."""
    if len(text) <= most:
        return visible(text)
    return f"{visible(text[:most])} … ({len(text) - most:,} more characters)"


def one_line(text: str, most: int = 120) -> str:
    """The beginning of `text` in one line."""
    line = " ".join(text[: 4 * most].split())
    return visible(line if len(line) <= most else line[: most - 1] + "…")


def python(source: str) -> Markup:
    """Python as HTML with keywords, strings, numbers, comments and names of functions marked; all else escaped."""
    from pygments.lexers.python import PythonLexer

    pieces = []
    for kind, value in PythonLexer(stripnl=False, ensurenl=False).get_tokens(source):
        name = next((css for token, css in CLASSES.items() if str(kind).startswith(f"Token.{token}")), None)
        pieces.append(Markup('<i class="{}">{}</i>').format(name, value) if name else escape(value))
    return Markup("").join(pieces)


def completion(text: str, program: str, most: int) -> Markup:
    """A completion as HTML, with the program in it highlighted, cut after `most` characters."""
    before, found, after = text.partition(program) if program else (text, "", "")
    if not found or len(before) + len(found) > most:
        return escape(cut(text, most))
    return escape(visible(before)) + python(visible(found)) + escape(cut(after, most - len(before) - len(found)))
