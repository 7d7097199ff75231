"""The README.md of a trained student: what it is, what it was trained on and how, and nothing more."""

from __future__ import annotations

import os

from raydistill.pipelines.config.sections import Train
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.tokens import Counts


def model_card(config: Train, counts: Counts, progress: Progress) -> str:
    """Markdown with the front matter that model hubs read."""
    kind = "full fine-tuning"
    if config.lora:
        kind = f"LoRA adapter, rank {config.lora.rank}, alpha {config.lora.alpha:g}"
    warmup = f", {config.warmup_ratio:.0%} warm-up" if config.warmup_ratio else ""
    stop = f" (early stopping, patience {config.early_stopping_patience})" if config.early_stopping_patience else ""
    rows = {
        "Base model": config.student + (f" @ {config.revision}" if config.revision else ""),
        "Method": kind,
        "Examples": f"{counts.kept} ({counts.too_long} longer than {config.max_length} tokens dropped)",
        "Tokens in them": f"{counts.tokens}, of which {counts.trained} trained",
        "Optimiser": f"AdamW, betas {config.betas[0]:g} and {config.betas[1]:g}, weight decay {config.weight_decay:g}",
        "Learning rate": f"{config.learning_rate:g}, {config.schedule}{warmup}",
        "Batch": f"{config.batch_tokens} tokens per optimiser step",
        "Precision": config.precision,
        "Seed": str(config.seed),
        "Steps": f"{progress.step} in at most {config.epochs} epochs{stop}; these weights are from step "
        f"{progress.student_step}",
        "Training loss": f"{progress.losses[-1]:.4f} at the last step",
        "Validation loss": "not measured"
        if progress.best_loss is None
        else f"{progress.best_loss:.4f} on {config.validation_fraction:.0%} of the questions, held out",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    base = "" if os.path.isdir(config.student) else f"base_model: {config.student}\n"
    return (
        f"---\n{base}tags: [distillation, reasoning, raydistill]\n---\n\n# Distilled student\n\n"
        f"Fine-tuned with raydistill.\n\n| | |\n|---|---|\n{table}\n"
    )
