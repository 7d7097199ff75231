"""Questions that two kinds of a real teacher's answers are there for, and the tests that they are kept apart from.

    reft_svamp: programs, rationales --same question, both right, no overlap with a test--> pool --seed--> dev, training
                                                                                        svamp, multiarith --> tests

All lies below RAYDISTILL_DATA. SVAMP varies questions of ASDiv, which are in the pool: a question that shares 13 words
in a row with one of the tests (all of them, where it is shorter) is left out, near variations are not.
"""

from __future__ import annotations

import ast
import json
import os
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.prompts import fence
from raydistill.pipelines.tasks.base import as_text, grade_answer

POOL = "teachers/reft_svamp"
TESTS = {"svamp": ("svamp/test_part.jsonl", "svamp/train.jsonl"), "multiarith": ("multiarith/all.jsonl",)}
DEV = 200  # questions of the pool that rates and epochs are chosen on
OVERLAP_WORDS = 13


@dataclass(frozen=True)
class Worked:
    """A question of the pool, and both answers of its teacher, which are right."""

    question: str
    answer: str
    program: str
    documented: str  # the program with its docstring, which repeats the question
    rationale: str


def data_folder() -> Path:
    """Where public data lies. Raises UsageError where RAYDISTILL_DATA does not say."""
    if folder := os.environ.get("RAYDISTILL_DATA"):
        return Path(folder)
    raise UsageError("RAYDISTILL_DATA is not set: expected the folder with teachers/reft_svamp, svamp and multiarith")


def rows(*names: str) -> list[dict[str, Any]]:
    """The lines of these files. Raises UsageError for one that is not there."""
    lines: list[dict[str, Any]] = []
    for path in (data_folder() / name for name in names):
        if not path.is_file():
            raise UsageError(f"{path}: no such file; RAYDISTILL_DATA is {data_folder()}")
        lines += map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return lines


@cache
def pool() -> tuple[Worked, ...]:
    """All questions of the pool, in the order of the file: the first right program and rationale of each."""
    tests = {gram for name in TESTS for row in rows(*TESTS[name]) for gram in _grams(row["question"])}
    rationales: dict[str, str] = {}
    for row in rows(f"{POOL}/rationales.jsonl"):
        if _is_right(row["rationale"], row["answer"]):
            rationales.setdefault(row["question"].strip(), row["rationale"])
    found: dict[str, Worked] = {}
    for row in rows(f"{POOL}/programs.jsonl"):
        question = row["question"].strip()
        if row["verdict"] != "right" or row["in_multiarith"] or question not in rationales or question in found:
            continue
        if not tests.intersection(_grams(question)):
            program = row["program"]
            found[question] = Worked(question, row["answer"], undocumented(program), program, rationales[question])
    return tuple(found.values())


def training(seed: int, count: int) -> list[Worked]:
    """`count` questions drawn with `seed`, none of them for development. Raises UsageError where there are fewer."""
    rest = _shuffled(0)[DEV:]
    random.Random(f"training {seed}").shuffle(rest)
    if count > len(rest):
        raise UsageError(f"{count} training questions wanted; the pool has {len(rest)}")
    return rest[:count]


def dev() -> list[Worked]:
    """The questions of the pool that no student trains on."""
    return _shuffled(0)[:DEV]


def _shuffled(seed: int) -> list[Worked]:
    shuffled = list(pool())
    random.Random(f"dev {seed}").shuffle(shuffled)
    return shuffled


def rows_of_test(name: str, count: int | None = None) -> list[dict[str, Any]]:
    """Question and answer of each distinct question of a test, or of ``dev``; of the first `count`."""
    if name == "dev":
        answers = {one.question: one.answer for one in dev()}
    else:
        answers = {row["question"]: row["answer"] for row in rows(*TESTS[name])}
    return [{"question": question, "answer": answer} for question, answer in answers.items()][:count]


def write_rows(folder: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """The lines as a file that is named by what they hold."""
    path = folder / f"{content_hash(lines)}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(str(path), "".join(json.dumps(line) + "\n" for line in lines).encode())
    return path


def completions(worked: Iterable[Worked], kind: str) -> list[dict[str, str]]:
    """What the teacher wrote for each question: `kind` is a field of Worked. Programs are fenced."""
    return [
        {
            "question": one.question,
            "answer": one.answer,
            "completion": one.rationale if kind == "rationale" else fence(getattr(one, kind)),
        }
        for one in worked
    ]


def clusters(questions: Iterable[str]) -> list[int]:
    """Numbers that are equal for questions that differ in their numbers only."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(re.sub(r"\d[\d.,]*", "#", text).strip().lower(), len(numbers)) for text in questions]


def undocumented(program: str) -> str:
    """The program without the docstrings of its functions; what cannot be parsed stays as it is."""
    try:
        tree = ast.parse(program)
    except SyntaxError:
        return program
    lines: list[str | None] = list(program.splitlines())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None and len(node.body) > 1:
            text = node.body[0]
            lines[text.lineno - 1 : text.end_lineno] = [None] * ((text.end_lineno or 0) - text.lineno + 1)
    return "\n".join(line for line in lines if line is not None)


def _grams(question: str) -> Iterator[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9]+", question.lower())
    for start in range(max(1, len(words) - OVERLAP_WORDS + 1)):
        yield tuple(words[start : start + OVERLAP_WORDS])


def _is_right(rationale: str, answer: str) -> bool:
    return grade_answer(rationale, as_text(answer), "numeric").status == "passed"
