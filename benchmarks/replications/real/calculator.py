"""What a rationale would answer if a calculator did its sums: the share of its errors that is arithmetic.

    "29 birds * 7 pairs = 213 pairs ... The answer is 213." --calculated--> "... = 203 pairs ... The answer is 203."

Only what stands in front of an equals sign in numbers and operators is done again; units may stand between them. A
result that was wrong is replaced where it is used later on, as the student would have used the right one.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

_NUMBER = r"\$?-?\d+(?:,\d{3})*(?:\.\d+)?%?"
_WORDS = r"(?:\s+(?!x\b)[A-Za-z][A-Za-z'-]*|\s*\([A-Za-z ]*\))*"
_TERM = rf"\(*\s*{_NUMBER}{_WORDS}\s*\)*"
_EQUATION = re.compile(
    rf"(?<![\d.)/])({_TERM}(?:\s*[-+*/×÷x−]\s*{_TERM})+)\s*=\s*({_NUMBER})(?![\d.]*\d|{_WORDS}\s*[-+*/×÷x−(=])"
)
_SPELLINGS = str.maketrans({"×": "*", "x": "*", "÷": "/", "−": "-"})
_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def calculated(text: str) -> str:
    """`text` with its equations done right, and what follows from them; the same text where none was wrong."""
    at = 0
    while found := _EQUATION.search(text, at):
        right, told = value_of(found[1]), found[2].strip("$%")
        at = found.end()
        if right is None:
            continue
        right *= 100 if found[2].endswith("%") else 1
        if not _is_told(right, told.replace(",", "")):
            start = found.start(2) + found[2].index(told)
            mended = f"{right:.4f}".rstrip("0").rstrip(".")
            wrong = "|".join(re.escape(form) for form in {told, told.replace(",", "")})
            later = re.sub(rf"(?<![\d.,])(?:{wrong})(?!\d|[.,]\d)", mended, text[start:])
            text, at = text[:start] + later, start + len(mended)
    return text


def value_of(expression: str) -> float | None:
    """The value of numbers and operators with words between them; None where they make no expression."""
    plain = re.sub(r"[A-Za-z']{2,}|[a-wyzA-WYZ]\b|\(\s*[A-Za-z ]*\)", " ", expression).translate(_SPELLINGS)
    plain = re.sub(r"(\d[\d.]*)%", r"(\1/100)", re.sub(r"[$,]", "", plain))
    plain = re.sub(r"(?<![\d.])0+(?=\d)", "", plain)  # 007 is no number in Python
    try:
        return _evaluate(ast.parse(plain.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError):
        return None


def _is_told(right: float, told: str) -> bool:
    """Whether `told` is the right value, to as many digits as it has behind the point."""
    digits = len(told.partition(".")[2])
    return abs(right - float(told)) <= (0.5 * 10**-digits if digits else 1e-6 * max(1.0, abs(right))) + 1e-9


def _evaluate(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return float(_OPERATIONS[type(node.op)](_evaluate(node.left), _evaluate(node.right)))
    raise ValueError("no arithmetic")
