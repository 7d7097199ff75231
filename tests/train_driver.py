"""A driver of its own for tests that kill it, or that grow the cluster under it.

python -m tests.train_driver FOLDER STUDENT [elastic]
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines import train_cluster
from pipelines.cluster import connect
from pipelines.train import train
from tests.test_train import elastic_settings, settings, wait_for_checkpoint
from tests.training_examples import sums


def train_on_growing_cluster(folder: str, student: str) -> None:
    """Train on a cluster of one CPU that gets another one after the first checkpoint."""
    import ray
    from ray.cluster_utils import Cluster

    train_cluster.RESIZE_CHECK_S = 1.0
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    ray.init(cluster.address, log_to_driver=False)
    with ThreadPoolExecutor() as pool:
        done = pool.submit(train, sums(150), elastic_settings(student, (1, 2)), folder)
        wait_for_checkpoint(Path(folder))
        cluster.add_node(num_cpus=1)
        done.result()


if __name__ == "__main__":
    if sys.argv[3:] == ["elastic"]:
        train_on_growing_cluster(*sys.argv[1:3])
    else:
        connect(4)
        train(sums(150), settings(sys.argv[2]), sys.argv[1])
