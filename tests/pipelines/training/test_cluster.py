"""Ray Train's side: room for the workers, their environment, and what a Ray without a dashboard is spared."""

from __future__ import annotations

import subprocess
import sys

import pytest
import ray
import torch
from ray.train import WorkerGroupError

from raydistill.actors.errors import TrainingError
from raydistill.pipelines.config.sections import Train
from raydistill.pipelines.training.cluster import make_trainer, why_it_failed, worker_environment
from raydistill.pipelines.training.loop import TrainingJob
from raydistill.pipelines.training.train import train
from tests.pipelines.training.training_examples import sums


class Held:
    """An actor that has a CPU, and leaves it alone."""


def test_no_room_for_the_workers(cluster, tiny_model, tmp_path):
    config = Train(student=tiny_model, workers=3, cpus_per_worker=2, resource_timeout_s=1)
    with pytest.raises(TrainingError, match=r"no room for 3 training worker\(s\) of 2 CPU within 1 s") as caught:
        train(sums(4), config, str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [ray.exceptions.OutOfMemoryError, torch.OutOfMemoryError])
def test_no_memory_left_is_one_line_on_what_to_do(kind):
    told = why_it_failed(WorkerGroupError("", {1: kind("Refer to the documentation ...\nTo adjust, set ...")}))
    assert told.startswith("worker 1 found no memory left: lower train.micro_batch_tokens") and "\n" not in told


def test_threads_sleep_where_cores_are_shared_unless_told_otherwise(cluster, tiny_model, monkeypatch):
    lone = Train(student=tiny_model)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert worker_environment(Train(student=tiny_model, workers=2))["OMP_WAIT_POLICY"] == "active"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert worker_environment(Train(student=tiny_model, workers=2))["OMP_WAIT_POLICY"] == "passive"
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        assert worker_environment(lone)["OMP_WAIT_POLICY"] == "passive"
        other.kill()


def test_threads_spin_beside_engines_that_have_a_core_and_nothing_to_do(cluster, tiny_model, monkeypatch):
    """How busy this machine is the tests beside this one decide, so that is told."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setattr("raydistill.pipelines.training.cluster.busy_cores", lambda: 0.2)
    held = ray.remote(Held).options(num_cpus=1).remote()
    ray.get(held.__ray_ready__.remote())
    assert "OMP_WAIT_POLICY" not in worker_environment(Train(student=tiny_model))


def test_a_ray_without_dashboard_is_not_asked_who_lives(cluster, tiny_model, tmp_path, monkeypatch):
    """Ray Train's cleaner of placement groups would: it ends each training 12 s late."""

    def cleaners() -> list:
        trainer = make_trainer(TrainingJob(Train(student=tiny_model), "", "", 2), str(tmp_path), 1, {})
        return [callback for callback in trainer._create_default_callbacks() if "Cleaner" in type(callback).__name__]

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert not cleaners()
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert len(cleaners()) == 1
