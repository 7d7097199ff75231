"""The answers behind a score, one row per held-out question, and which evaluation of a run they belong to.

evaluation/<key>.parquet      what was answered greedily, and whether it is right
evaluation/names.json         {"student": "<key>", "student, repairs": "<key>", ...}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from raydistill.actors.segments import read_segment
from raydistill.actors.storage import read_bytes, resolve, write_json, write_table
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.inference.answering import Answered
from raydistill.pipelines.tasks.judging import elect

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = "evaluation/names.json"


def answers_schema() -> pa.Schema:
    """`status` is that of the answer that counts; of several, one for each way of asking, the elected one."""
    import pyarrow as pa

    names = ("question_id", "question", "gold", "status", "reason", "value", "output", "text")
    return pa.schema([(name, pa.string()) for name in names])


def elected(answers: Sequence[Answered]) -> Answered:
    """The answer that counts among those of one question, at least one; an unknown one where none is known."""
    known = [answer for answer in answers if answer.status != "unknown"]
    return known[elect([answer.value for answer in known]) or 0] if known else answers[0]


def store_answers(root: str, key: str, answers: Iterable[tuple[Question, Sequence[Answered]]]) -> None:
    """Write the answers of an evaluation to its file in the run `root`."""
    import pyarrow as pa

    rows = [_row(question, elected(several)) for question, several in answers]
    write_table(f"{root}/evaluation/{key}.parquet", pa.Table.from_pylist(rows, schema=answers_schema()))


def _row(question: Question, answer: Answered) -> dict[str, str]:
    last = answer.trail[-1] if answer.trail else None
    return {
        "question_id": question.id,
        "question": question.text,
        "gold": question.answer,
        "status": answer.status,
        "reason": answer.reason,
        "value": answer.value,
        "output": last.output if last else "",
        "text": last.text if last else "",
    }


def name_evaluation(root: str, name: str, key: str) -> None:
    """Note that the run's evaluation `name` is the one stored under `key`."""
    known = evaluation_names(root)
    if known.get(name) != key:
        write_json(f"{root}/{NAMES}", known | {name: key})


def evaluation_names(root: str) -> dict[str, str]:
    """The keys of a run's evaluations by their names."""
    return json.loads(read_bytes(f"{root}/{NAMES}") or b"{}")


def read_answers(root: str, key: str) -> list[dict[str, Any]] | None:
    """The answers of an evaluation, in the order of its questions; None where an earlier version stored none."""
    try:
        return read_segment(*resolve(f"{root}/evaluation/{key}.parquet")).to_pylist()
    except FileNotFoundError:
        return None
