r"""Written text as plain text: \frac{1}{2} is 1/2, \text{cm}^{2} is cm^2, −5 is -5, 10⁸ is 10^8, **18** is 18.

Nothing is decided here: what stands in the text is spelt in one alphabet, so that readers need no second one.
"""

from __future__ import annotations

import re
from functools import lru_cache

_MINUS = "‐‑‒–—―−﹘﹣－"
_BLANKS = "\u00a0\u2007\u2009\u200a\u202f\u3000"
_CHARACTERS = str.maketrans(
    dict.fromkeys(_MINUS, "-")
    | dict.fromkeys(_BLANKS, " ")
    | dict.fromkeys("\u200b\u2060\ufeff", "")
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
    | dict(zip("％＝＋：（）＄．⁄∕∶", "%=+:()$.//:", strict=True))
)
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅐": "1/7", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅑": "1/9", "⅒": "1/10",
}  # fmt: skip
_VULGAR = re.compile(rf"(\d?)\s*([{''.join(_FRACTIONS)}])")
_RAISED = re.compile(r"(?<=[\w)])[⁺⁻]?[⁰¹²³⁴-⁹]+")

_PROGRAMMED = re.compile(r"(?<![A-Za-z\\])(?:sqrt(?=\s*\()|pi(?![A-Za-z]))")  # sqrt(2) and 2*pi as programs print
_MARKED = re.compile(r"[\\$<*_^`{]|pi|sqrt")
_CALCULATION = re.compile(r"<<[^<>\n]*>>")  # GSM8K's calculator annotation: 48/2 = <<48/2=24>>24
_BOLD = re.compile(r"\*\*(?=\S)([^*\n]+?)\*\*|(?<![\w_])__(?=\S)([^_\n]+?)__(?!\w)|`([^`\n]+)`")
# Pandoc's rule: $ opens where no blank follows, and closes where none precedes and no digit follows.
_MATH = re.compile(r"\$\$([^$]+)\$\$|(?<![\\$])\$(?=\S)([^$\n]*?[^\s$\\])\$(?!\d)|(?<![\\$\w])\$ ([^$\n]+?) \$(?!\d)")

_SYMBOLS = {
    "cdot": "×", "times": "×", "ast": "*", "div": "÷", "pi": "π", "pm": "±", "infty": "∞", "approx": "≈", "cup": "∪",
    "cap": "∩", "degree": "°", "lt": "<", "gt": ">", "ne": "≠", "neq": "≠", "le": "≤", "leq": "≤", "leqslant": "≤",
    "ge": "≥", "geq": "≥", "geqslant": "≥", "in": "∈", "circ": "°", "quad": " ", "qquad": " ", "colon": ":",
}  # fmt: skip
_NOTHING = "left|right|big|Big|bigg|Bigg|displaystyle|limits|bigl|bigr|Bigl|Bigr"
_LATEX: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"\\(?:{_NOTHING})(?![A-Za-z])"), ""),
    (re.compile(r",\s*\\!\s*|\s*\{,\s*\}\s*"), ","),
    (re.compile(r"\\([$%#&])"), r"\1"),
    (re.compile(r"\^\s*\{?\s*\\circ\s*\}?"), "°"),
    (re.compile(r"\\[!,;: ()\[\]]"), ""),
    (re.compile(r"(?<=\d)\.\s*\\(?:overline|bar)\s*\{?(\d+)\}?"), r".(\1)"),
    (re.compile(r"(?<=\.)(\d+)\\(?:overline|bar)\s*\{?(\d+)\}?"), r"\1(\2)"),
)
_SYMBOL = re.compile(rf"\\({'|'.join(sorted(_SYMBOLS, key=len, reverse=True))})(?![A-Za-z])\s*")
_FONTS = "text|mathrm|mathbf|textbf|mbox|textnormal|operatorname|boldsymbol|mathit|textit|textsc|mathbb"
_GROUPS: tuple[tuple[re.Pattern[str], str], ...] = (  # from the inside out, until nothing changes
    (re.compile(rf"\\(?:{_FONTS})\s*\{{([^{{}}]*)\}}"), r"\1"),
    (re.compile(r"\\sqrt\s*\{(\w+)\}|\\sqrt\s*(\w)"), r"√\1\2"),
    (re.compile(r"\\sqrt\s*\{([^{}]*)\}"), r"√(\1)"),
    (re.compile(r"\^\s*\{\s*(-?\w+)\s*\}"), r"^\1"),
    (re.compile(r"\^\s*\{([^{}]*)\}"), r"^(\1)"),
)  # fmt: skip
_PART = r"\s*(?:\{([^{}]*)\}|(\w))"
_FRACTION = re.compile(rf"(\d?)\s*\\[dtc]?frac{_PART}{_PART}")
_SIMPLE = re.compile(r"\s*-?\s*[\w.,]+\s*")


def plain(text: str) -> str:
    """`text` without bold type, LaTeX commands and calculator annotations, and with one minus."""
    return _plain(text) if not text.isascii() or _MARKED.search(text) else text


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    if not text.isascii():
        text = _RAISED.sub(lambda found: f"^{found[0].translate(_SUPERSCRIPT)}", text)
        text = _VULGAR.sub(
            lambda found: f"{found[1]} {_FRACTIONS[found[2]]}" if found[1] else _FRACTIONS[found[2]], text
        )
        text = text.translate(_CHARACTERS)
    text = _CALCULATION.sub("", text)
    text = _PROGRAMMED.sub(lambda found: "π" if found[0] == "pi" else "√", text)
    text = _BOLD.sub(lambda found: found[1] or found[2] or found[3], text)
    if text.count("$") > 1:
        text = _MATH.sub(lambda found: found[1] or found[2] or found[3], text)
    if "\\" in text or "^" in text or "{" in text:
        text = _without_latex(text)
    return text


def _without_latex(text: str) -> str:
    for pattern, replacement in _LATEX:
        text = pattern.sub(replacement, text)
    text = _SYMBOL.sub(lambda found: _SYMBOLS[found[1]], text)
    for _ in range(8):  # as deep as anyone nests
        before = text
        for pattern, replacement in _GROUPS:
            text = pattern.sub(replacement, text)
        text = _FRACTION.sub(_fraction, text)
        if text == before:
            break
    return text.replace("\\{", "{").replace("\\}", "}")


def _fraction(found: re.Match[str]) -> str:
    """``1/2``; ``2 1/2`` behind a digit; ``(a+b)/(c)`` where a part is more than one number or name."""
    over, under = found[2] or found[3] or "", found[4] or found[5] or ""
    simple = _SIMPLE.fullmatch(over) and _SIMPLE.fullmatch(under)
    fraction = f"{over.strip()}/{under.strip()}" if simple else f"({over.strip()})/({under.strip()})"
    return f"{found[1]} {fraction}" if found[1] else fraction
