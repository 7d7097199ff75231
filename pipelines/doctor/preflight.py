"""What cannot work on this machine whatever is done, found once, before a run has asked anybody for anything.

The doctor estimates, and warns early; here only what is certain ends a run: a GPU that is not there, weights that
exceed all memory, a disk that does not hold one checkpoint. On a cluster (RAY_ADDRESS) other nodes do the work, and
only its GPUs are looked at.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import absolute, is_uri
from raydistill.pipelines.config.sections import EngineConfig, Train
from raydistill.pipelines.doctor.findings import in_bytes
from raydistill.pipelines.doctor.memory import STATE, parameters, total_bytes
from raydistill.pipelines.models import base_model
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.pools import connect, has_gpus

CHECKPOINT = 3 * 4 + 4  # bytes per trained parameter: weights and two moments, and the student beside them


def check_machine(config: Run) -> None:
    """Raise UsageError where this machine, or the cluster, can never do what the configuration asks of it."""
    train = config.train
    if train and train.gpus_per_worker and not _gpus(config):
        raise UsageError(
            f"train.gpus_per_worker is {train.gpus_per_worker:g}, and there is no GPU {_where()}: set it to 0 to train "
            "on the CPU, or join a cluster that has one (RAY_ADDRESS; docs/cluster.md)"
        )
    if os.environ.get("RAY_ADDRESS"):
        return
    for teacher in config.asked:
        if teacher.engine == "vllm":
            _check_engine("teacher", teacher)
    if train:
        _check_engine("student", base_model(config))
        _check_training(train)
        _check_disk(absolute(config.run_dir), train)


def _gpus(config: Run) -> bool:
    if os.environ.get("RAY_ADDRESS"):
        connect(config.cpus)
        return has_gpus()
    import torch

    return torch.cuda.device_count() > 0


def _where() -> str:
    return f"in the cluster at {os.environ['RAY_ADDRESS']}" if os.environ.get("RAY_ADDRESS") else "on this machine"


def _check_engine(setting: str, model: EngineConfig) -> None:
    """An engine's weights and cache, where it has no GPU: half precision at least, one replica."""
    import torch

    if torch.cuda.device_count():
        return
    wanted = 2 * (parameters(model.model) or 0) + model.kv_cache_gb * 2**30
    if wanted > (total := total_bytes()):
        raise UsageError(
            f"{setting}: weights and kv_cache_gb want {in_bytes(wanted)} of memory, and this machine has "
            f"{in_bytes(total)}: lower {setting}.kv_cache_gb, or take a smaller model (docs/doctor.md)"
        )


def _check_training(train: Train) -> None:
    if train.gpus_per_worker:
        return
    wanted = (4 if train.lora else STATE) * (parameters(train.student) or 0)
    if wanted > (total := total_bytes()):
        raise UsageError(
            f"train: weights, gradients and AdamW of {train.student} want {in_bytes(wanted)} of memory, and this "
            f"machine has {in_bytes(total)}: take a smaller train.student, or set train.lora (docs/doctor.md)"
        )


def _check_disk(root: str, train: Train) -> None:
    if is_uri(root) or train.lora:
        return
    folder = next(path for path in (Path(root), *Path(root).parents) if path.is_dir())
    wanted, free = CHECKPOINT * (parameters(train.student) or 0), shutil.disk_usage(folder).free
    if wanted > free:
        raise UsageError(
            f"run_dir {root}: a checkpoint and the student want {in_bytes(wanted)}, and {in_bytes(free)} are free: "
            "make room, or choose another folder with --run-dir (docs/doctor.md)"
        )
