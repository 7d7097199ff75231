"""The samples that a sampling job has stored: each completion together with its verdict."""

from __future__ import annotations

from collections.abc import Mapping
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


def read_samples(completions: str, verdicts: str) -> dict[str, Sample]:
    """The samples in a job's two folders by their ids; those without a verdict are not among them."""
    names = ["sample_id", "output", "status", "reason", "value", "message"]
    judged = {row["sample_id"]: row for table in read_segments(verdicts, names) for row in table.to_pylist()}
    return {
        row["sample_id"]: to_sample(row, judged[row["sample_id"]])
        for table in read_segments(completions, ["sample_id", *COMPLETION])
        for row in table.to_pylist()
        if row["sample_id"] in judged
    }
