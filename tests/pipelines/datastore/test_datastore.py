"""Building the datastore: what becomes of rows, of faulty input, of a build that is cut short."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from typer.testing import CliRunner

from raydistill.actors.errors import UsageError
from raydistill.actors.retrieval.retriever import RetrievedRow
from raydistill.actors.retrieval.row_index import RowIndex
from raydistill.pipelines.cli.app import app
from raydistill.pipelines.datastore.build import build
from raydistill.pipelines.datastore.retrieval import lookup_of, retrieve, retriever_pool, stored_rows
from raydistill.pipelines.datastore.settings import (
    Datastore,
    RetrieverConfig,
    SourceSettings,
    TargetTask,
    load_settings,
)
from raydistill.pipelines.datastore.staging import CHUNK_ROWS
from tests import ROOT
from tests.actors.retrieval.test_retriever import same
from tests.processes import below
from tests.rows import write_rows
from tests.tiny import write_tiny_encoder
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def two_sources(tmp_path: Path, encoder: str) -> Datastore:
    """Two sources of three chunks each; they share ten rows, and each has twice one row."""
    sums = [{"question": f"how many apples = {number}", "answer": str(number)} for number in range(2 * CHUNK_ROWS + 10)]
    fruit = [{"text": f"{number} apples", "kind": number % 2} for number in range(2 * CHUNK_ROWS + 10)]
    write_rows(tmp_path / "sums.jsonl", [*sums, sums[0]])
    write_rows(tmp_path / "fruit.jsonl", [*fruit, *sums[:10]])
    return Datastore(
        index=str(tmp_path / "index"),
        encoder=encoder,
        sources=(
            {"name": "sums", "description": "how many sums", "path": str(tmp_path / "sums.jsonl")},
            {
                "name": "fruit",
                "description": "fruit",
                "path": str(tmp_path / "fruit.jsonl"),
                "labels": {"kind": ["apples", "pears"]},
            },
        ),
    )


@pytest.fixture
def config(tmp_path: Path, encoder: str) -> Datastore:
    """Two sources, of which nothing is built yet."""
    return two_sources(tmp_path, encoder)


class Built(NamedTuple):
    config: Datastore
    summaries: list[Any]


@pytest.fixture(scope="module")
def built(cluster: None, encoder: str, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A finished index of the two sources, which no test may change."""
    config = two_sources(tmp_path_factory.mktemp("built"), encoder)
    return Built(config, build(config))


def content(index: str) -> list[tuple[str, int, str, str]]:
    """Every record of the finished sources, by source, row and column."""
    opened = RowIndex.open(index)
    names = {source.key: source.name for source in opened.sources()}
    rows = opened.records().search().limit(None).select(["source", "row", "column", "value"]).to_list()
    return sorted((names[row["source"]], row["row"], row["column"], row["value"]) for row in rows)


def test_a_build_stores_each_row_once(built: Built) -> None:
    config, (sums, fruit) = built
    size = 2 * CHUNK_ROWS + 10
    assert (sums.rows, sums.records, dict(sums.dropped)) == (size, 2 * size, {"duplicate": 1})
    assert (fruit.rows, fruit.records, dict(fruit.dropped)) == (size, 2 * size, {"duplicate": 10})
    records = content(config.index)
    assert len(records) == len(set(records)) == 4 * size
    assert ("fruit", 2, "kind", "pears") in records
    assert not Path(config.index, "staging").exists()
    version = RowIndex.open(config.index).version
    assert build(config) == [] and RowIndex.open(config.index).version == version


def test_a_build_cut_short_at_any_step_is_completed(
    cluster: None, config: Datastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(step: str, before: bool) -> None:
        done = getattr(RowIndex, step)

        def stop(self: RowIndex, *arguments: Any) -> None:
            if not before:
                done(self, *arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(RowIndex, step, stop)
            with pytest.raises(KeyboardInterrupt):
                build(config)

    for step in ("add_records", "finish"):
        for before in (True, False):
            cut_short(step, before)
    build(config)
    records = content(config.index)
    assert len(records) == len(set(records)) == 4 * (2 * CHUNK_ROWS + 10)
    assert RowIndex.open(config.index).records().count_rows() == len(records)


def test_a_changed_source_replaces_its_rows_and_others_stay(cluster: None, config: Datastore, tmp_path: Path) -> None:
    build(config)
    before = content(config.index)
    write_rows(tmp_path / "fruit.jsonl", [{"text": "pears"}, {"text": "1 apples", "kind": "pears"}])
    [changed] = build(config)
    assert (changed.name, changed.rows) == ("fruit", 2)
    kept = [record for record in before if record[0] == "sums"]
    assert content(config.index) == sorted(
        [*kept, ("fruit", 1, "text", "pears"), ("fruit", 2, "kind", "pears"), ("fruit", 2, "text", "1 apples")]
    )
    # A row that was in the old version of its source is no duplicate in the new one.
    only = config.model_copy(update={"sources": config.sources[:1]})
    assert build(only) == [] and len(RowIndex.open(config.index).sources()) == 2  # what a file does not name stays


def test_another_encoder_needs_a_rebuild_which_loses_nothing(
    built: Built, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    index = str(shutil.copytree(built.config.index, tmp_path / "index"))
    config = built.config.model_copy(update={"index": index})
    before = content(index)
    other = write_tiny_encoder(tmp_path_factory.mktemp("other"), seed=1)
    changed = config.model_copy(update={"encoder": other, "sources": config.sources[:1]})
    with pytest.raises(UsageError, match="built with encoder"):
        build(changed)
    assert content(config.index) == before
    assert {source.name for source in build(changed, rebuild=True)} == {"sums", "fruit"}
    assert len(content(config.index)) == len(before) and RowIndex.open(config.index).encoder.name == other


def test_a_missing_source_is_said_before_anything_starts(config: Datastore, tmp_path: Path) -> None:
    (tmp_path / "fruit.jsonl").unlink()
    with pytest.raises(UsageError, match="source fruit: .*fruit.jsonl: no such file"):
        build(config)
    assert not Path(config.index).exists()


def test_a_hub_dataset_that_cannot_be_had_is_one_line(cluster: None, config: Datastore) -> None:
    missing = SourceSettings(name="x", description="x", hub="owner/no-such-dataset")
    with pytest.raises(UsageError, match="source x: hub dataset owner/no-such-dataset: cannot be loaded: [^\n]+$"):
        build(config.model_copy(update={"sources": (*config.sources, missing)}))
    with pytest.raises(UsageError, match="needs either a path or a hub id"):
        load_settings_text({"index": "i", "sources": [{"name": "x", "description": "x"}]})


def load_settings_text(data: dict[str, Any]) -> Datastore:
    from raydistill.pipelines.datastore.settings import validated

    return validated(Datastore, data, "here")


# Lookups through a pool, and the command line


TASK = TargetTask(
    instruction="how many sums", examples=({"input": "how many apples", "output": "3", "reasoning": "="},)
)


def test_a_lookup_through_a_pool_is_kept(built: Built, tmp_path: Path) -> None:
    pool = retriever_pool("retrievers", built.config.index, RetrieverConfig(cpus=0.5))
    lookup, version, folder = lookup_of(TASK, 3), RowIndex.open(built.config.index).version, str(tmp_path / "lookups")
    assert stored_rows(folder, version, lookup) is None
    pool.start()
    try:
        rows = asyncio.run(retrieve(pool.client, lookup, folder))
    finally:
        pool.release()
    assert len(rows) == 3 and rows[0].source == "sums"
    assert stored_rows(folder, version, lookup) == rows
    assert stored_rows(folder, version, lookup_of(TASK, 4)) is None


def test_lookups_of_older_runs_are_found(tmp_path: Path) -> None:
    """By the name that their files had while lookups could be approximate."""
    (tmp_path / "e0f293860bdae547.json").write_text("[]")
    assert stored_rows(str(tmp_path), "7-2-abc", lookup_of(TASK, 3)) == []


@pytest.mark.cluster
def test_a_killed_retriever_costs_no_lookup(built: Built, tmp_path: Path) -> None:
    pool = retriever_pool("doomed-retrievers", built.config.index, RetrieverConfig(cpus=0.5))
    pool.start()
    lookups = [lookup_of(TASK, count) for count in range(1, 201)]
    folder = tmp_path / "lookups"

    def replicas() -> list[psutil.Process]:
        return below(None, "doomed-retrievers")

    async def scenario() -> list[list[RetrievedRow]]:
        pending = asyncio.gather(*(retrieve(pool.client, lookup, str(folder)) for lookup in lookups))
        await asyncio.to_thread(wait_until, lambda: folder.is_dir() and any(folder.iterdir()), 60, "the first lookup")
        assert not pending.done()
        [replica] = replicas()
        replica.kill()
        return await pending

    try:
        found = asyncio.run(scenario())
        assert [len(rows) for rows in found] == [*range(1, 201)] and same(found[0], found[-1][:1])
        assert len(list(folder.iterdir())) == 200
    finally:
        pool.release()


def test_build_add_search_and_stats_on_the_command_line(cluster: None, config: Datastore, tmp_path: Path) -> None:
    (tmp_path / "store.yaml").write_text(json.dumps(config.model_dump(mode="json")), encoding="utf-8")
    (tmp_path / "task.yaml").write_text(json.dumps(TASK.model_dump(mode="json")), encoding="utf-8")
    more = write_rows(tmp_path / "more.jsonl", [{"question": "how many [b]pears[/b]"}])

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["index", *arguments], env={"COLUMNS": "160"})
        assert result.exit_code == 0, result.exception
        return result.output

    assert "2 sources, 276 rows" in call("build", str(tmp_path / "store.yaml"))
    assert "every source is there already" in call("build", str(tmp_path / "store.yaml"))
    described = ("--name", "more", "--description", "how many sums", "--path", str(more))
    assert "1 sources, 1 rows" in call("add", config.index, *described)
    assert "3 sources, 277 rows, 553 records" in call("stats", config.index)
    out = tmp_path / "rows.jsonl"
    table = call("search", config.index, str(tmp_path / "task.yaml"), "-n", "300", "--out", str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 277 and rows[0]["s"] == max(row["s"] for row in rows)
    assert "277 rows of" in table and "more #1" in table and "how many [b]pears[/b]" in table
    assert f"{rows[0]['s']:.3f}" in table
    banned = call("search", config.index, str(tmp_path / "task.yaml"), "-n", "300", "--ban", "sums")
    assert "sums #" not in banned and "fruit #" in banned


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "targets").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_targets_can_be_looked_up(path: Path) -> None:
    assert len(lookup_of(load_settings(path, TargetTask)).examples) == 3


def test_the_shipped_datastore_is_valid() -> None:
    settings = load_settings(
        ROOT / "configs" / "datastores" / "public-reasoning.yaml", Datastore, ["limits.rows_per_source=5"]
    )
    assert len(settings.sources) == 6 and settings.limits.rows_per_source == 5


@pytest.mark.slow
def test_kill_9_in_the_middle_loses_and_doubles_nothing(config: Datastore, tmp_path: Path) -> None:
    rows = [{"question": f"how many apples = {number}", "answer": str(number)} for number in range(100 * CHUNK_ROWS)]
    write_rows(tmp_path / "sums.jsonl", rows)
    (tmp_path / "store.yaml").write_text(json.dumps(config.model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, "-m", "raydistill", "index", "build", str(tmp_path / "store.yaml")]
    command += ["limits.rows_per_source=100000"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}

    def killed_at(files: int) -> bool:
        """Kill a build as soon as so many files are staged; whether it was still at work."""
        process = subprocess.Popen(
            command, cwd=ROOT, start_new_session=True, env=environment, stdout=subprocess.DEVNULL
        )
        staged = "index/staging/*/*.parquet"
        wait_until(lambda: process.poll() is not None or len(list(tmp_path.glob(staged))) >= files, 300, staged)
        at_work = process.poll() is None
        if at_work:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return at_work

    assert killed_at(5) and killed_at(50)
    subprocess.run(command, cwd=ROOT, check=True, env=environment, stdout=subprocess.DEVNULL)
    records = content(config.index)
    assert len(records) == len(set(records)) == 2 * 100 * CHUNK_ROWS + 2 * (2 * CHUNK_ROWS + 10)
    assert RowIndex.open(config.index).records().count_rows() == len(records)
