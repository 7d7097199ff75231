"""The scores that a model gives to rows of token ids, through its pool: stored as they come, and asked for once.

    rows [ids] --stored?--> those that are missing --pool, one prefill each--> scores/<model>/<name>/*.parquet

Scores are found by the ids themselves, under the model's identity: weights, adapter, dtype and engine options.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.requests import Scored, ScoreRequest
from raydistill.actors.errors import EngineError
from raydistill.actors.segments import SegmentWriter, read_segments
from raydistill.pipelines.config.files import expand
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.data.records import TokenIds, content_hash
from raydistill.pipelines.runtime.engines import model_identity
from raydistill.pipelines.runtime.progress import bar
from raydistill.pipelines.sampling.sampler import Sampler

if TYPE_CHECKING:
    import pyarrow as pa

    from raydistill.actors.pool import PoolClient

SCORING_VERSION = "1"
ROWS_PER_CALL = 8
CALLS_PER_ENGINE = 4  # under way


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What a model says of a completion's tokens, in nats at temperature 1."""

    logprobs: tuple[float, ...]  # [tokens]
    top_ids: tuple[tuple[int, ...], ...] = ()  # [tokens, k], the most likely first
    top_logprobs: tuple[tuple[float, ...], ...] = ()  # [tokens, k]


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """The scores of rows, in their order; None where no engine could tell, with the first reason in `error`."""

    scores: list[TokenScores | None]
    asked: int  # rows asked for now; the others were stored, or are there twice
    tokens: int  # scored now, prompts not counted
    wall_s: float  # of asking
    error: str = ""


def row_key(row: TokenIds) -> str:
    """What the scores of a row are found by."""
    return content_hash(row.prompt, row.completion)


def scores_folder(ctx: Sampler, model: EngineConfig, name: str, top_k: int) -> str:
    """Where scores of a model are stored; `name` is the caller's, for rows that belong together."""
    identity = model_identity(expand(model.model), model.revision), model.adapter and model_identity(model.adapter)
    changed = model.model_dump(include={"max_model_len", "options"}, exclude_defaults=True)
    return f"{ctx.root}/scores/{content_hash(SCORING_VERSION, identity, model.dtype, changed, top_k)}/{name}"


def score_rows(
    ctx: Sampler, title: str, model: EngineConfig, rows: Sequence[TokenIds], *, name: str, top_k: int = 0
) -> ScoredRows:
    """The scores of `rows` by `model`, and of its `top_k` most likely tokens at each place.

    Engines start only if a score is missing. Raises EngineError with the first reason where all missing rows have
    failed, or more than the model's `max_error_share` of all.
    """
    folder, started = scores_folder(ctx, model, name, top_k), time.monotonic()
    keys = [row_key(row) for row in rows]
    known, wanted = _stored(folder), dict(zip(keys, rows, strict=True))
    missing = {key: row for key, row in wanted.items() if key not in known}
    error = ""
    if missing:
        client = ctx.use_engines(title, model)
        requests = [ScoreRequest(key, row.prompt, row.completion, top_k, model.adapter) for key, row in missing.items()]
        started = time.monotonic()
        with bar(ctx.console, title, len(requests)) as shown:
            answers = asyncio.run(_ask(client, requests, folder, CALLS_PER_ENGINE * model.replicas[1], shown.update))
        known |= {answer.request_id: _scores(answer) for answer in answers if not answer.error}
        failed = [answer.error for answer in answers if answer.error]
        error = failed[0] if failed else ""
        if failed and (len(failed) == len(answers) or len(failed) > model.max_error_share * len(wanted)):
            raise EngineError(
                f"{title}: {len(failed):,} of {len(wanted):,} rows could not be scored (max_error_share: "
                f"{model.max_error_share:.0%}), the first because: {error}. What is finished is stored: mend it and "
                "run the same command again"
            )
    tokens = sum(len(row.completion) for row in missing.values())
    wall_s = round(time.monotonic() - started, 2) if missing else 0.0
    return ScoredRows([known.get(key) for key in keys], len(missing), tokens, wall_s, error)


async def _ask(
    client: PoolClient, requests: Sequence[ScoreRequest], folder: str, calls: int, tell: Any
) -> list[Scored]:
    """The answers to all requests; each call's are stored before the next begins in its place."""
    writer, free = SegmentWriter(folder, score_schema(), interval=0.3), asyncio.Semaphore(calls)
    answers: list[Scored] = []

    async def call(some: Sequence[ScoreRequest]) -> None:
        async with free:
            told = await client.call("score", list(some))
            await asyncio.to_thread(writer.append, [_to_row(answer) for answer in told if not answer.error])
            answers.extend(told)
            tell(len(answers))

    try:
        await asyncio.gather(
            *(call(requests[start : start + ROWS_PER_CALL]) for start in range(0, len(requests), ROWS_PER_CALL))
        )
    finally:
        writer.flush()
    return answers


def score_schema() -> pa.Schema:
    """Arrow schema of a scored row."""
    import pyarrow as pa

    ids, values = pa.list_(pa.int32()), pa.list_(pa.float32())
    lists = [("logprobs", values), ("top_ids", pa.list_(ids)), ("top_logprobs", pa.list_(values))]
    return pa.schema([("key", pa.string()), *lists, ("engine", pa.string())])


def _to_row(answer: Scored) -> dict[str, Any]:
    lists = {"top_ids": answer.top_ids, "top_logprobs": answer.top_logprobs}
    return {"key": answer.request_id, "logprobs": answer.logprobs, **lists, "engine": answer.engine}


def _scores(answer: Scored) -> TokenScores:
    return TokenScores(answer.logprobs, answer.top_ids, answer.top_logprobs)


def _stored(folder: str) -> dict[str, TokenScores]:
    return {
        row["key"]: TokenScores(
            tuple(row["logprobs"]), tuple(map(tuple, row["top_ids"])), tuple(map(tuple, row["top_logprobs"]))
        )
        for table in read_segments(folder)
        for row in table.to_pylist()
    }
