"""Memory that engines and training will want, estimated, against what this machine has."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from raydistill.pipelines.config.sections import EngineConfig, Train
from raydistill.pipelines.doctor.checkup import Checkup
from raydistill.pipelines.doctor.findings import Finding, Findings, about, in_bytes, skipped
from raydistill.pipelines.models import base_model

PROCESS = int(1.2 * 2**30)  # libraries of an engine, or of a training worker, before any weights
TIGHT = 0.85
STATE = 16  # bytes per trained parameter: weights, gradients, two moments of AdamW in float32
PER_TOKEN = 34 * 4 // 2  # bytes of activations per token, layer and hidden unit in float32, after arXiv 2205.05198


def memory(checkup: Checkup) -> Findings:
    """Of the teacher's engines, the student's, and of training; each alone, since they make room for one another."""
    config = checkup.config
    models: list[tuple[str, EngineConfig]] = (
        [("teacher's engines", config.teacher)] if config.teacher.engine == "vllm" else []
    )
    if config.train:
        models.append(("student's engines", base_model(config)))
    for name, model in models:
        yield _engines(f"memory, {name}", model)
    if checkup.train:
        yield _training("memory, training", checkup.train)


def _engines(name: str, model: EngineConfig) -> Finding:
    ok, warn, fail = about(name)
    size = parameters(model.model)
    if size is None:
        return skipped(name, f"{model.model} is not on this machine: its size is not known")
    weights = size * (4 if model.dtype in ("float32", "auto") and not gpu_bytes() else 2)
    if total := gpu_bytes():
        wanted, room = weights / model.tensor_parallel_size + PROCESS, model.gpu_memory_utilization * total
        remedy = "raise teacher.tensor_parallel_size, or take a smaller or quantised model"
    else:
        wanted = model.replicas[1] * (weights + model.kv_cache_gb * 2**30 + PROCESS)
        room, remedy = free_bytes(), "lower replicas or kv_cache_gb, or take a smaller model"
    return _judged(name, wanted, room, remedy)


def _training(name: str, train: Train) -> Finding:
    if train.gpus_per_worker and not gpu_bytes() and not os.environ.get("RAY_ADDRESS"):
        said = f"train.gpus_per_worker is {train.gpus_per_worker:g}, and there is no GPU on this machine"
        return about(name)[2](said, "set it to 0, or join a cluster that has one (docs/cluster.md)")
    size, shape = parameters(train.student), _shape(train)
    if size is None or shape is None:
        return skipped(name, f"{train.student} is not on this machine: its size is not known")
    workers = train.workers if isinstance(train.workers, int) else train.workers[1]
    state = (4 if train.lora else STATE) * size / (workers if train.strategy == "fsdp" else 1)
    layers, hidden, vocabulary = shape
    kept = layers * hidden * (4 if train.gradient_checkpointing else PER_TOKEN) + 2 * 4 * vocabulary
    tokens = min(train.micro_batch_tokens, -(-train.batch_tokens // workers))  # of one forward pass
    wanted = state + tokens * kept + PROCESS
    remedy = "lower train.micro_batch_tokens, or set train.gradient_checkpointing=true, train.lora or more FSDP workers"
    if train.gpus_per_worker and (total := gpu_bytes()):
        return _judged(name, wanted, total, remedy)
    return _judged(name, wanted * workers, free_bytes(), remedy)


def _judged(name: str, wanted: float, room: float, remedy: str) -> Finding:
    ok, warn, fail = about(name)
    said = f"about {in_bytes(wanted)} wanted, {in_bytes(room)} there"
    if wanted > room:
        return fail(said, remedy)
    return ok(said) if wanted < TIGHT * room else warn(said, remedy)


def parameters(model: str) -> int | None:
    """Parameters of a model in safetensors on this machine (also as the hub's library keeps it), None of others."""
    from math import prod

    from safetensors import safe_open

    files = sorted(Path(model).glob("*.safetensors")) if Path(model).is_dir() else _downloaded(model)
    count = 0
    for file in files:
        with safe_open(file, "pt") as tensors:
            count += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return count or None


def _downloaded(model: str) -> list[Path]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return sorted(Path(snapshot_download(model, local_files_only=True)).glob("*.safetensors"))
    except (LocalEntryNotFoundError, HFValidationError):
        return []


def _shape(train: Train) -> tuple[int, int, int] | None:
    """Layers, hidden units and entries of the vocabulary."""
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(train.student, revision=train.revision).get_text_config()
        return config.num_hidden_layers, config.hidden_size, config.vocab_size
    except (OSError, ValueError, AttributeError):
        return None


def gpu_bytes() -> int:
    """Memory of this machine's first GPU; 0 without one."""
    import torch

    return torch.cuda.mem_get_info(0)[1] if torch.cuda.is_available() else 0


def free_bytes() -> int:
    """Memory that can be had on this machine now, within the limit of its control group."""
    used = Path("/sys/fs/cgroup/memory.current")
    return min([_meminfo("MemAvailable"), *(most - int(used.read_text()) for most in _group_limit())])


def total_bytes() -> int:
    """All memory of this machine, or of its control group."""
    return min([_meminfo("MemTotal"), *_group_limit()])


def _meminfo(name: str) -> int:
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(told[name].split()[0]) * 1024


def _group_limit() -> list[int]:
    """The limit of this process's control group, if it has one."""
    limit = Path("/sys/fs/cgroup/memory.max")
    return [int(most)] if limit.is_file() and (most := limit.read_text().strip()).isdigit() else []
