"""What a run wants of a machine or a cluster, beside what is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raydistill.actors.storage import is_uri
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.models import base_model
from raydistill.pipelines.planning.estimate import Estimate
from raydistill.pipelines.run_config import Run

WEIGHTS = (".safetensors", ".bin")
BYTES_PER_SAMPLE = 3_000  # of a completion, its verdict and its notes, compressed
BYTES_PER_TOKEN = 2.5
COPIES = 5  # of a student: checkpoints (the last and the best), with the optimiser's two moments, and its own folders


@dataclass(frozen=True, slots=True)
class Resources:
    """CPUs and GPUs that the stages reserve at most at a time, memory of engines, disk; None where nobody can tell."""

    cpus_wanted: float
    cpus_there: float
    gpus_wanted: float
    gpus_there: float
    memory_wanted: float | None  # bytes, on one machine without a GPU
    memory_there: float | None
    disk_wanted: float
    disk_there: float | None
    where: str

    @property
    def lacking(self) -> list[str]:
        """What is there less of than wanted, by name."""
        pairs = {
            "CPUs": (self.cpus_wanted, self.cpus_there),
            "GPUs": (self.gpus_wanted, self.gpus_there),
            "memory": (self.memory_wanted, self.memory_there),
            "disk": (self.disk_wanted, self.disk_there),
        }
        return [name for name, (want, have) in pairs.items() if want is not None and have is not None and want > have]


def resources(config: Run, estimates: Sequence[Estimate]) -> Resources:
    """Of the cluster that RAY_ADDRESS names, which is joined for that, or of this machine."""
    where, cpus, gpus = _there(config)
    student = base_model(config) if config.train else None
    train = config.train
    workers = (train.workers if isinstance(train.workers, int) else train.workers[0]) if train else 0
    asked = [config.teacher, *([student] if student else [])]
    most = max(_engine_cpus(model) for model in asked) + config.execution.replicas[0] * config.execution.cpus
    engine_gpus = max(model.tensor_parallel_size * model.replicas[0] * (model.engine == "vllm") for model in asked)
    trained_gpus = workers * train.gpus_per_worker if train else 0
    has_gpu = gpus > 0
    memory = max((_engine_memory(model) for model in asked), default=None) if not has_gpu else None
    samples = sum(one.samples.expected for one in estimates)
    tokens = sum(one.generated.expected if one.generated else one.most_generated for one in estimates)
    weights = weight_bytes(student.model) if student else None
    return Resources(
        cpus_wanted=max(most, workers * train.cpus_per_worker if train else 0),
        cpus_there=cpus,
        gpus_wanted=max(engine_gpus if has_gpu else 0, trained_gpus),
        gpus_there=gpus,
        memory_wanted=memory,
        memory_there=None if os.environ.get("RAY_ADDRESS") else _free_memory(),
        disk_wanted=samples * BYTES_PER_SAMPLE + tokens * BYTES_PER_TOKEN + COPIES * (weights or 0),
        disk_there=None if is_uri(config.run_dir) else float(shutil.disk_usage(_existing(config.run_dir)).free),
        where=where,
    )


def _there(config: Run) -> tuple[str, float, float]:
    """Where the run will be, and the CPUs and GPUs there."""
    if address := os.environ.get("RAY_ADDRESS"):
        import ray

        from raydistill.pipelines.runtime.pools import connect

        connect(config.cpus)
        total = ray.cluster_resources()
        return f"the cluster at {address}", total.get("CPU", 0.0), total.get("GPU", 0.0)
    devices = Path("/proc/driver/nvidia/gpus")
    gpus = len(list(devices.iterdir())) if devices.is_dir() else 0
    cores = os.cpu_count() or 1
    return f"this machine ({cores} cores)", float(config.cpus or max(4, cores)), float(gpus)


def _engine_cpus(model: EngineConfig) -> float:
    return model.replicas[0] * (model.cpus if model.engine == "vllm" else 0.1)


def _engine_memory(model: EngineConfig) -> float:
    """Of engines without a GPU: weights, twice where they are read, and their cache."""
    if model.engine != "vllm":
        return 0.0
    return model.replicas[0] * (2 * (weight_bytes(model.model) or 0) + model.kv_cache_gb * 2**30)


def weight_bytes(model: str) -> int | None:
    """Bytes of a local model's weights; None of one on the hub."""
    folder = Path(model)
    if not folder.is_dir():
        return None
    return sum(file.stat().st_size for file in folder.iterdir() if file.suffix in WEIGHTS)


def _free_memory() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _existing(path: str) -> Path:
    """The nearest folder above `path` that is there."""
    return next(parent for parent in (Path(path).absolute(), *Path(path).absolute().parents) if parent.is_dir())
