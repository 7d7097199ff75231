"""The samples that a sampling job has stored: each completion together with its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.actors.engine.requests import Completion
from raydistill.actors.segments import read_segment, read_segments
from raydistill.actors.storage import resolve
from raydistill.pipelines.data.records import Question, Sample
from raydistill.pipelines.sampling.prompter import Prompt
from raydistill.pipelines.sampling.segment_index import SegmentIndex

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


def completion_row(question: Question, completion: Completion, prompt: Prompt, model: str = "") -> dict[str, Any]:
    """What is stored of a completion of a prompt by a model (`schemas.completion_schema`)."""
    names = ("index", "seed", "text", "reasoning", "finish_reason", "prompt_tokens", "completion_tokens")
    scored = completion.logprobs is not None
    return {
        "sample_id": completion.sample_id,
        "question_id": question.id,
        "context": prompt.context,
        "format": prompt.format,
        **{name: getattr(completion, name) for name in names},
        "engine": completion.engine,
        "model": model,
        "error": completion.error,
        "prompt_ids": completion.prompt_ids if scored else None,
        "token_ids": completion.token_ids if scored else None,
        "logprobs": completion.token_logprobs,
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


def stored_rows(index: SegmentIndex, questions: Sequence[Question]) -> dict[str, dict[str, Any]]:
    """The rows of some questions' samples in a folder of completions or verdicts, by sample id."""
    found, wanted = index.of(questions), {question.id for question in questions}
    segments = sorted({segment for question in questions for segment in found.segments(question.id)})
    rows = (row for segment in segments for row in read_segment(*resolve(segment)).to_pylist())
    return {row["sample_id"]: row for row in rows if row["question_id"] in wanted}
