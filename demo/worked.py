"""Worked rationales: a straight-line program told in sentences, every calculation carried out.

    second_amount = 13 - 3     -->   Second amount: 13 - 3 = 10.
    return 13 + second_amount        Result: 13 + 10 = 23.

Several operations in one step are reduced one at a time, and a product of two longer numbers is split by the
second one's digits (``52 * 13 = 520 + 156 = 676``): small models are as weak at mental arithmetic as people.
"""

import ast
import re
from fractions import Fraction

OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//"}
PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2}
MAX_DIGITS = 6  # of a fraction's decimals, where it has no short ones

Expression = Fraction | tuple["Expression", str, "Expression"]


def is_straight_line(source: str) -> bool:
    """Whether a program is assignments and a ``return`` of bare arithmetic: no calls, loops or lists."""
    return not re.search(r"\bfor\b|\w\(|(?<!q)\[(?!\d)|\[\{", source)


def steps(source: str) -> tuple[list[str], str]:
    """The sentences of a straight-line program and its result as text."""
    values: dict[str, Fraction] = {}
    sentences = []
    for statement in ast.parse(source).body[0].body:
        name = statement.targets[0].id if isinstance(statement, ast.Assign) else "result"
        line, values[name] = calculation(_read(statement.value, values))
        sentences.append(f"{name.replace('_', ' ').capitalize()}: {line}.")
    return sentences, written(values["result"])


def calculation(expression: Expression) -> tuple[str, Fraction]:
    """An expression worked to its value: ``("20 * 3 + 5 = 60 + 5 = 65", 65)``."""
    chain = [_text(expression)]
    while not isinstance(expression, Fraction):
        expression = _reduce(expression)
        chain.append(_text(expression))
    return " = ".join(chain), expression


def written(value: Fraction) -> str:
    """A number in plain decimal notation: ``23``, ``0.5``, ``0.333333``."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.{MAX_DIGITS}f}".rstrip("0")


def _read(node: ast.expr, values: dict[str, Fraction]) -> Expression:
    """A syntax tree as nested (left, operator, right) with names replaced by their values."""
    if isinstance(node, ast.BinOp):
        return _read(node.left, values), OPERATORS[type(node.op)], _read(node.right, values)
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant):
        return Fraction(str(node.value))
    raise ValueError(f"not bare arithmetic: {ast.unparse(node)}")


def _text(expression: Expression, parent: int = 0) -> str:
    if isinstance(expression, Fraction):
        return written(expression)
    left, operator, right = expression
    own = PRECEDENCE[operator]
    text = f"{_text(left, own)} {operator} {_text(right, own + 1)}"
    return f"({text})" if own < parent else text


def _reduce(expression: Expression) -> Expression:
    """The expression after its leftmost possible operation."""
    left, operator, right = expression
    if not isinstance(left, Fraction):
        return _reduce(left), operator, right
    if not isinstance(right, Fraction):
        return left, operator, _reduce(right)
    if operator == "*":
        return _product(left, right)
    return _value(left, operator, right)


def _product(left: Fraction, right: Fraction) -> Expression:
    """A product's value, or for two numbers of several non-zero digits the sum of its partial products."""
    parts = _places(right)
    if len(parts) < 2 or len(_places(left)) < 2 or right < 0:
        return left * right
    total: Expression = left * parts[0]
    for part in parts[1:]:
        total = (total, "+", left * part)
    return total


def _places(value: Fraction) -> list[Fraction]:
    """A number by its non-zero digits: 1305 -> [1000, 300, 5] and 10.5 -> [10, 0.5]."""
    whole, _, decimals = written(value).partition(".")
    digits = [(digit, len(whole) - 1 - i) for i, digit in enumerate(whole + decimals)]
    return [int(digit) * Fraction(10) ** place for digit, place in digits if digit not in "0-"]


def _value(left: Fraction, operator: str, right: Fraction) -> Fraction:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    return left / right if operator == "/" else Fraction(left // right)
