"""Gold programs in seven styles: the same calculation, written as differently as people write it.

    boys = 9 * 4      named steps:      boys = 9 * 4; answer = 9 + boys; return answer
    return 9 + boys   commented:        # the boys / boys = 9 * 4 / # the answer / return 9 + boys
                      inline:           return 9 + 9 * 4
                      reordered:        boys = 4 * 9; return boys + 9
                      givens first:     n_girls = 9; multiplier = 4; boys = n_girls * multiplier; ...
                      helper function:  def find_boys(n_girls, multiplier): ...; boys = find_boys(9, 4); ...

Each style rewrites the syntax tree of a program whose numbers have names (``gold.with_named_givens``) and draws
from a `Random` what the style leaves open: which independent steps change places, what is inlined, what becomes a
function. A program with a loop is only commented; in the other styles it stays as it is.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random

from raydistill.demo import gold
from raydistill.demo.gsm import Instance

VERBS = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.FloorDiv: "divide"}
NOUNS = {ast.Add: "subtotal", ast.Sub: "difference", ast.Mult: "product", ast.Div: "quotient", ast.FloorDiv: "quotient"}
SPLIT, KEEP_REPEATED, KEEP_ONE, GIVENS_AS_USED = 0.7, 0.5, 0.25, 0.5  # how often a style takes an option

Step = tuple[str, ast.expr]


@dataclass
class Straight:
    """A straight-line program: named steps, then the returned expression; `givens` are the names of its numbers."""

    steps: list[Step]
    result: ast.expr
    givens: dict[str, ast.expr]
    helpers: list[str] = field(default_factory=list)  # texts of functions that stand before solution()

    def source(self) -> str:
        """The program with the numbers in their places."""
        lines = [f"    {name} = {self._filled(expression)}\n" for name, expression in self.steps]
        return "".join([*self.helpers, "def solution():\n", *lines, f"    return {self._filled(self.result)}\n"])

    def _filled(self, expression: ast.expr) -> str:
        return ast.unparse(_Replace(self.givens).visit(deepcopy(expression)))


def rewrite(question: Instance, style: str, rng: Random) -> str:
    """The gold program of a question in one of ``STYLES``; raises ValueError for another style."""
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; known are {', '.join(STYLES)}")
    if style == "commented":
        return commented(question, rng)
    program = read(question) if style in REWRITES else None
    return REWRITES[style](program, rng).source() if program else gold.program(question)


def read(question: Instance) -> Straight | None:
    """The gold program of a question as steps, or None where it is more than assignments of new names."""
    source, givens = gold.with_named_givens(question)
    *body, last = _statements(source)
    if not all(isinstance(statement, ast.Assign) for statement in body):
        return None
    steps = [(statement.targets[0].id, statement.value) for statement in body]
    return Straight(steps, last.value, {name: ast.parse(text, mode="eval").body for name, text in givens.items()})


def named_steps(program: Straight, rng: Random) -> Straight:
    """Operations inside an expression get a name of their own (most of them), and the answer always does."""
    taken = {name for name, _ in program.steps} | set(program.givens)
    answer = rng.choice(("answer", "result"))
    steps: list[Step] = []

    def split(expression: ast.expr) -> ast.expr:
        if isinstance(expression, ast.BinOp):
            expression.left, expression.right = part(expression.left), part(expression.right)
        return expression

    def part(expression: ast.expr) -> ast.expr:
        if not isinstance(expression, ast.BinOp) or rng.random() > SPLIT:
            return expression
        value = split(expression)
        name = _new_name(NOUNS[type(expression.op)], taken)
        steps.append((name, value))
        return _name(name)

    for name, expression in [*program.steps, (answer, program.result)]:
        steps.append((name, split(expression)))
    return Straight(steps, _name(answer), program.givens)


def commented(question: Instance, rng: Random) -> str:
    """A comment above each statement: what it finds, or also from what, in words of the variables' names."""
    with_formula = rng.random() < 0.5
    with_names, _ = gold.with_named_givens(question)
    lines = []
    for named, statement in zip(_statements(with_names), _statements(gold.program(question)), strict=True):
        if isinstance(named, ast.Assign | ast.Return):
            name = named.targets[0].id if isinstance(named, ast.Assign) else "answer"
            lines.append(f"# {in_words(f'{name} = {ast.unparse(named.value)}' if with_formula else f'the {name}')}")
        lines += ast.unparse(statement).split("\n")
    return "def solution():\n" + "".join(f"    {line}\n" for line in lines)


def inline(program: Straight, rng: Random) -> Straight:
    """Few statements: steps go into the expressions that use them, mostly all into one."""
    used = Counter(name.id for expression in _expressions(program) for name in _names(expression))
    kept = {name for name, _ in program.steps if used[name] > 1 and rng.random() < KEEP_REPEATED}
    if len(program.steps) > 1 and rng.random() < KEEP_ONE:
        kept.add(rng.choice(program.steps)[0])
    inlined: dict[str, ast.expr] = {}
    steps = []
    for name, expression in program.steps:
        value = _Replace(inlined).visit(deepcopy(expression))
        if name in kept:
            steps.append((name, value))
        else:
            inlined[name] = value
    return Straight(steps, _Replace(inlined).visit(deepcopy(program.result)), program.givens)


def reordered(program: Straight, rng: Random, attempts: int = 8) -> Straight:
    """Independent steps, summands and factors change places, if the program has any."""
    before = program.source()
    for _ in range(attempts):
        steps = [(name, _shuffled(expression, rng)) for name, expression in _any_valid_order(program.steps, rng)]
        candidate = Straight(steps, _shuffled(program.result, rng), program.givens)
        if candidate.source() != before:
            return candidate
    return program


def givens_first(program: Straight, rng: Random) -> Straight:
    """The question's numbers are named before anything is calculated, in the order of their use or another."""
    names = list(program.givens)
    if rng.random() > GIVENS_AS_USED:
        rng.shuffle(names)
    return Straight([*((name, program.givens[name]) for name in names), *program.steps], program.result, {})


def helper_function(program: Straight, rng: Random) -> Straight:
    """One calculation becomes a function; calculations of equal shape share it."""
    steps = [*program.steps, ("answer", program.result)]
    chosen, expression = rng.choice([step for step in steps if isinstance(step[1], ast.BinOp)])
    variables = {name for name, _ in program.steps} | set(program.givens)
    alike = [name for name, other in steps if _shape(other, variables) == _shape(expression, variables)]
    arguments = _arguments(expression, variables)
    if len(alike) > 1:
        simple = isinstance(expression.left, ast.Name) and isinstance(expression.right, ast.Name)
        helper = VERBS[type(expression.op)] if simple else "calculate"
        parameters = list("abcdefgh"[: len(arguments)])
    else:
        helper, parameters = f"find_{chosen}", arguments
    body = _Replace(dict(zip(arguments, map(_name, parameters), strict=True))).visit(deepcopy(expression))
    text = f"def {helper}({', '.join(parameters)}):\n    return {ast.unparse(body)}\n\n"

    def call(name: str, value: ast.expr) -> ast.expr:
        if name not in alike:
            return value
        return ast.Call(_name(helper), [_name(argument) for argument in _arguments(value, variables)], [])

    *called, (_, result) = [(name, call(name, value)) for name, value in steps]
    return Straight(called, result, program.givens, [text])


REWRITES: dict[str, Callable[[Straight, Random], Straight]] = {
    "named steps": named_steps,
    "inline": inline,
    "reordered": reordered,
    "givens first": givens_first,
    "helper function": helper_function,
}
STYLES = ("straight-line", "commented", *REWRITES)
"""All styles, by the names that the contexts of ``pipelines.prompts`` give them."""


def in_words(text: str) -> str:
    """Names as words, ``peel_time`` as ``peel time``; ``price_2`` stays, so that its 2 is no number."""
    return re.sub(r"_(?!\d)", " ", text)


def _statements(source: str) -> list[ast.stmt]:
    """What stands in solution()."""
    return ast.parse(source).body[0].body


class _Replace(ast.NodeTransformer):
    """Puts expressions in the place of names."""

    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return deepcopy(self.values.get(node.id, node))


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _new_name(name: str, taken: set[str]) -> str:
    """`name`, or with the first number that makes it new; taken from then on."""
    number = 1
    while (new := f"{name}_{number}" if number > 1 else name) in taken:
        number += 1
    taken.add(new)
    return new


def _names(expression: ast.expr) -> list[ast.Name]:
    """The names in an expression from left to right."""
    names = [node for node in ast.walk(expression) if isinstance(node, ast.Name)]
    return sorted(names, key=lambda node: node.col_offset)


def _expressions(program: Straight) -> list[ast.expr]:
    return [*(expression for _, expression in program.steps), program.result]


def _arguments(expression: ast.expr, variables: set[str]) -> list[str]:
    """The variables of an expression, each once, from left to right."""
    return list(dict.fromkeys(node.id for node in _names(expression) if node.id in variables))


def _shape(expression: ast.expr, variables: set[str]) -> str:
    """What two expressions share that differ in their variables only."""
    arguments = _arguments(expression, variables)
    slots = {name: _name(f"${i}") for i, name in enumerate(arguments)}
    return ast.dump(_Replace(slots).visit(deepcopy(expression)))


def _any_valid_order(steps: list[Step], rng: Random) -> list[Step]:
    """The steps in a random order in which each comes after those that it uses."""
    waiting, order = list(steps), []
    while waiting:
        missing = {name for name, _ in waiting}
        ready = [step for step in waiting if not missing & {node.id for node in _names(step[1])}]
        order.append(rng.choice(ready))
        waiting.remove(order[-1])
    return order


def _shuffled(expression: ast.expr, rng: Random) -> ast.expr:
    """An equal expression: the summands of a sum, the factors and then the divisors of a product change places."""
    for signs in ((ast.Add, ast.Sub), (ast.Mult, ast.Div)):
        if isinstance(expression, ast.BinOp) and isinstance(expression.op, signs):
            chain = [(sign, _shuffled(operand, rng)) for sign, operand in _chain(expression, signs)]
            return _joined(_new_order(chain, signs, rng))
    if isinstance(expression, ast.BinOp):
        return ast.BinOp(_shuffled(expression.left, rng), expression.op, _shuffled(expression.right, rng))
    return expression


def _chain(expression: ast.expr, signs: tuple[type, type]) -> list[tuple[type, ast.expr]]:
    """``a - b + c`` as [(Add, a), (Sub, b), (Add, c)]."""
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, signs):
        return [*_chain(expression.left, signs), (type(expression.op), expression.right)]
    return [(signs[0], expression)]


def _new_order(
    chain: list[tuple[type, ast.expr]], signs: tuple[type, type], rng: Random
) -> list[tuple[type, ast.expr]]:
    """A summand first, then the rest of a sum anyhow; of a product the factors first, so that it stays exact."""
    plain = rng.sample(kept := [link for link in chain if link[0] is signs[0]], len(kept))
    inverse = rng.sample(kept := [link for link in chain if link[0] is signs[1]], len(kept))
    rest = [*plain[1:], *inverse]
    if signs[0] is ast.Add:
        rng.shuffle(rest)
    return [plain[0], *rest]


def _joined(chain: list[tuple[type, ast.expr]]) -> ast.expr:
    (_, expression), *rest = chain
    for sign, operand in rest:
        expression = ast.BinOp(expression, sign(), operand)
    return expression
