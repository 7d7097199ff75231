"""Scores of given tokens: who gives them speaks of the student's tokens; engine, trainer and model on disk agree."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from raydistill.actors.engine.requests import ScoreRequest
from raydistill.actors.engine.scoring import MOST_TOP_K
from raydistill.actors.errors import UsageError
from raydistill.actors.storage import local_path
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.data.records import TokenIds
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.engines import CONTEXT, ROWS, forward, no_room_for_forward
from raydistill.pipelines.doctor.findings import Finding, Findings, about, skipped
from raydistill.pipelines.models import teacher_model
from raydistill.pipelines.runtime.pools import connect
from raydistill.pipelines.scoring.preflight import MOST_APART, Gap, check_same_tokens, gap, trainer_logprobs
from raydistill.pipelines.training.student import vocabulary_size

OTHER_WEIGHTS = "the engine has other weights than the model on disk: was a folder written anew? Start the engine anew"


def scorers(checkup: Checkup) -> list[tuple[EngineConfig, int]]:
    """Who scores tokens in this run, each once, and how many of the likeliest tokens it tells beside."""
    config, found = checkup.config, dict[str, tuple[EngineConfig, int]]()
    if not config.train:
        return []
    asked = [*checkup.recipe.scorers(config)]
    if config.train.soft_targets:
        asked.append((teacher_model(config.soft_teacher), config.train.soft_targets.top_k))
    for model, top_k in asked:
        name = f"{model.model} {model.adapter}"
        found[name] = model, max(top_k, found[name][1] if name in found else 0)
    return [*found.values()]


def same_tokens(checkup: Checkup) -> Findings:
    """Scorer and student have one tokenizer and one end of turn; and the engine tells as many tokens as are wanted."""
    train, asked = checkup.train, scorers(checkup)
    if not train or not asked:
        yield skipped("scored tokens", "nobody scores tokens in this run")
        return
    for model, top_k in asked:
        ok, warn, fail = about("scored tokens")
        try:
            check_same_tokens(local_path(model.model), model.revision, train.student, train.revision)
        except UsageError as error:
            said, _, remedy = str(error).partition("; expected ")
            yield fail(said, f"expected {remedy}")
            continue
        most = model.options.get("max_logprobs", MOST_TOP_K)
        if 0 <= most < top_k:
            yield fail(
                f"{model.model} is to tell the {top_k} likeliest tokens, and its engine tells at most {most}",
                f"set options.max_logprobs of that model to {top_k}, or a smaller top_k",
            )
            continue
        theirs, own = (
            vocabulary_size(name, revision)
            for name, revision in ((model.model, model.revision), (train.student, train.revision))
        )
        said = f"{model.model} and the student have the same {len(checkup.tokenizer):,} tokens and end of turn"
        if theirs > own and top_k:
            yield warn(
                f"{said}; it has {theirs:,} rows and the student {own:,}: one of its {top_k} likeliest may be a row "
                "that the student has not, which training stops at",
                "give the student as many rows (resize_token_embeddings), or leave top_k at 0",
            )
        else:
            yield ok(said + (f"; {theirs:,} and {own:,} rows, the others padding" if theirs != own else ""))


def same_scores(checkup: Checkup) -> Findings:
    """An engine's scores of `ROWS` examples are those of a forward pass; for the student also those of the trainer."""
    asked = scorers(checkup)
    if not asked or not checkup.train or not checkup.student:
        yield skipped("scores", "nobody scores tokens in this run")
        return
    for model, _ in asked:
        yield from _compared(checkup, f"scores of {model.model}", model, "a plain forward pass")
    yield from _compared(checkup, "trainer's log-probabilities", checkup.student, "the trainer")


def _compared(checkup: Checkup, name: str, model: EngineConfig, other: str) -> Findings:
    """The scores of `model` beside those of the other way to compute them."""
    ok, _, fail = about(name)
    rows = scored_rows(checkup, model)
    if not rows:
        yield skipped(name, "no example is short enough for its context")
        return
    if reason := no_room_for_forward(model):
        yield skipped(name, reason)
        return
    scores = scored(checkup, model, rows)
    if wrong := next((one for one in scores if isinstance(one, str)), None):
        yield fail(wrong, "a row of the training set is refused: look at max_model_len")
        return
    told = [one for one in scores if not isinstance(one, str)]
    direct = _by_trainer(checkup, model, rows) if other == "the trainer" else _by_forward(model, rows)
    yield _told(name, gap(told, direct), len(rows), model.dtype, other)


def _told(name: str, found: Gap, rows: int, dtype: str, other: str) -> Finding:
    most = MOST_APART["float32" if dtype == "float32" else "other"]
    said = (
        f"the engine's scores of {found.tokens} tokens of {rows} examples and those of {other} differ by "
        f"{found.mean:.1e} on average, {found.largest:.1e} at most"
    )
    if found.mean > most:
        return Finding("fail", name, f"{said}; up to {most:g} on average is rounding", OTHER_WEIGHTS)
    return Finding("ok", name, said)


def scored_rows(checkup: Checkup, model: EngineConfig) -> list[TokenIds]:
    """The first examples with room for the token that a score costs, as ids of prompt and completion."""
    most = model.max_model_len or CONTEXT
    cut = [(row.ids, row.columns["soft_start"]) for row in checkup.rows if len(row.ids) < most]
    return [TokenIds(tuple(ids[:start]), tuple(ids[start:])) for ids, start in cut[:ROWS]]


def scored(checkup: Checkup, model: EngineConfig, rows: Sequence[TokenIds]) -> list[Sequence[float] | str]:
    """The engine's log-probability of each token of the completions, or why there is none."""
    connect(checkup.config.cpus)
    client = checkup.engines.use(model)
    requests = [
        ScoreRequest(f"row-{number}", row.prompt, row.completion, 0, model.adapter) for number, row in enumerate(rows)
    ]
    answers: Any = asyncio.run(client.call("score", requests))
    return [answer.error or answer.logprobs for answer in answers]


def _by_forward(model: EngineConfig, rows: Sequence[TokenIds]) -> list[list[float]]:
    """The same by transformers."""
    found = []
    for row, logprobs in zip(rows, forward(model, [[*row.prompt, *row.completion] for row in rows]), strict=True):
        wanted = logprobs.new_tensor(row.completion).long()[:, None]
        found.append(logprobs[len(row.prompt) - 1 : -1].gather(1, wanted)[:, 0].tolist())
    return found


def _by_trainer(checkup: Checkup, model: EngineConfig, rows: Sequence[TokenIds]) -> list[list[float]]:
    """The same by the model as training loads it."""
    assert checkup.train
    if model.adapter:
        return trainer_logprobs(checkup.train, rows, model.adapter)
    started = checkup.train.model_copy(update={"student": model.model, "revision": model.revision, "lora": None})
    return trainer_logprobs(started, rows)
