"""What a program needs that it does not define, found in the other code of the same reply."""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Iterator, Sequence

MAX_SOURCE = 50_000  # characters; longer code is left as it is
DEFINES = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
KNOWN = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


def with_definitions(source: str, others: Sequence[str]) -> str:
    """`source` behind those imports, functions, classes and constants of `others` that it needs.

    Of several definitions of a name the last one counts. Code that does not parse neither gives nor takes.
    """
    tree = _parse(source)
    missing = _unbound(tree) if tree else set()
    if not missing:
        return source
    offered = [(text, statement) for text in others for statement in _definitions(text)]
    taken: set[int] = set()
    while missing:
        name = missing.pop()
        for place in reversed(range(len(offered))):
            if name in _bound(offered[place][1]):
                if place not in taken:
                    taken.add(place)
                    missing |= _unbound(offered[place][1])
                break
    lines = [_lines(*offered[place]) for place in sorted(taken)]
    return "\n".join([*lines, source])


def parses(source: str) -> bool:
    """Whether `source` is Python."""
    return _parse(source) is not None


def can_stand(source: str) -> bool:
    """Whether no assignment in front of the program's first import or function uses a name that is not there yet."""
    tree, known = _parse(source), set(KNOWN)
    for statement in tree.body if tree else ():
        if not isinstance(statement, ast.Assign | ast.AnnAssign):
            return True
        if _used(statement) - known:
            return False
        known |= _bound(statement)
    return True


def _parse(source: str) -> ast.Module | None:
    if len(source) > MAX_SOURCE:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes in what a model wrote
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _definitions(source: str) -> Iterator[ast.stmt]:
    tree = _parse(source)
    yield from (statement for statement in (tree.body if tree else ()) if isinstance(statement, DEFINES))


def _lines(source: str, statement: ast.stmt) -> str:
    first = min([statement.lineno, *(node.lineno for node in getattr(statement, "decorator_list", ()))])
    return "\n".join(source.split("\n")[first - 1 : statement.end_lineno])


def _used(tree: ast.AST) -> set[str]:
    """Names that are read anywhere in `tree`."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _bound(tree: ast.AST, *, everywhere: bool = False) -> set[str]:
    """Names that a statement defines; with `everywhere` also those within functions, parameters included."""
    found: set[str] = set()
    for node in ast.walk(tree) if everywhere or isinstance(tree, ast.Assign | ast.AnnAssign) else [tree]:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.add(node.name)
    return found


def _unbound(tree: ast.AST) -> set[str]:
    """Names that are read in `tree` and defined nowhere in it."""
    return set() if _imports_all(tree) else _used(tree) - _bound(tree, everywhere=True) - KNOWN


def _imports_all(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree))
