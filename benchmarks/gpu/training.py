"""Tokens per second of the product's own training steps, what of the device they use, and the CPU's losses beside."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.training.trainer import WARM_UP, counted_tokens, make_job, make_trainer, rate_plain
from raydistill.pipelines.config.sections import Lora
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.batches import rows_of
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import Trainer, TrainingJob
from raydistill.pipelines.training.student import unwrap

PEAKS = {  # TFLOP/s of dense products in bfloat16, as data sheets have them
    "H200": 989,
    "H100 PCIe": 756,
    "H100": 989,
    "A100": 312,
    "L40S": 362,
    "L4": 121,
    "RTX 4090": 165,
}
CURVE_RATE = 1e-4  # of learning: large enough that a step changes the next loss


def with_config(job: TrainingJob, **changes: Any) -> TrainingJob:
    return replace(job, config=job.config.model_copy(update=changes))


def speed(options: argparse.Namespace, folder: str, examples: Sequence[Example]) -> dict[str, Any]:
    """Tokens/s of counted steps, and the share of the device's peak that their arithmetic is."""
    lora = Lora(rank=options.lora) if options.lora else None
    job = with_config(make_job(options, folder, examples), lora=lora)
    trainer = make_trainer(job, options.device)
    trainer.plan = trainer.plan[: WARM_UP + options.steps]
    on_gpu = trainer.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    rate, tokens = rate_plain(trainer), counted_tokens(trainer)
    used = rate / tokens * sum(step_flops(trainer, units) for units in trainer.plan[WARM_UP:]) / 1e12
    product = matrix_product(trainer.device, torch.bfloat16 if trainer.bfloat16 else torch.float32)
    known = peak_of(torch.cuda.get_device_name(trainer.device)) if on_gpu and trainer.bfloat16 else None
    return {
        "parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "precision": "bfloat16" if trainer.bfloat16 else "float32",
        "lora": options.lora,
        "steps": options.steps,
        "tokens_per_step": round(tokens / len(trainer.plan[WARM_UP:])),
        "tokens_per_s": round(rate, 1),
        "tflops": round(used, 3),
        "peak_tflops": known,
        "product_tflops": round(product, 3),
        "utilisation": round(used / (known or product), 4),
        "memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if on_gpu else None,
    }


def step_flops(trainer: Trainer, units: np.ndarray) -> float:
    """The arithmetic of a step without padding and without what is calculated twice.

    Per token 6 operations for each weight that is trained and 4 for each that is not, none for looking embeddings up;
    the output layer sees trained positions alone; attention is over the tokens before, half of the square.
    """
    model, lengths = unwrap(trainer.model), trainer.lengths[rows_of(units)].astype(float)
    config = model.config.get_text_config()
    outer = {
        id(weight) for layer in (model.get_input_embeddings(), trainer.output_layer) for weight in layer.parameters()
    }
    inner = sum(_per_token(weight) for weight in model.parameters() if id(weight) not in outer)
    output = sum(map(_per_token, trainer.output_layer.parameters()))
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    squares = 6 * config.num_hidden_layers * config.num_attention_heads * width * float((lengths**2).sum())
    return inner * float(lengths.sum()) + output * sum(term.count(units) for term in trainer.terms) + squares


def _per_token(weight: torch.Tensor) -> int:
    return weight.numel() * (6 if weight.requires_grad else 4)


def peak_of(name: str) -> int | None:
    """The peak of ``NVIDIA H100 80GB HBM3``; None of what is not in the table."""
    return next((peak for known, peak in PEAKS.items() if re.search(rf"\b{known}\b", name)), None)


def matrix_product(device: torch.device, dtype: torch.dtype) -> float:
    """TFLOP/s of a large product of matrices."""
    size, times = (8192, 20) if device.type == "cuda" else (1024, 4)
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def multiply(count: int) -> float:
        started = time.perf_counter()
        for _ in range(count):
            product = left @ right
        product[0, 0].item()  # waits for the device
        return time.perf_counter() - started

    multiply(2)
    return 2 * size**3 * times / multiply(times) / 1e12


def curve(options: argparse.Namespace, folder: str, examples: Sequence[Example]) -> dict[str, Any]:
    """The losses of the same few steps in float32 on the CPU and on the device."""
    job = with_config(
        make_job(options, folder, examples),
        precision="float32",
        batch_tokens=options.curve_tokens,
        micro_batch_tokens=options.curve_tokens,
        epochs=1,
    )
    losses = [losses_on(job, device, options.curve_steps) for device in ("cpu", options.device)]
    differences = [abs(ours / cpu - 1) for cpu, ours in zip(*losses, strict=True)]
    return {
        "cpu": [round(loss, 6) for loss in losses[0]],
        "device": [round(loss, 6) for loss in losses[1]],
        "largest_relative_difference": max(differences),
    }


def losses_on(job: TrainingJob, device: str, steps: int) -> list[float]:
    trainer, progress = make_trainer(job, device), Progress()
    for _ in trainer.plan[:steps]:
        trainer.step(progress, CURVE_RATE)
    return progress.losses
