"""Files of the Batch API: requests and answers, one JSON object a line; vLLM's `run-batch` takes and gives the same.

    {"custom_id": "1f0c.../program/2", "method": "POST", "url": "/v1/chat/completions", "body": {"n": 4, ...}}
    {"custom_id": "1f0c.../program/2", "response": {"status_code": 200, "body": {"choices": [...]}}, "error": null}

A line is a run of samples of one request: choice i of ``<request>/<first>`` is sample first + i. Its body is what a
`RemoteEngine` would send. Lines of answers come in any order; those without an answer may be in a file of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from raydistill.actors.engine.engine import consecutive
from raydistill.actors.engine.remote.dialect import Dialect
from raydistill.actors.engine.remote.estimates import divide
from raydistill.actors.engine.remote.replies import MalformedReply, Usage, reply_of
from raydistill.actors.engine.remote.settings import EndpointSettings
from raydistill.actors.engine.requests import Request

PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
RUN_OF_SAMPLES = re.compile(r"([0-9a-f]{16}/.+)/(\d+)")  # a request's id and its first sample, in an id of ours
UNTOLD = "a line without an answer"


class Said(NamedTuple):
    """A completion that was made elsewhere, with what it cost where that is told."""

    text: str
    finish_reason: str = "stop"  # or length
    reasoning: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


def batch_lines(request: Request, settings: EndpointSettings, dialect: Dialect) -> Iterator[dict[str, Any]]:
    """The lines that ask for a request's samples. Raises UsageError for what the endpoint cannot be asked."""
    for first, count in consecutive(request.indices, settings.most_choices):
        body = {"model": settings.model, **dialect.body(request, first, count)}
        yield {"custom_id": f"{request.id}/{first}", "method": "POST", "url": PATHS[settings.api], "body": body}


def is_batch_line(row: Mapping[str, Any]) -> bool:
    """Whether a row is a line of a batch's answers."""
    return "custom_id" in row and ("response" in row or "error" in row)


def request_of(custom_id: str) -> str:
    """The id of the request in that of a line."""
    ours = RUN_OF_SAMPLES.fullmatch(custom_id)
    return ours[1] if ours else custom_id


def batch_answers(row: Mapping[str, Any]) -> list[tuple[str, Said]]:
    """The completions of a line with their sample ids, or all by `custom_id` where that is not of ours.

    Raises MalformedReply with the reason where a line has none.
    """
    name, response = str(row["custom_id"]), row.get("response") or {}
    body = response.get("body")
    if row.get("error") or response.get("status_code", 200) != 200 or not body:
        raise MalformedReply(_reason(row.get("error") or body, response.get("status_code")))
    reply = reply_of(body)
    costs = divide(reply.usage or Usage(0, 0), reply.choices, len)
    ours, answers = RUN_OF_SAMPLES.fullmatch(name), []
    for place, (choice, (prompt, written)) in enumerate(zip(reply.choices, costs, strict=True)):
        if not choice.withheld:
            sample = f"{ours[1]}/{int(ours[2]) + place}" if ours else name
            answers.append((sample, Said(choice.text, choice.finish_reason, choice.reasoning, prompt, written)))
    if not answers:
        raise MalformedReply(next((choice.withheld for choice in reply.choices), UNTOLD))
    return answers


def _reason(told: Any, status: Any) -> str:
    """What a line says of why it has no answer, as OpenAI and vLLM write it."""
    while isinstance(told, Mapping):
        told = told.get("error") or told.get("message") or told.get("code")
    said = " ".join(str(told).split()) if told else UNTOLD
    return f"{status}: {said}" if status not in (None, 200) else said
