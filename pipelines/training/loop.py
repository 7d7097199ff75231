"""What each training worker runs: an ordinary PyTorch loop; four comments mark the lines that are Ray's.

The loop knows no recipe and no loss: what is learned from a row, how strongly, and from which rows together, the row's
columns say to the terms of the loss (`losses/base.py`).
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import TrainingError
from raydistill.pipelines.config.sections import Train
from raydistill.pipelines.training.attention import attend_in_float32
from raydistill.pipelines.training.batches import (
    collate,
    micro_batches,
    plan,
    rows_of,
    shard_for_rank,
    split_by_question,
)
from raydistill.pipelines.training.checkpoints import Progress, name_of, restore_state, save_state
from raydistill.pipelines.training.log import TrainLog
from raydistill.pipelines.training.losses.base import Means, means_of
from raydistill.pipelines.training.losses.forward import term_sums
from raydistill.pipelines.training.losses.table import active_terms, pairing_term
from raydistill.pipelines.training.student import distribute, export_student, gradients_kept_local, load_student, unwrap
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn
    from torch.optim import Optimizer


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """All a worker is told; paths are absolute or URIs, since workers start in a folder of their own."""

    config: Train
    tokens: str  # the Parquet file of tokens
    tensorboard: str  # folder of the event files
    stop_id: int
    adapter: str | None = None  # of an earlier student, which training goes on from
    board: Any = None  # handle of a `log.ProgressBoard` actor, if anybody watches


def train_loop(settings: dict[str, Any]) -> dict[str, Any]:
    """Train until the plan ends or validation stops improving.

    Returns `Progress` as JSON; ``{"error": line}`` where going on or trying again would be of no use.
    """
    import ray.train
    import torch

    job: TrainingJob = settings["job"]
    torch.set_num_threads(threads(job.config))

    # [1] Ray: which worker am I, and what did this run, an earlier life of it or another size of it, leave?
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    checkpoint = ray.train.get_checkpoint()

    with checkpoint.as_directory() if checkpoint else nullcontext() as folder:
        model = load_student(job.config, f"{folder}/model" if folder else None, job.stop_id, job.adapter)
        # [2] Ray: the model goes to this worker's device and is wrapped for data-parallel training
        model = distribute(model, job.config.strategy)
        optimizer = make_optimizer(model, job.config)
        progress = restore_state(Path(folder), model, optimizer) if folder else Progress()

    trainer = Trainer(job.config, model, optimizer, TokenTable(job.tokens), rank, world)
    tokenizer = load_tokenizer(job.config.student, job.config.revision)
    log = TrainLog(job.tensorboard, job.board, progress, len(trainer.plan)) if rank == 0 else None
    try:
        while not progress.finished:
            if not trainer.advance(progress, log):
                continue
            with tempfile.TemporaryDirectory() as scratch:
                export_student(model, tokenizer, f"{scratch}/model", write=rank == 0)
                save_state(Path(scratch), model, optimizer, progress, write=rank == 0)
                # [3] Ray: all workers meet here; one uploads, the controller keeps the latest and the best
                ray.train.report(
                    {"step": progress.step, "score": progress.score},
                    checkpoint=ray.train.Checkpoint.from_directory(scratch) if rank == 0 else None,
                    checkpoint_dir_name=name_of(progress.step),
                )
            if log:
                log.publish()
    except TrainingError as error:
        return {"error": str(error)}
    # [4] Ray: what worker 0 returns is the result of `TorchTrainer.fit` in the driver
    return progress.to_json()


def threads(config: Train) -> int:
    """Threads of this worker: as configured, else its CPUs rounded up, at least all cores for a lone CPU worker."""
    if config.threads_per_worker:
        return config.threads_per_worker
    lone = config.workers == 1 and not config.gpus_per_worker
    return max(math.ceil(config.cpus_per_worker), (os.cpu_count() or 1) if lone else 1)


def make_optimizer(model: nn.Module, config: Train) -> Optimizer:
    """AdamW over the trainable parameters."""
    import torch

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        trainable, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay, fused=True
    )


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether matrix products run in bfloat16; `auto` does where the hardware has instructions for it."""
    import torch

    if precision == "auto" and device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        cpuinfo = Path("/proc/cpuinfo")
        return cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text()
    return precision == "bfloat16"


def learning_rate(config: Train, step: int, steps: int) -> float:
    """The rate of optimiser step `step` of `steps` (counted from 0): linear warm-up, then the schedule down to 0."""
    warmup = math.ceil(config.warmup_ratio * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    factor = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return config.learning_rate * factor[config.schedule]


class Trainer:
    """Takes the steps of the plan with this worker's share of each; all workers call the same methods in step."""

    def __init__(
        self, config: Train, model: nn.Module, optimizer: Optimizer, table: TokenTable, rank: int, world: int
    ) -> None:
        self.config, self.model, self.optimizer, self.table = config, model, optimizer, table
        self.rank, self.world = rank, world
        self.lengths, self.terms = table.lengths, active_terms(table)
        draw = pairing_term(self.terms).units
        self.output_layer = unwrap(model).get_output_embeddings()
        self.device = self.output_layer.weight.device
        self.bfloat16 = uses_bfloat16(config.precision, self.device)
        if self.bfloat16 and self.device.type == "cpu":
            attend_in_float32(unwrap(model))
        rows, held_out = split_by_question(table.question_ids, config.validation_fraction, config.seed)
        size = {"epochs": config.epochs, "batch_tokens": config.batch_tokens}
        self.plan = plan(self.lengths, rows, draw, **size, seed=config.seed)
        self.held_out = draw(held_out, None)
        workers = config.workers if isinstance(config.workers, int) else config.workers[1]
        self.budget = min(config.micro_batch_tokens, -(-config.batch_tokens // workers))

    def advance(self, progress: Progress, log: TrainLog | None) -> bool:
        """Take one step and what is due after it; returns whether a checkpoint is due.

        A checkpoint is due at every `save_steps`, at every new best validation loss and at the end, and is always
        validated, so that the best one is among those kept.
        """
        config, rate = self.config, learning_rate(self.config, progress.step, len(self.plan))
        norm, means = self.step(progress, rate)
        if log:
            log.step(progress, means, learning_rate=rate, grad_norm=norm)
        progress.finished = progress.step == len(self.plan)
        save = progress.finished or progress.step % config.save_steps == 0
        if len(self.held_out) and (save or progress.step % config.eval_steps == 0):
            means = self.validate()
            save |= progress.add_validation(means.loss)
            note(progress, means, validation=True)
            if config.early_stopping_patience is not None and progress.stale >= config.early_stopping_patience:
                progress.finished = save = True
            if log:
                log.validation(progress, means)
        if log and progress.finished:
            log.send(progress)
        return save

    def step(self, progress: Progress, rate: float) -> tuple[float, Means]:
        """One optimiser step; returns the gradient's norm before clipping, and the step's means."""
        start, units = time.perf_counter(), self.plan[progress.step]
        counts = [term.count(units) for term in self.terms]
        total = self.accumulate(units, counts, progress.step)
        norm = self.update(rate)
        means = means_of(self.terms, counts, self.sum_over_workers(total))
        progress.losses.append(means.loss)
        progress.step += 1
        note(progress, means)
        progress.tokens += int(self.lengths[rows_of(units)].sum())
        progress.train_s += time.perf_counter() - start
        if not math.isfinite(means.loss):
            raise TrainingError(f"the loss is {means.loss} at step {progress.step}: lower learning_rate")
        return norm, means

    def accumulate(self, units: np.ndarray, counts: Sequence[int], step: int) -> torch.Tensor:
        """Add up the gradients over this worker's share of `units`; returns its share of the terms' means, in a row.

        Each micro-batch adds, for every term, its sum over the term's count in the whole step; DDP and FSDP average
        gradients over workers, hence the factor `world`. Random numbers are seeded by step and micro-batch, not by
        worker.
        """
        import torch

        pieces = shard_for_rank(micro_batches(units, self.lengths, self.budget), self.rank, self.world)
        total = torch.zeros((), device=self.device)
        for place, (number, piece) in enumerate(pieces):
            torch.manual_seed(hash((self.config.seed, step, number)) & (2**63 - 1))
            with gradients_kept_local(self.model, place < len(pieces) - 1):
                means = [sums / max(1, count) for sums, count in zip(self.sums(piece), counts, strict=True)]
                (torch.stack([term[0] for term in means]).sum() * self.world).backward()
            total = total + torch.cat(means).detach()
        return total

    def sums(self, piece: np.ndarray) -> list[torch.Tensor]:
        """The sums of each term over one micro-batch, in the configured precision; see `term_sums`."""
        import torch

        batch = collate(self.table, piece, self.terms).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return term_sums(self.model, self.output_layer, batch, self.terms)

    def update(self, rate: float) -> float:
        """Clip the accumulated gradients by their global norm, apply them at `rate`, and clear them."""
        import torch
        from torch.distributed.tensor import DTensor

        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def validate(self) -> Means:
        """The means over all rows of the held-out questions."""
        import torch

        pieces = micro_batches(self.held_out, self.lengths, self.config.micro_batch_tokens)
        self.model.eval()
        with torch.no_grad():
            shares = shard_for_rank(pieces, self.rank, self.world)
            parts = torch.stack([torch.cat(self.sums(piece)) for _, piece in shares], dim=1)
        self.model.train()
        sums = self.sum_over_workers(torch.stack([column.sum() for column in parts]))
        counts = [term.count(self.held_out) for term in self.terms]
        sizes = [max(1, count) for term, count in zip(self.terms, counts, strict=True) for _ in (0, *term.measures)]
        return means_of(self.terms, counts, [total / size for total, size in zip(sums, sizes, strict=True)])

    def sum_over_workers(self, values: torch.Tensor) -> list[float]:
        """The sums of `values` [n] over all workers, the same on each."""
        import torch.distributed as dist

        if self.world > 1:
            dist.all_reduce(values)
        return values.tolist()


def note(progress: Progress, means: Means, *, validation: bool = False) -> None:
    """Record what the further terms of the loss measured beside the first one's mean."""
    for term in means.counted:
        progress.add_measures(term.name, [means.first.loss, *term.measures.values()], validation=validation)
