"""Questions whose answers are there as a program and as a rationale, and the tests that they are kept apart from.

    reft_svamp: what GPT-3.5 wrote --\
    gsm8k: worked solutions -----------both right, no overlap with a test--> pool --seed--> dev, training

All lies below RAYDISTILL_DATA. SVAMP varies questions of ASDiv, which are in its pool: a question that shares 13 words
in a row with one of the tests (all of them, where it is shorter) is left out, near variations are not.
"""

from __future__ import annotations

import ast
import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.replications.real.worked import program_of, text_of
from raydistill.actors.errors import UsageError
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.prompts import fence
from raydistill.pipelines.tasks.base import as_text, grade_answer
from raydistill.pipelines.tasks.families.gsm8k import gold_label

TESTS = {
    "svamp": ("svamp/test_part.jsonl", "svamp/train.jsonl"),
    "multiarith": ("multiarith/all.jsonl",),
    "gsm8k": ("gsm8k/test_part.jsonl",),
}
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


def by_gpt35() -> Iterator[Worked]:
    """What GPT-3.5 wrote for questions of MAWPS and ASDiv: the first right program and rationale of each."""
    folder = "teachers/reft_svamp"
    rationales: dict[str, str] = {}
    for row in rows(f"{folder}/rationales.jsonl"):
        if _is_right(row["rationale"], row["answer"]):
            rationales.setdefault(row["question"].strip(), row["rationale"])
    for row in rows(f"{folder}/programs.jsonl"):
        question, program = row["question"].strip(), row["program"]
        if row["verdict"] == "right" and not row["in_multiarith"] and question in rationales:
            yield Worked(question, row["answer"], undocumented(program), program, rationales[question])


def by_worked_solutions() -> Iterator[Worked]:
    """GSM8K's own solutions, where their marked steps lead to the answer."""
    for row in rows("gsm8k/train.jsonl"):
        answer = gold_label(row["answer"]) or ""
        if program := program_of(row["answer"], float(answer.replace(",", ""))):
            yield Worked(row["question"], answer, program, program, text_of(row["answer"], answer))


POOLS: dict[str, Callable[[], Iterable[Worked]]] = {"svamp": by_gpt35, "gsm8k": by_worked_solutions}
TESTS_OF = {"svamp": ("svamp", "multiarith"), "gsm8k": ("gsm8k",)}


@cache
def pool(name: str = "svamp") -> tuple[Worked, ...]:
    """All questions of a pool, in the order of its file, each once."""
    tests = {gram for test in TESTS_OF[name] for row in rows(*TESTS[test]) for gram in _grams(row["question"])}
    found: dict[str, Worked] = {}
    for one in POOLS[name]():
        if not tests.intersection(_grams(one.question)):
            found.setdefault(one.question, one)
    return tuple(found.values())


def training(seed: int, count: int, name: str = "svamp") -> list[Worked]:
    """`count` questions drawn with `seed`, none of them for development. Raises UsageError where there are fewer."""
    rest = _shuffled(name)[DEV:]
    random.Random(f"training {seed}").shuffle(rest)
    if count > len(rest):
        raise UsageError(f"{count} training questions wanted; the pool has {len(rest)}")
    return rest[:count]


def _shuffled(name: str) -> list[Worked]:
    shuffled = list(pool(name))
    random.Random("dev 0").shuffle(shuffled)
    return shuffled


def rows_of_test(test: str, count: int | None = None, name: str = "svamp") -> list[dict[str, Any]]:
    """Question and answer of each distinct question of a test, or of ``dev`` of a pool; of the first `count`."""
    if test == "dev":
        answers = {one.question: one.answer for one in _shuffled(name)[:DEV]}
    elif test == "gsm8k":
        answers = {row["question"]: gold_label(row["answer"]) or "" for row in rows(*TESTS[test])}
    else:
        answers = {row["question"]: row["answer"] for row in rows(*TESTS[test])}
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
