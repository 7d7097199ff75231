"""Running the training loop on a Ray cluster: room for the workers, Ray Train's trainer, progress, errors."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil

from raydistill.actors.errors import RaydistillError, TrainingError
from raydistill.pipelines.config.sections import Train
from raydistill.pipelines.runtime.pools import connect, this_node
from raydistill.pipelines.training.checkpoints import FOLDER, keep_list
from raydistill.pipelines.training.log import MESSAGE_S, ProgressBoard
from raydistill.pipelines.training.loop import TrainingJob, train_loop

if TYPE_CHECKING:
    from ray.train import UserCallback
    from ray.train.v2.torch.torch_trainer import TorchTrainer

MAX_FAILURES = 3  # lost workers or nodes, before training gives up
START_FAILURES = 3  # times that a group of workers may fail to start
NO_MEMORY = (
    "lower train.micro_batch_tokens, set train.gradient_checkpointing=true or train.lora, or end what runs beside it; "
    "the same command goes on from the last checkpoint"
)
LOOK_S = 0.5  # that the machine is watched before training
IDLE_CORES = 0.5  # below which it is idle: engines that wait, Ray and Ray Serve take 0.1 to 0.2
RESIZE_CHECK_S = 60.0  # seconds between two looks for room for more elastic workers


def fit(job: TrainingJob, output_dir: str, on_progress: Callable[[dict[str, Any]], None] | None) -> dict[str, Any]:
    """Run `train_loop` on Ray Train's workers, resuming from `output_dir`; returns what worker 0 returns.

    Raises TrainingError in one line if there is no room for the workers in time, or if they fail for good.
    """
    import ray
    from ray.train import TrainingFailedError

    connect()
    environment = worker_environment(job.config)
    workers = reserve(job.config)
    board: Any = _board() if on_progress else None
    trainer = make_trainer(replace(job, board=board), output_dir, workers, environment)
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["value"] = trainer.fit().return_value  # type: ignore[attr-defined]
        except BaseException as error:
            outcome["error"] = error

    # In a thread, because in the main thread Ray Train takes over Ctrl-C for good and turns it into exit code 0.
    thread = threading.Thread(target=run, name="ray-train", daemon=True)
    thread.start()
    told: dict[str, Any] = {}
    while thread.is_alive():
        thread.join(MESSAGE_S)
        if on_progress and (message := ray.get(board.get.remote())) != told:
            on_progress(told := message)
    error = outcome.get("error")
    if isinstance(error, TrainingFailedError):
        raise TrainingError(f"training failed: {why_it_failed(error)}") from error
    if error:
        raise error
    return outcome["value"]


def _board() -> Any:
    """A ProgressBoard on the driver's own node: another one may be lost."""
    import ray

    return ray.remote(ProgressBoard).options(num_cpus=0, label_selector=this_node()).remote()


def keep_freed_memory() -> dict[str, str]:
    """Variables by which glibc keeps what was freed; other C libraries ignore them.

    It gives the memory of each operation back, and takes it again page by page in the next one; the more so in other
    threads than the first, and Ray Train runs the loop in one. Kept, training is an eighth faster (docs/decisions.md).
    """
    name, version = platform.libc_ver()
    # Before 2.35 a threshold above 32 MiB counts as none.
    is_new = name == "glibc" and [int(part) for part in version.split(".")[:2]] >= [2, 35]
    return {
        "MALLOC_MMAP_THRESHOLD_": str(1 << (30 if is_new else 25)),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
        "MALLOC_TOP_PAD_": str(1 << 26),
    }


def worker_environment(config: Train) -> dict[str, str]:
    """Variables of the workers' processes; an OMP_WAIT_POLICY of this process is theirs, too.

    Without one, threads spin where training is the only thing that runs: a lone worker, on one node, which is idle.
    Engines of the run may hold cores meanwhile, but have nothing to do.
    """
    import ray

    # Spinning is up to a sixth faster, and costs 6 times the CPU time where cores are shared (2 threads, load 7).
    is_alone = config.workers == 1 and len(ray.nodes()) == 1 and busy_cores() < IDLE_CORES
    policy = os.environ.get("OMP_WAIT_POLICY", "" if is_alone else "passive")
    return keep_freed_memory() | ({"OMP_WAIT_POLICY": policy} if policy else {})


def busy_cores() -> float:
    """Cores of this machine that anybody's processes use, over LOOK_S."""
    return psutil.cpu_percent(LOOK_S) / 100 * (psutil.cpu_count() or 1)


def make_trainer(
    job: TrainingJob, output_dir: str, workers: int | tuple[int, int], environment: Mapping[str, str]
) -> TorchTrainer:
    """The trainer of Ray Train; its checkpoints go to `output_dir`/checkpoints, from where it resumes."""
    from ray.train.v2.api.config import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig

    config = job.config
    return _trainer_class()(
        train_loop,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=config.gpus_per_worker > 0,
            resources_per_worker=_needs(config),
            label_selector=config.node_labels or None,
            elastic_resize_monitor_interval_s=RESIZE_CHECK_S,
        ),
        run_config=RunConfig(
            name=FOLDER,
            storage_path=output_dir,
            failure_config=FailureConfig(max_failures=MAX_FAILURES, controller_failure_limit=START_FAILURES),
            # That is: keep the best one; Ray Train always keeps the latest as well.
            checkpoint_config=CheckpointConfig(1, checkpoint_score_attribute="score", checkpoint_score_order="min"),
            callbacks=[_keep_list_callback(output_dir)],
            worker_runtime_env={"env_vars": dict(environment)},
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )


def _trainer_class() -> type[TorchTrainer]:
    """Ray Train's trainer; on a Ray that was started here, without its placement group cleaner.

    The cleaner asks Ray's dashboard whether the training controller lives. A Ray started here has no dashboard, and
    waiting for the cleaner ended every training 12 s late (Ray 2.60). There is nothing to clean: Ray ends with us.
    """
    from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
    from ray.train.v2.torch.torch_trainer import TorchTrainer

    if os.environ.get("RAY_ADDRESS"):
        return TorchTrainer

    class LocalTrainer(TorchTrainer):
        def _create_default_callbacks(self) -> list[Any]:
            callbacks = super()._create_default_callbacks()
            return [callback for callback in callbacks if not isinstance(callback, PlacementGroupCleanerCallback)]

    return LocalTrainer


def reserve(config: Train) -> int | tuple[int, int]:
    """Wait until the (fewest) workers fit on the cluster; returns the number of workers to ask Ray Train for.

    Ray Train itself would wait forever for CPUs that an actor holds. Its elastic policy also counts those CPUs as
    available, so the most is capped by what is free if anything is held; else it stays, for nodes yet to join.
    Raises TrainingError after `resource_timeout_s`.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    least, most = (config.workers, config.workers) if isinstance(config.workers, int) else config.workers
    needs = _needs(config)
    total, free, nodes = ray.cluster_resources(), ray.available_resources(), _free_of_total(config.node_labels)
    labels = [config.node_labels] * least if config.node_labels else None
    group = placement_group([dict(needs) for _ in range(least)], strategy="PACK", bundle_label_selector=labels)
    fitted = group.wait(config.resource_timeout_s)
    remove_placement_group(group)
    if not fitted:
        found = ", ".join(f"{free.get(name, 0):g} of {total.get(name, 0):g} {name} free" for name in needs)
        wanted = ", ".join([f"{amount:g} {name}" for name, amount in needs.items()] + _labelled(config.node_labels))
        raise TrainingError(
            f"no room for {least} training worker(s) of {wanted} within {config.resource_timeout_s:g} s ({found}): "
            "free resources, add nodes, or lower train.workers or train.cpus_per_worker"
        )
    if isinstance(config.workers, int):
        return config.workers
    if all(here.get(name, 0) >= there.get(name, 0) for here, there in nodes for name in needs):
        return least, most
    fitting = sum(min(int(here.get(name, 0) // amount) for name, amount in needs.items()) for here, _ in nodes)
    return least, max(least, min(most, fitting))


def _free_of_total(labels: Mapping[str, str]) -> list[tuple[dict[str, float], dict[str, float]]]:
    """Free resources and all resources of each node with these labels."""
    import ray
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()
    nodes = [node for node in ray.nodes() if node["Alive"] and labels.items() <= node["Labels"].items()]
    return [(free.get(node["NodeID"], {}), node["Resources"]) for node in nodes]


def _needs(config: Train) -> dict[str, float]:
    gpus = {"GPU": config.gpus_per_worker} if config.gpus_per_worker else {}
    return {"CPU": config.cpus_per_worker, **gpus}


def _labelled(labels: Mapping[str, str]) -> list[str]:
    return [f"a node labelled {name}={value}" for name, value in labels.items()]


def _keep_list_callback(output_dir: str) -> UserCallback:
    from ray.train import UserCallback

    class KeepList(UserCallback):
        def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
            if checkpoint is not None:
                keep_list(output_dir)

    return KeepList()


def why_it_failed(error: Exception) -> str:
    """One line that says why: the worker's own exception where there is one."""
    failures = getattr(error, "worker_failures", None) or {0: getattr(error, "controller_failure", error)}
    rank, cause = min(failures.items())
    cause = getattr(cause, "_base_exc", cause)
    if type(cause).__name__ == "OutOfMemoryError":  # Ray's or torch's, which tell in a paragraph how to set them up
        return f"worker {rank} found no memory left: {NO_MEMORY}"
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    where = "" if isinstance(cause, RaydistillError) else f"worker {rank}: {type(cause).__name__}: "
    return where + (lines[-1] if lines else "")
