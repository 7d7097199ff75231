"""Where members of pools go on a cluster of several nodes, and which folders a run there may use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import TrainingError, UsageError
from raydistill.actors.executor import Program
from raydistill.actors.pool import Pool, PoolClient
from raydistill.pipelines.config.sections import EngineConfig, Execution, Train
from raydistill.pipelines.runtime import run_dir as shared
from raydistill.pipelines.runtime.pools import engine_pool, executor_pool, has_gpus
from raydistill.pipelines.runtime.run_dir import check_shared
from raydistill.pipelines.training.cluster import reserve
from raydistill.pipelines.training.train import train
from tests.pipelines.training.training_examples import sums

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def nodes() -> Iterator[dict[str, str]]:
    """A Ray of three nodes: node ids by their label."""
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "labels": {"raydistill": "head"}})
    for kind in ("gpu", "cpu"):
        cluster.add_node(num_cpus=2, labels={"raydistill": kind})
    ray.init(cluster.address, log_to_driver=False)
    yield {node["Labels"]["raydistill"]: node["NodeID"] for node in ray.nodes()}
    serve.shutdown()  # or its thread here goes on, connects to a Ray of its own, and calls to later pools wait for it
    ray.shutdown()
    cluster.shutdown()


class Holder:
    """Holds what its actor has reserved."""

    def node(self) -> str:
        import ray

        return str(ray.get_runtime_context().get_node_id())


def hosts(pool: str) -> set[str]:
    from ray.util.state import list_actors

    actors = list_actors(filters=[("state", "=", "ALIVE")], detail=True)
    return {actor.node_id for actor in actors if f"::{pool}#" in (actor.name or "")}


def test_labels_place_the_members(nodes: dict[str, str], questions_file: Path) -> None:
    pools: dict[str, Pool] = {
        "cpu": executor_pool("placed-executors", Execution(cpus=0.5, node_labels={"raydistill": "cpu"})),
        "gpu": engine_pool(
            "placed-engines",
            EngineConfig(
                engine="recorded",
                model=str(questions_file),
                completion_column="answer",
                node_labels={"raydistill": "gpu"},
                replicas=(2, 2),
            ),
            ledger="",
        ),
    }
    try:
        for pool in pools.values():
            pool.start()
        verdicts = asyncio.run(run_one(pools["cpu"].client))
        assert [verdict.value for verdict in verdicts] == [42]
        assert {kind: hosts(pool.settings.name) for kind, pool in pools.items()} == {
            kind: {nodes[kind]} for kind in pools
        }
    finally:
        for pool in pools.values():
            pool.release()


async def run_one(client: PoolClient) -> Any:
    return await client.call("run", [Program("p", "def solution():\n    return 42\n")])


def test_labels_place_training_workers(nodes: dict[str, str], tiny_model: str, tmp_path: Path) -> None:
    from ray.util.state import list_actors

    config = Train(student=tiny_model, epochs=1, validation_fraction=0, node_labels={"raydistill": "cpu"})
    train(sums(20), config, str(tmp_path))
    workers = list_actors(filters=[("class_name", "=", "RayTrainWorker")], detail=True)
    assert {worker.node_id for worker in workers} == {nodes["cpu"]}


def test_elastic_workers_are_counted_where_their_labels_are(nodes: dict[str, str]) -> None:
    import ray

    holder = ray.remote(num_cpus=1, label_selector={"raydistill": "gpu"})(Holder).remote()
    ray.get(holder.node.remote())
    try:
        on_gpus, on_cpus = (
            reserve(Train(student="none", workers=(1, 4), node_labels={"raydistill": kind})) for kind in ("gpu", "cpu")
        )
    finally:
        ray.kill(holder)
    assert on_gpus == (1, 1)  # an actor holds one of the two CPUs there
    assert on_cpus == (1, 4)  # nothing is held there, and nodes may join


def test_labels_that_no_node_has_are_named(nodes: dict[str, str]) -> None:
    config = Train(student="none", node_labels={"raydistill": "tpu"}, resource_timeout_s=1)
    with pytest.raises(TrainingError, match="worker.* of 1 CPU, a node labelled raydistill=tpu within 1 s"):
        reserve(config)


def test_without_gpus_none_are_asked_for(nodes: dict[str, str]) -> None:
    assert not has_gpus()


def test_a_folder_that_all_nodes_see_is_accepted(nodes: dict[str, str], tmp_path: Path) -> None:
    check_shared(str(tmp_path / "run"))
    assert not list((tmp_path / "run").iterdir())
    check_shared("s3://bucket/run")


def test_a_folder_of_one_node_is_refused(
    nodes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes of one machine share its disk: here the marker is removed before they look, as if it lay elsewhere."""
    ask = shared._without

    def look_late(marker: str, others: list[str]) -> list[str]:
        Path(marker).rename(f"{marker}.hidden")
        try:
            return ask(marker, others)
        finally:
            Path(f"{marker}.hidden").rename(marker)

    monkeypatch.setattr(shared, "_without", look_late)
    with pytest.raises(UsageError, match=r"folder of this node alone: .* cannot see it; expected .* s3://"):
        check_shared(str(tmp_path / "run"))
