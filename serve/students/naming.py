"""The students that a start names: each a path, or NAME=PATH, under a name that no other one has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from raydistill.actors.errors import UsageError
from raydistill.serve.student import Student, find_student

FIRST = "student"  # what the first student may be called, too
NAME = re.compile(r"[\w.@-]{1,64}", re.ASCII)


def find_students(given: Sequence[str]) -> tuple[Student, ...]:
    """The students of these paths. Raises UsageError where one is none, or two have the same name."""
    found: list[Student] = []
    for text in given:
        name, path = split_name(text)
        student = find_named(path, name) if name or len(given) > 1 else find_student(path)
        check_free(student, found)
        found.append(student)
    return tuple(found)


def split_name(text: str) -> tuple[str, str]:
    """``("small", "runs/a")`` of ``small=runs/a``; a path that exists is one, whatever is in it."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and not Path(text).expanduser().exists() else ("", text)


def find_named(path: str, name: str = "") -> Student:
    """The student there, by this name; without one it is called as its run is. Raises UsageError."""
    if name and not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r:.100}: no name for a student; expected up to 64 letters, digits and . _ @ - (NAME=PATH)"
        )
    student = find_student(path)
    if not name and student.name == FIRST:
        name = Path(student.folder).parent.name.replace(":", "-")
    return replace(student, name=name or student.name)


def check_free(student: Student, others: Iterable[Student]) -> None:
    """Raise UsageError where another one is called as `student` is."""
    others = list(others)
    for other in others:
        if other.name == student.name:
            raise UsageError(
                f"{other.folder} and {student.folder} would both be called {student.name}: name one as NAME=PATH"
            )
    if others and student.name == FIRST:
        raise UsageError(f"{student.folder}: {FIRST} always means the first student: name this one as NAME=PATH")
