"""Connecting to Ray, and the pools that a run's configuration asks for."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from raydistill.actors.engine.engine import CACHE_VARIABLE, Engine, EngineSettings, cache_arguments
from raydistill.actors.engine.recorded import RecordedEngine
from raydistill.actors.engine.remote.engine import RemoteEngine
from raydistill.actors.errors import RaydistillError, UsageError
from raydistill.actors.executor import Limits, PooledExecutor
from raydistill.actors.pool import Pool, PoolSettings
from raydistill.actors.rows import COMPRESSED, SUFFIXES
from raydistill.actors.storage import local_path
from raydistill.actors.telemetry import decline, declined
from raydistill.pipelines.config import sections as settings
from raydistill.pipelines.config.files import expand
from raydistill.pipelines.runtime.endpoints import endpoint_settings

EXECUTOR_CALLS_IN_FLIGHT = 1024  # they take turns in the executor; in Serve's queue they would wait for each other
EXECUTOR_BUSY_CALLS = 2
CONNECT_TIMEOUT_S = 4.0  # twice: for a socket to open, and for a cluster to answer on it


def connect(cpus: int | None = None) -> None:
    """Join the cluster that RAY_ADDRESS names, or start Ray on this machine.

    A Ray started here gets at least 4 logical CPUs: the pools reserve shares of cores, not cores.
    Raises UsageError where RAY_ADDRESS names no cluster that answers, RaydistillError if Ray does not start.
    """
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # Serve's threads outlive a shutdown, and would start a Ray
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    decline()
    if ray.is_initialized():
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address := os.environ.get("RAY_ADDRESS"):
        check_reachable()
        try:
            ray.init(**quiet)
        except ConnectionError as error:
            raise UsageError(_unreachable(address, str(error).partition(". ")[0])) from None
    else:
        _start(cpus or max(4, os.cpu_count() or 1), quiet)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # a stage's error keeps its type
    for name in ("ray.data", "ray.serve", "ray.train"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("ray.serve").addFilter(_while_ray_is_there)


def _while_ray_is_there(record: logging.LogRecord) -> bool:
    """Threads of Serve's handles outlive Ray, and would tell of it again and again."""
    import ray

    return bool(ray.is_initialized())


def _start(cpus: int, quiet: dict[str, Any]) -> None:
    """Start Ray on this machine. Raises RaydistillError if it does not come up: Ray waits for itself 30 s at most."""
    import ray

    _apart()
    os.environ.setdefault("RAY_worker_niceness", "0")  # else 15: behind all else here, Ray's own processes, too
    try:
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    except Exception as error:  # Ray has no type of its own for this
        reason = str(error).partition(". ")[0]
        raise RaydistillError(
            f"Ray did not start on this machine ({reason}). Nothing is lost: if the machine is busy, run the same "
            "command again when it is less so"
        ) from error


def _apart() -> None:
    """Give Ray's processes process groups of their own, which go when this process does, as before.

    A shell's `kill %1` and `timeout` signal the whole group of a command. It ends in order only while its Ray is there,
    which it ends itself.
    """
    from ray._private import services  # Ray 2.60 has no public way to say so

    services.ConsolePopen = partial(subprocess.Popen, process_group=0)  # type: ignore[assignment, misc]


def this_node() -> dict[str, str]:
    """The label that only the driver's node has."""
    import ray

    return {"ray.io/node-id": ray.get_runtime_context().get_node_id()}


def run_on_driver_node(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a call in another process of this node, so that its memory is not the driver's."""
    import ray

    return ray.get(ray.remote(function).options(num_cpus=0, label_selector=this_node()).remote(*arguments))


def check_reachable() -> None:
    """Raise UsageError unless a cluster answers where RAY_ADDRESS says one is; Ray itself would try for minutes."""
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):  # "auto" and "local" are Ray's to find
        return
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise UsageError(_unreachable(address, str(error))) from None
    if os.environ.get("RAY_USE_TLS", "0") == "0" and not _speaks_grpc(f"{host}:{port}"):
        raise UsageError(_unreachable(address, f"what listens there says nothing within {CONNECT_TIMEOUT_S:g} s"))


def _speaks_grpc(address: str) -> bool:
    import grpc

    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(CONNECT_TIMEOUT_S)
        except grpc.FutureTimeoutError:
            return False
    return True


def _unreachable(address: str, reason: str) -> str:
    return (
        f"RAY_ADDRESS={address}: no cluster answers there ({reason}); start it, or unset RAY_ADDRESS to run on "
        "this machine"
    )


def recording(config: settings.EngineConfig) -> tuple[list[str], str, str, str]:
    """Where recorded answers lie, and their columns: what a `RecordedEngine` is made with."""
    columns = config.question_column, config.completion_column, config.finish_reason_column
    if not config.recording:
        return [local_path(expand(config.model))], *columns
    return [file for path in config.recording for file in _data_files(local_path(expand(path)))], *columns


def _data_files(path: str) -> list[str]:
    """The files of rows in a folder, whatever they are called; a file is its own."""
    if not Path(path).is_dir():
        return [path]
    kinds = tuple(f"{kind}{packed}" for kind in SUFFIXES for packed in ("", *COMPRESSED))
    return sorted(str(file) for file in Path(path).iterdir() if file.name.endswith(kinds))


def engine_pool(name: str, config: settings.EngineConfig, ledger: str) -> Pool:
    """The pool of engines of `config`, not yet started."""
    if config.engine != "vllm":
        member: tuple[Callable[..., Any], tuple[Any, ...]] = (RecordedEngine, recording(config))
        if config.engine == "openai":
            member = RemoteEngine, (endpoint_settings(config, ledger),)
        return Pool(
            PoolSettings(
                name,
                *member,
                replicas=config.replicas,
                cpus=0.1,
                node_labels=config.node_labels,
                calls_in_flight=2 * config.max_num_seqs,
                health_check_timeout_s=config.health_timeout_s,
            )
        )
    return Pool(
        PoolSettings(
            name,
            Engine,
            (engine_settings(config, ledger),),
            replicas=config.replicas,
            cpus=config.cpus,
            gpus=config.tensor_parallel_size if has_gpus() else 0,
            node_labels=config.node_labels,
            calls_in_flight=2 * config.max_num_seqs,
            health_check_timeout_s=config.health_timeout_s,
            environment=engine_environment(config),
        )
    )


def engine_settings(config: settings.EngineConfig, ledger: str | None) -> EngineSettings:
    """What one engine of `config` is started with; what it spends is noted in the folder `ledger`."""
    return EngineSettings(
        model=local_path(config.model),
        revision=config.revision,
        dtype=config.dtype,
        max_model_len=config.max_model_len,
        tensor_parallel_size=config.tensor_parallel_size,
        gpu_memory_utilization=config.gpu_memory_utilization,
        max_num_seqs=config.max_num_seqs,
        reasoning_parser=config.reasoning_parser,
        max_lora_rank=config.max_lora_rank,
        kv_cache_gb=config.kv_cache_gb,
        ledger=ledger,
        options=config.options,
    )


def has_gpus() -> bool:
    """Whether the cluster has GPUs, or can start nodes that have some."""
    import ray
    from ray._private.state import state

    could_have = state.get_max_resources_from_cluster_config() or {}
    return ray.cluster_resources().get("GPU", 0) > 0 or could_have.get("GPU", 0) > 0


def engine_environment(config: settings.EngineConfig) -> dict[str, str]:
    """Variables of an engine's process. Threads beyond the reserved cores cost small models a factor of ten on CPUs."""
    environment = declined() | {
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(max(1, int(config.cpus))),
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    if not cache_arguments(config.kv_cache_gb):
        environment[CACHE_VARIABLE] = f"{config.kv_cache_gb:.0f}"
    if Path(config.model).is_dir():
        environment["HF_HUB_OFFLINE"] = "1"
    return environment


def executor_pool(name: str, config: settings.Execution) -> Pool:
    """The pool of sandboxed executors, not yet started."""
    limits = Limits(cpu_s=config.cpu_s, wall_s=config.wall_s, memory_mb=config.memory_mb)
    return Pool(
        PoolSettings(
            name,
            PooledExecutor,
            (limits, config.minimum_grade, max(1, int(config.cpus))),
            replicas=config.replicas,
            cpus=config.cpus,
            node_labels=config.node_labels,
            calls_in_flight=EXECUTOR_CALLS_IN_FLIGHT,
            busy_calls=EXECUTOR_BUSY_CALLS,
        )
    )


def has_room(config: settings.Train, engines: settings.EngineConfig | None, executors: settings.Execution) -> bool:
    """Whether training's workers find CPUs and GPUs that no actor has reserved.

    With `engines`, beside the first of these and of the executors, which are yet to start.
    """
    import ray

    workers = config.workers if isinstance(config.workers, int) else config.workers[1]
    cpus, gpus = workers * config.cpus_per_worker, workers * config.gpus_per_worker
    if engines:
        cpus += engines.cpus * engines.replicas[0] + executors.cpus * executors.replicas[0]
        gpus += engines.tensor_parallel_size * engines.replicas[0] if has_gpus() else 0
    free = ray.available_resources()
    return free.get("CPU", 0.0) >= cpus and free.get("GPU", 0.0) >= gpus
