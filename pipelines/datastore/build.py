"""Building an index and adding to it, so that the same command completes what a crash left.

    plan      which sources are new, changed, or there already
    stage     read and encode the new ones (`pipelines.datastore.staging`)
    commit    their records in one write, then their names: from then on they are found
    tidy      remove what they replace, then the staged files

Each step finds what an interrupted one did, so that no row is lost or doubled: a source counts as there only when its
name is committed, records without one are written anew, and staged files go last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console

from raydistill.actors.errors import UsageError
from raydistill.actors.retrieval.encoder import SentenceEncoder
from raydistill.actors.retrieval.retriever import encoder_id
from raydistill.actors.retrieval.row_index import EncoderId, RowIndex, Source
from raydistill.actors.segments import read_segment
from raydistill.actors.storage import remove, resolve
from raydistill.pipelines.datastore.settings import Datastore, RowLimits, SourceSettings, source_key
from raydistill.pipelines.datastore.staging import Summary, chunk_path, is_staged, read_summary, stage
from raydistill.pipelines.runtime.progress import bar

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build has to do. `new` is by key; `replaced` are keys in the index that go."""

    new: Mapping[str, SourceSettings]
    kept: tuple[str, ...]
    replaced: tuple[str, ...]


def build(
    config: Datastore, console: Console | None = None, *, rebuild: bool = False, cpus: int | None = None
) -> list[Source]:
    """Bring the index to the sources of `config`; others that it has stay. Returns the sources that are new or changed.

    With `rebuild` the index may be of another encoder or other limits: all of its sources are then built anew. Ray is
    started (with `cpus`) only where something is to be read. Raises UsageError for a missing source, and without
    `rebuild` for an index of another encoder.
    """
    from raydistill.pipelines.runtime.pools import connect

    sources = list(config.sources)
    index = RowIndex.open(config.index) if RowIndex.exists(config.index) else None
    if index and rebuild:
        named = {source.name for source in sources}
        sources += [_settings(source) for source in index.sources() if source.name not in named]
    for source in sources:
        source.file()  # a missing one is said before anything starts
    encoder = SentenceEncoder(config.encoder)
    if index and not rebuild:
        index.check_encoder(encoder_id(encoder))
    plan = _plan(sources, config.limits, encoder_id(encoder), index)
    staging = f"{config.index.rstrip('/')}/staging"
    if missing := {key: source for key, source in plan.new.items() if not is_staged(staging, key)}:
        connect(cpus)
        with bar(console, "rows", None) as progress:
            done = 0
            for rows in stage(missing, config.limits, encoder_id(encoder), staging, config.encoders):
                done += rows
                progress.update(done)
    index = RowIndex.create(config.index, encoder_id(encoder))
    added = _commit(index, plan, encoder, staging)
    index.remove(plan.replaced)
    remove(staging)
    return added


def _plan(sources: list[SourceSettings], limits: RowLimits, encoder: EncoderId, index: RowIndex | None) -> Plan:
    wanted = {source_key(source, limits, encoder): source for source in sources}
    there = {source.key: source.name for source in index.sources()} if index else {}
    names = {source.name for source in sources}
    replaced = tuple(key for key, name in there.items() if name in names and key not in wanted)
    new = {key: source for key, source in wanted.items() if key not in there}
    return Plan(new, tuple(key for key in there if key not in replaced), replaced)


def _settings(source: Source) -> SourceSettings:
    return SourceSettings.model_validate(source.settings)


def _commit(index: RowIndex, plan: Plan, encoder: SentenceEncoder, staging: str) -> list[Source]:
    """Write the staged records of new sources, without rows that the index or an earlier source has."""
    unfinished = [key for key in plan.new if index.holds(key)]
    index.remove(unfinished)
    known = index.row_ids(plan.kept)
    summaries: dict[str, Summary] = {}
    for key, source in plan.new.items():
        summary = read_summary(staging, key)
        if summary is None:
            raise UsageError(
                f"source {source.name}: its staged rows are gone from {staging}; run the same command again"
            )
        summaries[key] = summary
    counts: Counter[tuple[str, str]] = Counter()
    if any(summary.rows for summary in summaries.values()):
        index.add_records(_staged(summaries, known, counts, staging))
    added = []
    for key, source in plan.new.items():
        dropped: Counter[str] = Counter(summaries[key].dropped)
        dropped["duplicate"] += counts[key, "duplicate"]
        settings: dict[str, Any] = source.model_dump(mode="json")
        rows, records = counts[key, "rows"], counts[key, "records"]
        added.append(
            Source(key, source.name, source.description, rows, records, dict(+dropped), summaries[key].cut, settings)
        )
    index.finish(added, encoder.encode([source.description for source in added]).tolist())
    return added


def _staged(
    summaries: Mapping[str, Summary], known: set[str], counts: Counter[tuple[str, str]], staging: str
) -> Iterator[pa.RecordBatch]:
    """The records of the staged rows whose content is not `known` yet; counts rows, records and duplicates."""
    for key, summary in summaries.items():
        for chunk in range(summary.chunks):
            table = read_segment(*resolve(chunk_path(staging, key, chunk)))
            keep, last, new = [], None, False
            for number, row_id in zip(table["row"].to_pylist(), table["row_id"].to_pylist(), strict=True):
                if number != last:
                    last, new = number, row_id not in known
                    known.add(row_id)
                    counts[key, "rows" if new else "duplicate"] += 1
                keep.append(new)
            counts[key, "records"] += sum(keep)
            yield from table.filter(keep).combine_chunks().to_batches()
