"""The rows that ReBase makes examples of: retrieved for the target, kept between runs, passed by the guards.

    datastore [built first] --lookup--> rows --guards--> questions whose text is the row as the teacher is shown it

A lookup's rows are stored under ``lookups/``; only a new one starts the retriever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from raydistill.actors.retrieval.retriever import Lookup, RetrievedRow
from raydistill.actors.retrieval.row_index import RowIndex
from raydistill.pipelines.config.files import expand
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.decontamination import Guards
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.data.rewritten import Rewritten
from raydistill.pipelines.datastore.build import build
from raydistill.pipelines.datastore.retrieval import lookup_of, retrieve, retriever_pool, stored_rows
from raydistill.pipelines.datastore.settings import Datastore, load_settings
from raydistill.pipelines.recipes.rebase.config import ReBase
from raydistill.pipelines.recipes.rebase.prompts import row_text
from raydistill.pipelines.runtime.pools import connect
from raydistill.pipelines.tasks import LoadedQuestions


def guards_of(config: ReBase, held_out: LoadedQuestions | None) -> Guards:
    """What keeps evaluation questions, the target's examples and banned sources out of training."""
    target = config.target
    return Guards(
        evaluation=[question.text for question in held_out.questions] if held_out else [],
        examples=[example["input"] for example in target.examples],
        banned=(*target.banned, *config.banned),
        ngram=config.ngram,
    )


def find_rows(ctx: RunContext, config: ReBase, guards: Guards) -> tuple[list[Question], dict[str, Any]]:
    """The rows to make examples of, best first, and the account of those retrieved; numbers without retrieval."""
    if config.retrieval == "none":
        return [Question(content_hash("direct", n), str(n), "") for n in range(config.rows)], {"retrieved": 0}
    index = _index(ctx, config)
    rows = _retrieved(ctx, config, index, _lookup(config))
    kept: dict[str, Question] = {}
    dropped: Counter[str] = Counter()
    for row in rows:
        question = _question(row, config)
        reason = guards.check_row(row.source, row.values) or ("duplicate" if question.id in kept else None)
        if reason:
            dropped[reason] += 1
        else:
            kept[question.id] = question
    sources = dict(Counter(row.source for row in rows).most_common())
    account = {"index": index, "retrieved": len(rows), "sources": sources, "dropped": dict(dropped)}
    account["scores"] = {name: _mean([getattr(row, name) for row in rows]) for name in ("s", "s_in", "s_out", "s_ds")}
    return list(kept.values()), account


def as_it_is(row: Question) -> Rewritten | None:
    """The row's values nearest to the examples' inputs and outputs as an example; None where one is nearest to both."""
    values = row.meta["values"]
    return Rewritten(values["input"], values["output"]) if "output" in values else None


def _index(ctx: RunContext, config: ReBase) -> str:
    """The index's folder or URI; a YAML file's index is brought up to date first."""
    named = expand(config.datastore or "")
    if not named.endswith((".yaml", ".yml")):
        return named
    settings = load_settings(named, Datastore)
    settings = settings.model_copy(update={"index": expand(settings.index)})
    ctx.say(f"datastore {settings.index}: {len(settings.sources)} sources ...")
    build(settings, ctx.console, cpus=ctx.config.cpus)
    return settings.index


def _lookup(config: ReBase) -> Lookup:
    assert config.retrieval != "none"
    return lookup_of(
        config.target,
        config.rows,
        level=config.retrieval,
        seed=config.seed,
        banned=config.banned,
    )


def _retrieved(ctx: RunContext, config: ReBase, index: str, lookup: Lookup) -> list[RetrievedRow]:
    folder = f"{ctx.root}/lookups"
    if (found := stored_rows(folder, RowIndex.open(index).version, lookup)) is not None:
        return found
    connect(ctx.config.cpus)
    pool = retriever_pool(f"raydistill-{content_hash(ctx.root, length=8)}-retrievers", index, config.retriever)
    pool.start()
    try:
        return asyncio.run(retrieve(pool.client, lookup, folder))
    finally:
        pool.release()


def _question(row: RetrievedRow, config: ReBase) -> Question:
    """A row as its text is shown to the teacher; one that is learned as it is carries its values."""
    text = row_text(row.values, (row.column_in, row.column_out), config)
    meta: dict[str, Any] = {"source": row.source, "row": row.row, "s": round(row.s, 4)}
    if config.rewrite:
        return Question(content_hash("rebase", text), text, "").noting(**meta)
    values = {"input": row.values[row.column_in]}
    if row.column_out != row.column_in:
        values["output"] = row.values[row.column_out]
    return Question(content_hash("rebase", text, values), text, "").noting(**meta, values=values)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
