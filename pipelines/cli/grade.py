"""Grading answers in a file: one verdict record per input line, in order (``raydistill grade``).

{"question": ..., "gold": "18", "model": {"solution": "... A: 18"}}
--grade_file(..., answer_field="model.solution", gold_field="gold")-->
{"line": 1, "id": null, "status": "passed", "reason": "ok", "parsed": "18", "gold": "18"}
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import Row, read_file
from raydistill.pipelines.cli.outputs import check_out
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import KINDS, Kind, infer_kind
from raydistill.pipelines.tasks.base import Grade, Task, as_text, check_gold, grade_answer
from raydistill.pipelines.tasks.families import bbh, extractive_qa, nli, reasoning_gym
from raydistill.pipelines.tasks.families.gsm8k import gold_label

Judge = Callable[[Row, Any, str], Grade]  # of a row, the value of its answer field, and its gold answer

FAMILIES: dict[str, Task] = {
    "bbh": bbh.BigBenchTask("bbh"),
    "extractive_qa": extractive_qa.ExtractiveTask("extractive_qa"),
    "nli": nli.InferenceTask("nli"),
}
"""Tasks that judge by rules of their own; what a gold field holds is read as the task reads its own data."""


def grade_file(
    path_in: str | Path, task: str, answer_field: str, gold_field: str, path_out: str | Path
) -> dict[str, int]:
    """Grade the `answer_field` of each line of `path_in`, write verdicts to `path_out` and return counts.

    `task` is numeric, text, choice, gsm8k (gold answers in worked solutions), bbh, extractive_qa (one or several gold
    answers), nli or ``reasoning_gym:<name>``; fields are names with dots. Raises UsageError for bad input, before
    anything is written.
    """
    check_out(Path(path_out))
    rows = list(read_file(str(path_in)))
    if not rows:
        raise UsageError(f"{path_in}: no lines in it")
    golds = [_gold(row, gold_field, task) for row in rows]
    judge = _judge(task, golds, gold_field)
    records = []
    for row, gold in zip(rows, golds, strict=True):
        grade = judge(row, row.as_it_is(answer_field), gold)
        verdict = {"status": grade.status, "reason": grade.reason, "parsed": grade.parsed, "gold": gold}
        records.append({"line": row.number, "id": row.data.get("id"), **verdict})
    _write_lines(Path(path_out), records)
    counts = Counter(record[key] for record in records for key in ("status", "reason"))
    return {"rows": len(rows)} | {name: counts[name] for name in ("passed", "failed", "no_answer")}


def _gold(row: Row, gold_field: str, task: str) -> str:
    if task in FAMILIES:
        return _question(task, row, gold_field).answer
    text = as_text(row.field(gold_field))
    gold = gold_label(text) or text if task == "gsm8k" else text
    check_gold(gold, _kind(task) or "text", row.where)
    return gold


def _question(task: str, row: Row, gold_field: str) -> Question:
    """A question of one of `FAMILIES` with nothing but its right answers."""
    value = row.field(gold_field)
    if task == "nli":
        return Question("", "", nli.gold_label(value, row.where))
    answers = extractive_qa.right_answers(value) if task == "extractive_qa" else [as_text(value)]
    if not any(answers) and task == "extractive_qa" and isinstance(value, list | dict):
        answers = [extractive_qa.UNANSWERABLE]  # SQuAD 2: the text has none
    check_gold(answers[0] if answers else "", "text", row.where)
    return Question("", "", answers[0]).noting(answers=answers)


def _kind(task: str) -> Kind | None:
    """The kind of answer that `task` fixes; None for a task that does not."""
    return "numeric" if task == "gsm8k" else next((kind for kind in KINDS if kind == task), None)


def _judge(task: str, golds: list[str], gold_field: str) -> Judge:
    if family := FAMILIES.get(task):
        return lambda row, value, gold: family.grade(value, _question(task, row, gold_field))
    kind = _kind(task)
    if task.startswith(reasoning_gym.PREFIX):
        grader = reasoning_gym.grader_of(task)
        if grader == "reasoning_gym":
            return _scorer(reasoning_gym.ScoredTask(task, reasoning_gym.open_dataset(task)))
        kind = infer_kind(golds) if grader == "auto" else grader
    if kind is None:
        known = ", ".join(["gsm8k", *KINDS, *FAMILIES, f"{reasoning_gym.PREFIX}<name>"])
        raise UsageError(f"unknown task {task!r}; expected one of {known}")
    return _comparison(kind)


def _comparison(kind: Kind) -> Judge:
    return lambda row, value, gold: grade_answer(value, gold, kind)


def _scorer(task: reasoning_gym.ScoredTask) -> Judge:
    def judge(row: Row, value: Any, gold: str) -> Grade:
        entry = {**row.data, "answer": gold, "metadata": row.field("metadata")}
        return task.grade_entry(value, entry)

    return judge


def _write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    """Write JSON lines under a temporary name and rename, so that no half-written file is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(record) + "\n" for record in records)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
