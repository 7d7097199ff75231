"""Multistep arithmetic: ``((-1 + 2 + 9 * 5) - (-2 + -4 + -4 * -7)) =``, one operation per step.

Expressions are parsed by `ast` and evaluated on the tree; nothing that a model wrote is ever run.
"""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass
from random import Random

from raydistill.pipelines.tasks.stepwise.base import Fault, StepwiseTask, UnreadableQuestion

OPERATORS = {ast.Add: ("+", operator.add), ast.Sub: ("-", operator.sub), ast.Mult: ("*", operator.mul)}
SYMBOLS = {symbol: apply for symbol, apply in OPERATORS.values()}
MAX_CHARACTERS = 300  # of an expression that is worth reading; keeps numbers and nesting small, too
READABLE = re.compile(r"[0-9\s+*()-]+")
STEP = re.compile(r"(?P<calculation>[^=,]+?) = (?P<result>-?\d+), so (?P<rest>[^=,]+?)\.?")
NUMBER = re.compile(r"(?<![\d)])(?<!\d )-?\d+|\d+")


@dataclass(frozen=True, slots=True)
class Level:
    """How hard an expression is: brackets of `length` numbers, paired `depth` times."""

    length: int
    depth: int
    largest: int | None = None  # bound of all intermediate results


LEVELS = {1: Level(2, 1, 50), 2: Level(3, 1, 50), 3: Level(4, 1), 4: Level(3, 2)}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation on two numbers inside an expression: where it stands and what it gives."""

    start: int
    end: int
    text: str
    value: int


class MultistepArithmetic(StepwiseTask[str]):
    """The state is the expression that is left, e.g. ``((-1 + 2 + 45) - (-2 + -4 + -4 * -7))``."""

    name = "multistep_arithmetic"
    answer_kind = "numeric"
    kinds = ("result", "sign", "operator", "copy", "answer")

    def ask(self, level: int, rng: Random) -> str:
        """Brackets of numbers from -9 to 9, in pairs."""
        shape = LEVELS[level]
        while True:
            expression = nested(shape.depth, shape.length, rng)
            if shape.largest is None or max(map(abs, intermediate_results(expression))) <= shape.largest:
                return f"{expression} ="

    def start(self, question: str) -> str:
        expression = question.strip().removesuffix("=").strip()
        if value(expression) is None:
            raise UnreadableQuestion(
                f"multistep_arithmetic: expected an expression of + - * like (1 + 2) * 3 =, got {question[:80]!r}"
            )
        return tidy(expression)

    def propose(self, state: str) -> str | None:
        found = operations(state)
        return written(state, found[0], found[0].value) if found else None

    def judge(self, state: str, text: str) -> Fault | None:
        step = STEP.fullmatch(text)
        calculated = value(step["calculation"]) if step else None
        left = value(step["rest"]) if step else None
        if not step or calculated is None or left is None:
            return Fault(text, "The step should read: a + b = c, so what is left")
        calculation, rest = step["calculation"], step["rest"]
        if calculated != int(step["result"]):
            return Fault(f"{calculation} = {step['result']}", f"{calculation} = {calculated}")
        if left != value(state):
            possible = operations(state)
            meant = [operation for operation in possible if operation.text == calculation]
            if possible and not meant:
                return Fault(calculation, f"{possible[0].text} comes first")
            return Fault(rest, f"It should be {reduced(state, meant[0], calculated)}" if meant else f"It is {state}")
        if not count_operations(rest) < count_operations(state):
            return Fault(rest, "Nothing was worked out")
        return None

    def follow(self, state: str, text: str) -> str | None:
        step = STEP.fullmatch(text)
        return tidy(step["rest"]) if step and value(step["rest"]) is not None else None

    def conclude(self, state: str) -> str:
        return str(value(state))

    def wrong_answer(self, state: str, answer: str, rng: Random) -> str:
        return str(int(answer) + rng.choice((-10, -2, -1, 1, 2, 10)))

    def spoil(self, kind: str, state: str, text: str, rng: Random) -> str | None:
        operation = operations(state)[0]
        if kind == "copy":
            return miscopied(state, text, rng)
        if kind == "result":
            wrong = operation.value + rng.choice((-10, -2, -1, 1, 2, 10))
        elif kind == "sign":
            wrong = -operation.value
        else:
            wrong = with_another_operator(operation, rng)
        return None if wrong == operation.value else written(state, operation, wrong)


def value(expression: str) -> int | None:
    """The value of an expression of integers, ``+ - *`` and brackets; None if it is anything else."""
    tree = parse(expression)
    return None if tree is None else tree_value(tree)


def parse(expression: str) -> ast.expr | None:
    """The syntax tree of an expression with nothing but integers, ``+ - *`` and brackets; None otherwise."""
    if len(expression) > MAX_CHARACTERS or not READABLE.fullmatch(expression):
        return None
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return tree if all(map(is_arithmetic, ast.walk(tree))) else None


def is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    return isinstance(node, ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop) and not isinstance(
        node, ast.Pow | ast.Not | ast.Invert
    )


def tree_value(node: ast.expr) -> int:
    """Evaluate a tree that `parse` has let through."""
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)][1](tree_value(node.left), tree_value(node.right))
    if isinstance(node, ast.UnaryOp):
        inner = tree_value(node.operand)
        return -inner if isinstance(node.op, ast.USub) else inner
    assert isinstance(node, ast.Constant) and isinstance(node.value, int)
    return node.value


def operations(expression: str) -> list[Operation]:
    """The operations on two numbers that can be carried out next, from left to right."""
    tree = parse(expression)
    if tree is None:
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and is_number(node.left) and is_number(node.right):
            start, end = node.col_offset, node.end_col_offset or 0
            found.append(Operation(start, end, expression[start:end], tree_value(node)))
    return sorted(found, key=lambda operation: operation.start)


def is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.UnaryOp) and is_number(node.operand))


def count_operations(expression: str) -> int:
    tree = parse(expression)
    return sum(isinstance(node, ast.BinOp) for node in ast.walk(tree)) if tree else 0


def reduced(expression: str, operation: Operation, result: int) -> str:
    """The expression with `result` in the place of the operation."""
    return tidy(f"{expression[: operation.start]}{result}{expression[operation.end :]}")


def tidy(expression: str) -> str:
    """``((3) -  (4 + 5))`` as ``(3 - (4 + 5))``: no brackets around single numbers, one space for any white space."""
    before, expression = None, " ".join(expression.split())
    while before != expression:
        before, expression = expression, re.sub(r"\(\s*(-?\d+)\s*\)", r"\1", expression)
    return expression


def written(expression: str, operation: Operation, result: int) -> str:
    """The step that carries out this operation."""
    return f"{operation.text} = {result}, so {reduced(expression, operation, result)}"


def intermediate_results(expression: str) -> list[int]:
    """The results of all steps of the gold rationale."""
    results = []
    while found := operations(expression):
        results.append(found[0].value)
        expression = reduced(expression, found[0], found[0].value)
    return results


def nested(depth: int, length: int, rng: Random) -> str:
    """`depth` levels of pairs; at the bottom brackets of `length` numbers."""
    if depth:
        left, right = nested(depth - 1, length, rng), nested(depth - 1, length, rng)
        return f"({left} {rng.choice('+-*')} {right})"
    numbers = [str(rng.randint(-9, 9)) for _ in range(length)]
    return "(" + numbers[0] + "".join(f" {rng.choice('+-*')} {number}" for number in numbers[1:]) + ")"


def with_another_operator(operation: Operation, rng: Random) -> int:
    """What the operation would give with another operator."""
    tree = parse(operation.text)
    assert isinstance(tree, ast.BinOp)
    symbol = rng.choice([other for other in SYMBOLS if other != OPERATORS[type(tree.op)][0]])
    return SYMBOLS[symbol](tree_value(tree.left), tree_value(tree.right))


def miscopied(state: str, text: str, rng: Random) -> str | None:
    """The step with one number of what is left changed, so that its value is another one."""
    head, _, rest = text.rpartition(", so ")
    numbers = list(NUMBER.finditer(rest))
    for number in rng.sample(numbers, len(numbers)):
        changed = int(number[0]) + rng.choice((-2, -1, 1, 2))
        spoilt = f"{rest[: number.start()]}{changed}{rest[number.end() :]}"
        if value(spoilt) not in (None, value(state)):
            return f"{head}, so {spoilt}"
    return None
