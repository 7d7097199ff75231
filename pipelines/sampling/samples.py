"""The samples that a sampling job has stored: each completion together with its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from raydistill.actors.engine.requests import Completion
from raydistill.actors.segments import read_segments
from raydistill.pipelines.data.records import Question, Sample

COMPLETION = (
    "question_id",
    "index",
    "text",
    "prompt_tokens",
    "completion_tokens",
    "finish_reason",
    "seed",
    "context",
    "format",
)


def completion_row(question: Question, completion: Completion, context: str, form: str) -> dict[str, Any]:
    """What is stored of a completion (`schemas.completion_schema`); `context` and `form` are its prompt's."""
    names = ("index", "seed", "text", "reasoning", "finish_reason", "prompt_tokens", "completion_tokens")
    return {
        "sample_id": completion.sample_id,
        "question_id": question.id,
        "context": context,
        "format": form,
        **{name: getattr(completion, name) for name in names},
        "engine": completion.engine,
        "error": completion.error,
    }


def to_sample(completion: Mapping[str, Any], verdict: Mapping[str, Any]) -> Sample:
    """A completion and its verdict as one record."""
    return Sample(
        id=completion["sample_id"],
        **{name: completion[name] for name in COMPLETION},
        output=verdict["output"],
        status=verdict["status"],
        reason=verdict["reason"],
        value=verdict["value"],
        detail=verdict.get("message") or "",
        stdout=verdict.get("stdout") or "",
    )


def read_samples(completions: str, verdicts: str, questions: Sequence[Question] | None = None) -> dict[str, Sample]:
    """The samples in a job's two folders by their ids, or those of `questions`; those without a verdict are not among
    them.
    """
    names = ["sample_id", "question_id", "output", "status", "reason", "value", "message"]
    judged = {row["sample_id"]: row for row in _rows(verdicts, names, questions)}
    return {
        row["sample_id"]: to_sample(row, judged[row["sample_id"]])
        for row in _rows(completions, ["sample_id", *COMPLETION], questions)
        if row["sample_id"] in judged
    }


def _rows(folder: str, columns: list[str], questions: Sequence[Question] | None) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = None if questions is None else pa.array([question.id for question in questions], pa.string())
    for table in read_segments(folder, columns):
        yield from (table if wanted is None else table.filter(pc.is_in(table["question_id"], wanted))).to_pylist()
