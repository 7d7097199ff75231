"""Training of the demo models: seeded, resumable, on a CPU or a GPU.

    chunk of examples (seed, model, chunk number) --> sorted by length --> batches --> step --> checkpoint

A checkpoint holds weights, optimiser, step, counts and log, written to a temporary file and renamed:
``kill -9`` loses at most ``CHECKPOINT_STEPS`` steps and a chunk. A step's data depends on nothing but seed and
step, so that a resumed run sees what an uninterrupted one would have seen.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from demo import leakage, mixture
from demo.tokenizer import BOS_ID, EOS_ID, MAX_POSITIONS, PAD_ID, VOCABULARY_SIZE, encode_example

BATCHES_PER_CHUNK = 16
CHECKPOINT_STEPS = 200
LOG_STEPS = 50
WARMUP_STEPS = 100

# Matrix kernels are compiled per shape: few distinct shapes keep the compiler out of the steps.
WIDTH_MULTIPLE = 16
POSITIONS_MULTIPLE = 512


@dataclass(frozen=True)
class Recipe:
    """How one model is trained."""

    name: str
    steps: int
    learning_rate: float
    starts_from: str | None = None  # model whose weights it starts from; None: random
    batch_size: int = 32  # examples per step
    weight_decay: float = 0.05
    seed: int = 0


RECIPES = (
    Recipe("base-student", steps=2000, learning_rate=1.5e-3),
    Recipe("teacher", steps=2800, learning_rate=1.5e-3, starts_from="base-student"),
)


Row = tuple[list[int], list[int], float]
"""Token ids of an example's prompt, of its trained part, and the loss weight of the prompt."""


@dataclass
class Progress:
    """Where a training run stands; part of the checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    examples: dict[str, int] = field(default_factory=dict)  # per skill
    gsm_question_examples: int = 0  # examples that are about a gsm_symbolic question
    gsm_solution_examples: int = 0  # those, by demo.leakage, that show (part of) its solution
    log: list[dict[str, Any]] = field(default_factory=list)


def new_model(seed: int) -> Any:
    """A freshly initialised model: Llama architecture, 2.2 M parameters, tied embeddings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=MAX_POSITIONS,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        pad_token_id=PAD_ID,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def train(recipe: Recipe, tokenizer: Any, work: Path, device: str, precision: str) -> tuple[Any, Progress]:
    """Train one model from its last checkpoint (or from the start) to its last step."""
    import torch

    model = new_model(recipe.seed)
    if recipe.starts_from:
        start = torch.load(checkpoint_path(work, recipe.starts_from), weights_only=False)
        model.load_state_dict(start["model"])
    model.to(device).set_attn_implementation("eager")  # faster than sdpa at this width
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    progress = restore(checkpoint_path(work, recipe.name), model, optimizer)
    autocast = torch.autocast(device, torch.bfloat16) if precision == "bfloat16" else nullcontext()
    started, earlier = time.monotonic(), progress.seconds
    while progress.step < recipe.steps:
        for batch in chunk(recipe, tokenizer, progress):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(progress.step, recipe.steps)
            with autocast:
                loss = batch_loss(model, batch, device)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            progress.step += 1
            progress.tokens += sum(len(head) + len(tail) for head, tail, _ in batch)
            progress.seconds = earlier + time.monotonic() - started
            if progress.step % LOG_STEPS == 0:
                report(recipe, progress, loss.item())
        if progress.step % CHECKPOINT_STEPS < BATCHES_PER_CHUNK or progress.step >= recipe.steps:
            save(checkpoint_path(work, recipe.name), model, optimizer, progress)
    return model, progress


def chunk(recipe: Recipe, tokenizer: Any, progress: Progress) -> Iterator[list[Row]]:
    """The next batches, each of examples of similar lengths; counts their skills."""
    number = progress.step // BATCHES_PER_CHUNK
    rng = Random(f"{recipe.seed}/{recipe.name}/{number}")
    rows = []
    for _ in range(recipe.batch_size * BATCHES_PER_CHUNK):
        skill, example = mixture.draw(recipe.name, rng)
        progress.examples[skill] = progress.examples.get(skill, 0) + 1
        progress.gsm_question_examples += example.question is not None
        progress.gsm_solution_examples += leakage.leak(example) is not None
        rows.append((*encode_example(tokenizer, example.prompt, example.completion), example.prompt_weight))
    rows.sort(key=lambda row: len(row[0]) + len(row[1]))
    size = recipe.batch_size
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    rng.shuffle(batches)
    yield from batches


def batch_loss(model: Any, batch: list[Row], device: str) -> Any:
    """Weighted mean cross-entropy of a batch; logits are computed at the weighted positions only."""
    import torch

    longest = max(len(head) + len(tail) for head, tail, _ in batch)
    width = round_up(longest, WIDTH_MULTIPLE)
    ids = torch.full((len(batch), width), PAD_ID)
    weights = torch.zeros(len(batch), width)
    for row, (head, tail, prompt_weight) in enumerate(batch):
        end = len(head) + len(tail)
        ids[row, :end] = torch.tensor(head + tail)
        weights[row, : len(head)] = prompt_weight
        weights[row, len(head) : end] = 1.0
    targets, weights = ids[:, 1:].flatten(), weights[:, 1:].flatten()
    trained = weights.nonzero().flatten()
    filled = round_up(len(trained), POSITIONS_MULTIPLE) - len(trained)
    trained = torch.cat([trained, (weights == 0).nonzero().flatten()[:filled]])
    ids, targets, weights = ids.to(device), targets[trained].to(device), weights[trained].to(device)
    hidden = model.model(input_ids=ids, attention_mask=(ids != PAD_ID).long()).last_hidden_state
    logits = model.lm_head(hidden[:, :-1].flatten(0, 1)[trained.to(device)]).float()
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return (losses * weights).sum() / weights.sum()


def round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def schedule(step: int, steps: int) -> float:
    """Learning-rate factor: warm-up, constant to the middle, then linear down to 2 %."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * max(0.02, min(1.0, 2 * (1 - step / steps)))


def report(recipe: Recipe, progress: Progress, loss: float) -> None:
    """One line for the reader, one record for the training log."""
    rate = progress.tokens / max(progress.seconds, 1e-9)
    record = {"step": progress.step, "loss": round(loss, 4), "tokens": progress.tokens}
    progress.log.append(record | {"seconds": round(progress.seconds, 1)})
    print(
        f"{recipe.name}: step {progress.step}/{recipe.steps}  loss {loss:.3f}  "
        f"{progress.tokens / 1e6:.2f} M tokens  {rate:,.0f} tokens/s",
        flush=True,
    )


def checkpoint_path(work: Path, name: str) -> Path:
    return work / f"{name}.pt"


def save(path: Path, model: Any, optimizer: Any, progress: Progress) -> None:
    """Write a checkpoint so that a reader finds either the old one or the new one, never half of it."""
    import torch

    temporary = path.with_suffix(".tmp")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(progress)}
    torch.save(state, temporary)
    os.replace(temporary, path)


def restore(path: Path, model: Any, optimizer: Any) -> Progress:
    """Load a checkpoint into model and optimiser, if there is one."""
    import torch

    if not path.exists():
        return Progress()
    state = torch.load(path, weights_only=False)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    progress = Progress(**state["progress"])
    print(f"resuming {path.name} at step {progress.step}", flush=True)
    return progress


def write_log(folder: Path, recipe: Recipe, progress: Progress, machine: dict[str, str]) -> None:
    """The training log (one JSON line per ``LOG_STEPS`` steps) and its summary with counts per skill."""
    lines = "".join(json.dumps(record) + "\n" for record in progress.log)
    (folder / "training_log.jsonl").write_text(lines)
    summary = asdict(recipe) | machine | asdict(progress)
    del summary["log"]
    (folder / "training_summary.json").write_text(json.dumps(summary, indent=1) + "\n")
