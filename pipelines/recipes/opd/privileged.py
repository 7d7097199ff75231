"""A student as its own teacher: it scores its samples with more in its prompt than it was asked with.

What is shown stands in the teacher's prompt alone; the student is trained behind its own prompt (2601.20802).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raydistill.actors.engine.rendering import prompt_ids
from raydistill.actors.engine.requests import Request
from raydistill.pipelines.data.records import Question, Sample, TokenIds
from raydistill.pipelines.scoring.sampled import SampledTokens

PRIVILEGED_VERSION = "1"


def privileged_row(
    tokenizer: Any, kind: str, question: Question, messages: Sequence[dict[str, Any]], sampled: SampledTokens
) -> TokenIds | None:
    """The sampled ids behind a prompt that shows more; None where there is nothing to show."""
    shown = gold_solution(question) if kind == "solution" else interpreters_message(sampled.sample)
    if not shown:
        return None
    *before, last = messages
    asked = [*before, {**last, "content": f"{last['content']}\n\n{shown}"}]
    return TokenIds(tuple(prompt_ids(tokenizer, Request("", asked))), sampled.ids.completion)


def gold_solution(question: Question) -> str:
    """The worked solution of a question, or else its answer."""
    return f"A correct solution: {question.meta.get('rationale') or question.answer}"


def interpreters_message(sample: Sample) -> str:
    """What went wrong when the sample's program ran; empty where it did not fail."""
    if sample.status != "failed" or not sample.output:
        return ""
    return f"An earlier attempt:\n{sample.output}\nIt failed: {sample.detail or sample.reason}"
