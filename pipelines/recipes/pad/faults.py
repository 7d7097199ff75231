"""Faults put into verified programs, for PaD's self-refinement (arXiv 2305.13888, section 2.3).

Each fault is one edit of the program's text, so that broken and correct program differ at the bug and nowhere else
(the released code goes through the syntax tree and back, which drops comments). Whether a broken program really
fails as intended is for the executor to find out: it is called, and only its own last line becomes feedback.

    inject("undefined_name", program, seed) --> broken program, or None where the program offers no place for it
"""

from __future__ import annotations

import ast
import builtins
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """The bytes `start` to `end` of a program are replaced by `text`."""

    start: int
    end: int
    text: str


class ProgramSource:
    """A program with its syntax tree, and the places of its nodes in the text (in bytes, as `ast` counts)."""

    def __init__(self, program: str) -> None:
        self.text = program.encode()
        self.tree = ast.parse(program)
        self._lines = [0, *(match.end() for match in re.finditer(b"\n", self.text))]
        names = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        self.bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        self.uses = [name for name in names if isinstance(name.ctx, ast.Load) and name.id in self.bound]
        self.taken = {name.id for name in names} | {
            argument.arg for argument in ast.walk(self.tree) if isinstance(argument, ast.arg)
        }

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._lines[node.lineno - 1] + node.col_offset, self._lines[node.end_lineno - 1] + node.end_col_offset

    def lines(self, statement: ast.stmt) -> tuple[int, int]:
        """The whole lines of a statement, with their line ends."""
        assert statement.end_lineno is not None
        after = [*self._lines, len(self.text)]
        return after[statement.lineno - 1], after[statement.end_lineno]

    def replaced(self, node: ast.expr, text: str) -> Edit:
        return Edit(*self.span(node), text)

    def old(self, node: ast.expr) -> str:
        start, end = self.span(node)
        return self.text[start:end].decode()

    def apply(self, edit: Edit) -> str:
        return (self.text[: edit.start] + edit.text.encode() + self.text[edit.end :]).decode()


def undefined_name(source: ProgramSource) -> Iterator[Edit]:
    """One use of a variable is misspelt; every other use and the assignment stay."""
    for name in source.uses:
        for other in (name.id[:-1], f"{name.id}s", f"total_{name.id}"):
            if other.isidentifier() and other not in source.taken and not hasattr(builtins, other):
                yield source.replaced(name, other)


def use_before_assignment(source: ProgramSource) -> Iterator[Edit]:
    """An assignment moves behind the next statement of its block, which uses what it assigns."""
    for function in ast.walk(source.tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        stored = Counter(_names(function, ast.Store))
        for first, second in zip(function.body, function.body[1:], strict=False):
            if not isinstance(first, ast.Assign) or not isinstance(second, ast.Assign | ast.AugAssign | ast.Return):
                continue
            assigned = {name for name in _names(first, ast.Store) if stored[name] == 1}
            (start, middle), (_, end) = source.lines(first), source.lines(second)
            texts = [source.text[start:middle].decode().rstrip("\n"), source.text[middle:end].decode().rstrip("\n")]
            if assigned.intersection(_names(second, ast.Load)) and first.lineno != second.lineno:
                yield Edit(start, end, f"{texts[1]}\n{texts[0]}\n")


def _names(statement: ast.stmt, context: type[ast.expr_context]) -> list[str]:
    """The variables of a statement that are stored or loaded, one for each time."""
    nodes = ast.walk(statement)
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, context)]


def syntax(source: ProgramSource) -> Iterator[Edit]:
    """The text is damaged: a bracket, a colon, an operand or an indentation is gone."""
    text = source.text.decode()
    for pattern in (r"\)", r"\]", r":(?=\s*\n)", r"(?<= [-+*/] )\w+", r"(?<=\n)    "):
        for match in re.finditer(pattern, text):
            start, end = (len(text[:place].encode()) for place in match.span())
            edit = Edit(start, end, "")
            if not _parses(source.apply(edit)):
                yield edit


def _parses(program: str) -> bool:
    try:
        ast.parse(program)
    except (SyntaxError, ValueError):
        return False
    return True


def wrong_type(source: ProgramSource) -> Iterator[Edit]:
    """A number in a sum, difference or quotient becomes text; else a variable is used as if it were a list."""
    sums = [
        side
        for node in ast.walk(source.tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Div)
        for side in (node.left, node.right)
    ]
    numbers = [side for side in sums if isinstance(side, ast.Constant) and isinstance(side.value, int | float)]
    names = [side for side in sums if isinstance(side, ast.Name) and side in source.uses]
    yield from (source.replaced(number, f'"{source.old(number)}"') for number in numbers)
    yield from (source.replaced(name, f"str({name.id})") for name in names)
    if not numbers and not names:
        yield from (source.replaced(name, f"{name.id}[0]") for name in source.uses)


def index_out_of_range(source: ProgramSource) -> Iterator[Edit]:
    """An index moves beyond the end; where the program has no list, a value is taken from a list that is too short."""
    slices = [node.slice for node in ast.walk(source.tree) if isinstance(node, ast.Subscript)]
    indices = [(i, i.value) for i in slices if isinstance(i, ast.Constant) and isinstance(i.value, int)]
    yield from (source.replaced(index, str(value + 10)) for index, value in indices)
    if not indices:
        yield from (source.replaced(name, f"[{name.id}][1]") for name in source.uses)


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: all edits that make it, and the executor's reason if it fails as intended."""

    edits: Callable[[ProgramSource], Iterator[Edit]]
    reason: str


FAULTS = {
    "undefined_name": Fault(undefined_name, "exception:NameError"),
    "use_before_assignment": Fault(use_before_assignment, "exception:UnboundLocalError"),
    "syntax": Fault(syntax, "syntax"),
    "wrong_type": Fault(wrong_type, "exception:TypeError"),
    "index_out_of_range": Fault(index_out_of_range, "exception:IndexError"),
}


def inject(fault: str, program: str, seed: int) -> str | None:
    """`program` with one fault of that kind, the place drawn by `seed`; None where it offers no place.

    `program` must be valid Python: SyntaxError otherwise.
    """
    source = ProgramSource(program)
    edits = list(FAULTS[fault].edits(source))
    return source.apply(random.Random(seed).choice(edits)) if edits else None
