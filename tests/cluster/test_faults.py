"""One round per kind of fault, with the recorded engine: the same command completes, every id exactly once.

With real vLLM, more samples, and what a fault costs in tokens: benchmarks/synthesis/chaos.py.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.synthesis.faults import FAULTS, Driver, small_disk, stored, wait_for_samples
from raydistill.pipelines.data.examples import read_examples
from tests import ROOT
from tests.rows import recorded_run, write_rows

pytestmark = pytest.mark.cluster

SAMPLES = 1000
PROGRAM = "def solution():\n    total = {n}\n    for i in range(60_000):\n        total += i % 2\n    return total\n"
PATIENCE_S = 600.0


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a run that is long enough to be met by a fault: programs that work a few milliseconds."""
    folder = tmp_path_factory.mktemp("recorded")
    rows = [
        {"question": f"Thirty thousand and {n}?", "answer": str(n + 30_000), "program": PROGRAM.format(n=n)}
        for n in range(SAMPLES)
    ]
    config = recorded_run(write_rows(folder / "rows.jsonl", rows), {"health_timeout_s": 3})
    path = folder / "recorded.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def start(config: Path, run_dir: Path, **environment: str) -> Driver:
    command = [sys.executable, "-m", "raydistill", "synth", str(config), "--run-dir", str(run_dir), "--quiet"]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, stderr=subprocess.PIPE)


def in_the_middle(run_dir: Path, driver: Driver, seed: str) -> None:
    """Return at a moment of the run that `seed` draws."""
    moment = random.Random(seed).randint(SAMPLES // 10, SAMPLES // 2)
    wait_for_samples(run_dir, "verdicts", moment, driver, PATIENCE_S)


def complete(driver: Driver, config: Path, run_dir: Path, **environment: str) -> int:
    """Run the same command until it ends well, at most twice more; how often it was started."""
    starts = 1
    while driver.wait(PATIENCE_S) and starts < 3:
        driver, starts = start(config, run_dir, **environment), starts + 1
    assert driver.returncode == 0, driver.communicate()[1].decode()[-2000:]
    return starts


def check(run_dir: Path) -> None:
    rows = stored(run_dir, "verdicts", ["sample_id", "status"])
    assert Counter(Counter(row["sample_id"] for row in rows).values()) == {1: SAMPLES}
    assert {row["status"] for row in rows} == {"passed"}
    report = json.loads((run_dir / "report.json").read_text())
    assert report["verification"]["passed"] == SAMPLES
    assert len(stored(run_dir, "completions", ["sample_id"])) == SAMPLES
    examples = Counter(
        example.id for folder in (run_dir / "examples").glob("*") for example in read_examples(str(folder))
    )
    assert Counter(examples.values()) == {1: SAMPLES}


@pytest.mark.parametrize("fault", sorted(set(FAULTS) - {"core"}))  # which only vLLM has
def test_a_fault_costs_no_sample(fault: str, recorded: Path, tmp_path: Path) -> None:
    driver = start(recorded, tmp_path)
    in_the_middle(tmp_path, driver, fault)
    FAULTS[fault](driver)
    starts = complete(driver, recorded, tmp_path)
    assert starts == (2 if fault == "driver" else 1)
    check(tmp_path)


@pytest.fixture
def two_nodes() -> Iterator[Any]:
    """A cluster whose head has no room for pools, and a node that has."""
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    cluster.add_node(num_cpus=2)
    yield cluster
    cluster.shutdown()


def test_a_lost_node_costs_no_sample(two_nodes: Any, recorded: Path, tmp_path: Path) -> None:
    address = {"RAY_ADDRESS": two_nodes.address}
    driver = start(recorded, tmp_path, **address)
    in_the_middle(tmp_path, driver, "node")
    [doomed] = two_nodes.worker_nodes
    two_nodes.add_node(num_cpus=2)
    two_nodes.remove_node(doomed, allow_graceful=False)
    complete(driver, recorded, tmp_path, **address)
    check(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root")
def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(recorded: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "384k") as give_room:
        driver = start(recorded, disk / "run")
        told = driver.communicate(timeout=PATIENCE_S)[1].decode().splitlines()[-1]
        assert driver.returncode == 1
        assert "No space left" in told
        give_room()
        complete(start(recorded, disk / "run"), recorded, disk / "run")
        check(disk / "run")


def test_a_full_object_store_costs_no_sample(recorded: Path, tmp_path: Path) -> None:
    """Another driver holds nearly all of it, and what the run puts there is spilled to disk."""
    import numpy as np
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()
    size = 80 * 2**20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": size})
    try:
        ray.init(cluster.address, log_to_driver=False)
        held = [ray.put(np.zeros(2**20, np.uint8)) for _ in range(int(0.97 * size) >> 20)]
        environment = {"RAY_ADDRESS": cluster.address}
        complete(start(recorded, tmp_path, **environment), recorded, tmp_path, **environment)
        check(tmp_path)
        del held
    finally:
        ray.shutdown()
        cluster.shutdown()
