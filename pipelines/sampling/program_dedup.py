"""When two programs count as the same: equal syntax trees but for names, comments, docstrings and formatting.

The student learns nothing from the same program twice, and a teacher sampled often repeats itself with other
variable names. Order of statements, constants, calls and structure all count as differences.
"""

from __future__ import annotations

import ast
import warnings

from raydistill.pipelines.data.records import content_hash

MAX_SOURCE = 100_000  # characters; a program beyond this is none that a student should learn


def canonical_program(source: str) -> str | None:
    """A hash that programs share if they differ only in variable names, comments, docstrings and formatting.

    None where `source` does not parse, is longer than MAX_SOURCE or nested too deeply for the interpreter.
    Renaming is one-to-one over the whole program, so unequal programs never come out equal; two programs that
    reuse one name in different scopes in different ways may come out unequal although they mean the same.
    """
    if len(source) > MAX_SOURCE:
        return None
    try:
        with warnings.catch_warnings():  # the program's own syntax warnings are nothing to report here
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        names = _Names()
        names.visit(tree)
        return content_hash(ast.dump(_Canonical(names).visit(tree)), length=32)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # ValueError: null bytes, lone surrogates
        return None


class _Names(ast.NodeVisitor):
    """Names that a program binds as variables, and names that also occur as plain text in its tree."""

    def __init__(self) -> None:
        self.bound: set[str] = set()
        self.fixed: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound.add(node.id)

    def visit_arg(self, node: ast.arg) -> None:
        self.bound.add(node.arg)
        if node.annotation:
            self.visit(node.annotation)

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, ast.Constant | ast.Attribute):
            for _, value in ast.iter_fields(node):
                self.fixed.update(item for item in _as_list(value) if isinstance(item, str))
        super().generic_visit(node)


class _Canonical(ast.NodeTransformer):
    """Drops docstrings; renames variables in the order of occurrence to $0, $1, ..., which no program has."""

    def __init__(self, names: _Names) -> None:
        self.variables = names.bound - names.fixed
        self.renamed: dict[str, str] = {}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._rename(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self._rename(node.arg)
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)] or [ast.Pass()]
        return super().generic_visit(node)

    def _rename(self, name: str) -> str:
        if name not in self.variables:
            return name
        return self.renamed.setdefault(name, f"${len(self.renamed)}")


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _is_text(statement: ast.stmt) -> bool:
    """Whether `statement` is a docstring or another string that stands alone, a comment in effect."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
