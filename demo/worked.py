"""Worked calculations: a straight-line program as named steps, every calculation carried out digit by digit.

    second_amount = 13 - 8   -->  Step("second amount", "13 - 8 = 5", "5")
    return 97 * 6 + 5             Step("result", "97 * 6 = 540 + 42 = 582, 582 + 5 = 587", "587")

A small transformer writes numbers from the left and one digit per token, so a digit is learnable where it follows
from a table entry and at most one carry. Hence sums and differences move one place of the second number at a time
(``28 + 34 = 58 + 4 = 62``) where digits meet at several, products are sums of one-digit ones, quotients long division
(``474 / 6 = 70 + 54 / 6 = 70 + 9 = 79``), and fractions are cancelled first (``450000 * 14 / 100 = 4500 * 14``).
One operation is finished before the next one starts; no pending rest is dragged along.
"""

import ast
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from random import Random

OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//"}
MAX_DIGITS = 6  # of a fraction's decimals, where it has no short ones

Expression = Fraction | tuple["Expression", str, "Expression"]


@dataclass(frozen=True)
class Step:
    """One named value of a program: ``Step("boys", "9 * 4 = 36", "36")``; the returned one is the "result"."""

    name: str
    calculation: str  # true equations, joined by ", "
    value: str


def is_straight_line(source: str) -> bool:
    """Whether a program is assignments and a ``return`` of bare arithmetic: no calls, loops or lists."""
    return not re.search(r"\bfor\b|\w\(|(?<!q)\[(?!\d)|\[\{", source)


def steps(source: str, rng: Random | None = None) -> list[Step]:
    """The steps of a straight-line program, in its own order or, with `rng`, in a random valid one."""
    [function] = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    statements = dict(map(_read_statement, function.body))
    order = _shuffled(statements, rng) if rng else list(statements)
    values: dict[str, Fraction] = {}
    worked = []
    for name in order:
        equations, values[name] = calculation(_read(statements[name], values))
        worked.append(Step(name.replace("_", " "), ", ".join(equations), written(values[name])))
    return worked


def calculation(expression: Expression) -> tuple[list[str], Fraction]:
    """Equations that work out an expression, and its value: ``(["20 * 3 = 60", "60 + 5 = 65"], 65)``."""
    if isinstance(expression, Fraction):
        return [], expression
    left, operator, right = expression
    if operator in ("/", "//") and isinstance(left, tuple) and left[1] == "*":
        (before, whole), (middle, share), (after, divisor) = map(calculation, (left[0], left[2], right))
        equations = before + middle + after + _share(whole, share, operator, divisor)
        return equations, _value(whole * share, operator, divisor)
    (before, first), (after, second) = calculation(left), calculation(right)
    return before + after + EQUATIONS[operator](first, operator, second), _value(first, operator, second)


def written(value: Fraction) -> str:
    """A number in plain decimal notation: ``23``, ``0.5``, ``0.333333``."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.{MAX_DIGITS}f}".rstrip("0")


def places(value: Fraction) -> list[Fraction]:
    """A number by its non-zero digits: 1305 -> [1000, 300, 5] and 10.5 -> [10, 0.5]; [value] if it has no such form."""
    whole, _, decimals = written(abs(value)).partition(".")
    digits = [(int(digit), len(whole) - 1 - i) for i, digit in enumerate(whole + decimals)]
    parts = [digit * Fraction(10) ** place for digit, place in digits if digit]
    return parts if parts and sum(parts) == value else [value]


def _read_statement(statement: ast.stmt) -> tuple[str, ast.expr]:
    """The name and the expression of ``name = expression`` or, as "result", of ``return expression``."""
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    if isinstance(statement, ast.Return) and statement.value:
        return "result", statement.value
    raise ValueError(f"not a straight-line program: {ast.unparse(statement)}")


def _shuffled(statements: dict[str, ast.expr], rng: Random) -> list[str]:
    """The names in a random order in which every value is calculated before it is used."""
    uses = {name: {n.id for n in ast.walk(value) if isinstance(n, ast.Name)} for name, value in statements.items()}
    order: list[str] = []
    while len(order) < len(statements):
        ready = [name for name in statements if name not in order and uses[name] <= set(order)]
        if len(ready) > 1:
            ready = [name for name in ready if name != "result"]
        order.append(rng.choice(ready))
    return order


def _read(node: ast.expr, values: dict[str, Fraction]) -> Expression:
    """A syntax tree as nested (left, operator, right) with names replaced by their values."""
    if isinstance(node, ast.BinOp):
        return _read(node.left, values), OPERATORS[type(node.op)], _read(node.right, values)
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant):
        return Fraction(str(node.value))
    raise ValueError(f"not bare arithmetic: {ast.unparse(node)}")


def _value(left: Fraction, operator: str, right: Fraction) -> Fraction:
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    return left / right if operator == "/" else Fraction(left // right)


def _text(first: Fraction, operator: str, second: Fraction) -> str:
    return f"{written(first)} {operator} {written(second)}"


def _sum(first: Fraction, operator: str, second: Fraction) -> list[str]:
    return [" = ".join(_summed([first, second]))]


def _summed(terms: list[Fraction]) -> list[str]:
    """The sides of an equation that adds up terms: ``["28 + 34", "58 + 4", "62"]``."""
    sides = [" + ".join(map(written, terms))]
    while len(terms) > 1:
        first, second, *others = terms
        top, *rest = places(second)
        if _overlap(first, second) > 1:
            terms = [first + top, sum(rest, Fraction(0)), *others]
        else:
            terms = [first + second, *others]
        sides.append(" + ".join(map(written, terms)))
    return sides


def _overlap(first: Fraction, second: Fraction) -> int:
    """At how many places both numbers have a non-zero digit."""
    exponents = [{math.floor(math.log10(place)) for place in places(value) if place > 0} for value in (first, second)]
    return len(exponents[0] & exponents[1])


def _difference(first: Fraction, operator: str, second: Fraction) -> list[str]:
    """``216 - 137 = 116 - 37 = 86 - 7 = 79``; a negative difference in one go."""
    sides = [_text(first, "-", second)]
    parts = places(second) if first > second else [second]
    while len(parts) > 1:
        first -= parts.pop(0)
        sides.append(_text(first, "-", sum(parts, Fraction(0))))
    return [" = ".join([*sides, written(first - sum(parts, Fraction(0)))])]


def _product(first: Fraction, operator: str, second: Fraction) -> list[str]:
    """``97 * 6 = 540 + 42 = 582``; with two longer factors one equation for each place of one of them."""
    text = _text(first, "*", second)
    if second.numerator == 1 and second.denominator in (2, 4):
        return [f"{text} = {equation}" for equation in _quotient(first, "/", Fraction(second.denominator))]
    at_once = not first * second or _is_power_of_ten(first) or _is_power_of_ten(second)
    if at_once or not _is_exact(first) or not _is_exact(second):
        return [f"{text} = {written(first * second)}"]
    parts = places(second)
    if len(parts) > 1 and len(places(first)) > 1:
        if len(places(first)) < len(parts):
            first, parts = second, places(first)
        return [f"{text} = " + " + ".join(_text(first, "*", part) for part in parts), *_partial_products(first, parts)]
    products = [place * second for place in places(first)] if len(parts) == 1 else [first * part for part in parts]
    return [" = ".join([text, *_summed(products)])]


def _partial_products(factor: Fraction, parts: list[Fraction]) -> list[str]:
    """Equations for factor * part of each part, then for the running sum of these products."""
    equations = [equation for part in parts for equation in _product(factor, "*", part)]
    total = factor * parts[0]
    for part in parts[1:]:
        equations += _sum(total, "+", factor * part)
        total += factor * part
    return equations


def _is_exact(value: Fraction) -> bool:
    """Whether the written form is the value itself, not rounded."""
    return Fraction(written(value)) == value


def _is_power_of_ten(value: Fraction) -> bool:
    return value > 0 and value == Fraction(10) ** round(math.log10(value))


def _quotient(first: Fraction, operator: str, second: Fraction) -> list[str]:
    """Long division after cancelling zeros: ``672 / 12 = 50 + 72 / 12 = 50 + 6 = 56``."""
    sides = [_text(first, operator, second)]
    quotient = _value(first, operator, second)
    if not _is_exact(second):
        return [f"{sides[0]} = {written(quotient)}"]
    scale = Fraction(1)
    while (second * scale).denominator > 1:
        scale *= 10
    while second * scale % 10 == 0 and (first * scale % 10 == 0 or operator == "//"):
        scale /= 10
    if scale != 1:
        first, second = first * scale, second * scale
        first = Fraction(first // 1) if operator == "//" else first
        if second != 1:
            sides.append(_text(first, operator, second))
    *parts, last = places(quotient)
    done = Fraction(0)
    for part in parts if second != 1 else []:
        done, first = done + part, first - part * second
        sides.append(f"{written(done)} + {_text(first, operator, second)}")
    if done:
        sides.append(_text(done, "+", last))
    return [" = ".join([*sides, written(quotient)])]


def _share(whole: Fraction, share: Fraction, operator: str, divisor: Fraction) -> list[str]:
    """``whole * share / divisor`` in small numbers: 64 * 75 / 100 = 64 / 4 * 3, if that works out exactly."""
    text = f"{_text(whole, '*', share)} {operator} {written(divisor)}"
    numerator, denominator = share, divisor
    if all(value.denominator == 1 for value in (whole, share, divisor)) and whole % divisor:
        numerator, denominator = Fraction((share / divisor).numerator), Fraction((share / divisor).denominator)
    if whole.denominator > 1 or whole % denominator:
        return _product(whole, "*", share) + EQUATIONS[operator](whole * share, operator, divisor)
    if denominator == divisor == 100:
        first, *others = _product(whole / divisor, "*", share)
        return [f"{text} = {first}", *others]
    if numerator == 1:
        return [f"{text} = {_quotient(whole, '/', denominator)[0]}"]
    cancelled = [f"{text} = {_text(whole, '/', denominator)} * {written(numerator)}"]
    return cancelled + _quotient(whole, "/", denominator) + _product(whole / denominator, "*", numerator)


EQUATIONS = {"+": _sum, "-": _difference, "*": _product, "/": _quotient, "//": _quotient}
