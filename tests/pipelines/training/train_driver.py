"""A driver of its own for tests that kill it, or whose cluster changes under it.

python -m tests.pipelines.training.train_driver FOLDER STUDENT [elastic]

It trains; with `elastic` it loses a node and gets one back, and prints when, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from raydistill.pipelines.runtime.pools import connect
from raydistill.pipelines.training import cluster as train_cluster
from raydistill.pipelines.training.train import train
from tests.pipelines.training.test_train import ELASTIC_EXAMPLES, elastic_settings, settings, wait_for_checkpoint
from tests.pipelines.training.training_examples import sums
from tests.waiting import wait_until


def train_through_a_loss(folder: str, student: str) -> None:
    """Train on two nodes of a CPU each; one is lost after a checkpoint, and after another one there is a new one."""
    import ray
    from ray.cluster_utils import Cluster

    train_cluster.RESIZE_CHECK_S = 1.0
    # How long Ray Train tries to start as many workers as before; by default a minute.
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = "15"
    cluster, times = Cluster(initialize_head=True, head_node_args={"num_cpus": 1}), {}
    node = cluster.add_node(num_cpus=1)
    ray.init(cluster.address, log_to_driver=False)
    with ThreadPoolExecutor() as pool:
        examples, config = sums(ELASTIC_EXAMPLES), elastic_settings(student, (1, 2))
        done = pool.submit(train, examples, config, folder, on_progress=lambda _: None)
        wait_for_checkpoint(Path(folder))
        cluster.remove_node(node, allow_graceful=False)
        times["lost"], known = time.time(), checkpoints(folder)
        wait_until(lambda: checkpoints(folder) - known, 300, "a checkpoint of the one worker that is left")
        cluster.add_node(num_cpus=1)
        times["regained"] = time.time()
        done.result()
    print(json.dumps(times))


def checkpoints(folder: str) -> set[str]:
    return {path.name for path in Path(folder, "checkpoints").glob("step_*")}


if __name__ == "__main__":
    if sys.argv[3:] == ["elastic"]:
        train_through_a_loss(*sys.argv[1:3])
    else:
        connect(4)
        train(sums(150), settings(sys.argv[2]), sys.argv[1])
