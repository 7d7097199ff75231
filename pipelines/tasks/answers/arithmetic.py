"""The value of an expression of numbers alone: 10^6, 2^(10), 4√2, 5!, 3π/4, 3 * 6. Nothing is evaluated as Python."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

_CHARACTERS = re.compile(r"[\d.,()+\-*/^√π×÷·!\s]{2,80}")
_NEEDS = re.compile(r"[+\-*/^√π×÷·!(]")
_IMPLICIT = re.compile(r"(?<=[\d)π!])\s*(?=[√π(])|(?<=[)π!])\s*(?=\d)")
_ROOT = re.compile(r"√\s*(\d+(?:\.\d+)?|π)")
_FACTORIAL = re.compile(r"(?<![\d.])(\d{1,3})\s*!(?!!)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_AS_PYTHON = {"√": "sqrt", "π": "(pi)", "×": "*", "·": "*", "÷": "/", "^": "**"}  # to be parsed, not run
_LARGEST_POWER = 400  # beyond which no finite double comes out

_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def evaluate(text: str) -> float | None:
    """The finite value of `text` in plain spelling; None where it holds anything but numbers and operators."""
    text = text.strip()
    if not _CHARACTERS.fullmatch(text) or not _NEEDS.search(text) or not re.search(r"[\dπ]", text):
        return None
    code = _THOUSANDS.sub("", text)
    if "," in code or re.search(r"\d\s+\d", code):
        return None
    code = _FACTORIAL.sub(r"factorial(\1)", code)
    code = _IMPLICIT.sub("*", _ROOT.sub(r"√(\1)", code))
    for written, spelling in _AS_PYTHON.items():
        code = code.replace(written, spelling)
    try:
        value = _value(ast.parse(code.strip(), mode="eval").body)
        return value if isinstance(value, float) and math.isfinite(value) else None
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None


def _value(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float()):
            return float(node.value)  # type: ignore[arg-type]
        case ast.Name(id="pi"):
            return math.pi
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _value(inner)
        case ast.BinOp(op=ast.Pow(), left=left, right=right):
            base, power = _value(left), _value(right)
            if abs(power) > _LARGEST_POWER or (base < 0 and not power.is_integer()):
                raise ValueError("no finite value")
            return base**power
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.Call(func=ast.Name(id="sqrt"), args=[inner]):
            return math.sqrt(_value(inner))
        case ast.Call(func=ast.Name(id="factorial"), args=[ast.Constant(value=int(count))]) if count <= 170:
            return float(math.factorial(count))
    raise ValueError(f"no arithmetic: {ast.dump(node)}")
