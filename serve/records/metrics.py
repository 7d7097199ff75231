"""Requests of the service for Prometheus, through Ray's exporter as those of `actors.metrics`.

    raydistill_requests          requests that are over                      {route, model, key, status, code}
    raydistill_request_tokens    tokens read (prompt) and written (completion)             {model, key, kind}
    raydistill_request_seconds   total, queue, first_token, generation, execution, vote   {route, model, part}
    raydistill_request_verdicts  samples of /v1/solve                                          {model, reason}

Limits that were hit are requests by their code: rate_limit_exceeded, overloaded, over_limit, deadline_exceeded, ...
"""

from __future__ import annotations

from functools import cache
from typing import Any

from raydistill.actors.metrics import counter, reason_label
from raydistill.serve.records.record import Record

BOUNDARIES = [0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]  # seconds


def count(record: Record) -> None:
    """Add a request that is over."""
    of = {"model": record.model, "key": record.key}
    told = of | {"route": record.route, "status": str(record.status), "code": record.code}
    counter("raydistill_requests", "requests that are over", *told).inc(1, tags=told)
    read_and_written = counter("raydistill_request_tokens", "tokens of requests", *of, "kind")
    for kind, tokens in (("prompt", record.prompt_tokens), ("completion", record.completion_tokens)):
        if tokens:  # Ray refuses to add nothing
            read_and_written.inc(tokens, tags=of | {"kind": kind})
    for part, seconds in record.parts().items():
        _seconds().observe(max(seconds, 1e-6), tags={"route": record.route, "model": record.model, "part": part})
    for reason, samples in record.verdicts.items():
        tags = {"model": record.model, "reason": reason_label(reason)}
        counter("raydistill_request_verdicts", "samples of solved questions", *tags).inc(samples, tags=tags)


@cache
def _seconds() -> Any:
    from ray.util.metrics import Histogram

    return Histogram(
        "raydistill_request_seconds", "of requests, by part", boundaries=BOUNDARIES, tag_keys=("route", "model", "part")
    )
