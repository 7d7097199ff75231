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

from raydistill.actors.errors import UsageError
from raydistill.demo import leakage, mixture
from raydistill.demo.tokenizer import BOS_ID, EOS_ID, MAX_POSITIONS, PAD_ID, VOCABULARY_SIZE, encode_example

BATCHES_PER_CHUNK = 16
CHECKPOINT_STEPS = 200
LOG_STEPS = 50
WARMUP_STEPS = 100

# Matrix kernels are compiled per shape: few distinct shapes keep the compiler out of the steps.
WIDTH_MULTIPLE = 16
POSITIONS_MULTIPLE = 512
EAGER_WIDTH = 224  # plain attention is faster up to here at this model width, fused attention beyond
TOKENS_AT_ONCE = 8192  # of a forward and backward pass; bounds memory


@dataclass(frozen=True)
class Recipe:
    """How one model is trained."""

    name: str
    steps: int
    learning_rate: float
    starts_from: str | None = None  # model whose weights it starts from; None: random
    layers: int = 4
    batch_size: int = 32  # examples per step
    weight_decay: float = 0.05
    seed: int = 0


RECIPES = (
    Recipe(mixture.BASE, steps=1408, learning_rate=3e-3),
    Recipe(mixture.REASONER, steps=1280, learning_rate=3e-3),
    Recipe(mixture.CALCULATOR, steps=2400, learning_rate=3e-3, starts_from=mixture.REASONER),
    Recipe(mixture.TEACHER, steps=3200, learning_rate=3e-3, starts_from=mixture.BASE),
    Recipe(mixture.REWRITER, steps=2000, learning_rate=3e-3, starts_from=mixture.BASE),
    Recipe(mixture.CRITIC, steps=4000, learning_rate=3e-3, starts_from=mixture.REASONER),
)


Row = tuple[list[int], list[float]]
"""Token ids of an example and the loss weight of each."""


@dataclass
class Progress:
    """Where a training run stands; part of the checkpoint."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    examples: dict[str, int] = field(default_factory=dict)  # per skill
    gsm_question_examples: int = 0  # examples that are about a gsm_symbolic question
    gsm_solution_examples: int = 0  # those, by demo.leakage, that show (part of) its solution
    task_solution_examples: int = 0  # those that show (part of) a solution of another task, or feedback
    log: list[dict[str, Any]] = field(default_factory=list)


def new_model(recipe: Recipe) -> Any:
    """A freshly initialised model: Llama architecture, about 2.2 M parameters, tied embeddings."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=recipe.layers,
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

    model = new_model(recipe)
    if recipe.starts_from:
        start = torch.load(checkpoint_path(work, recipe.starts_from), weights_only=False)
        model.load_state_dict(start["model"])
    model.to(device)
    optimizers = new_optimizers(model, recipe)
    progress = restore(checkpoint_path(work, recipe.name), recipe, model, optimizers)
    autocast = torch.autocast(device, torch.bfloat16) if precision == "bfloat16" else nullcontext()
    started, earlier = time.monotonic(), progress.seconds
    while progress.step < recipe.steps:
        for batch in chunk(recipe, tokenizer, progress):
            loss = backward(model, batch, device, autocast)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = recipe.learning_rate * schedule(progress.step, recipe.steps)
                optimizer.step()
            model.zero_grad()
            progress.step += 1
            progress.tokens += sum(len(ids) for ids, _ in batch)
            progress.seconds = earlier + time.monotonic() - started
            if progress.step % LOG_STEPS == 0:
                report(recipe, progress, loss)
        if progress.step % CHECKPOINT_STEPS < BATCHES_PER_CHUNK or progress.step >= recipe.steps:
            save(checkpoint_path(work, recipe.name), recipe, model, optimizers, progress)
    return model, progress


def new_optimizers(model: Any, recipe: Recipe) -> list[Any]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms.

    On the base student's mixture this reaches after 200 steps the loss that AdamW alone reaches after 300.
    """
    import torch

    matrices = [weights for name, weights in model.named_parameters() if ".layers." in name and weights.ndim == 2]
    inside = {id(weights) for weights in matrices}
    others = [weights for weights in model.parameters() if id(weights) not in inside]
    common = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    return [
        torch.optim.Muon(matrices, adjust_lr_fn="match_rms_adamw", **common),
        torch.optim.AdamW(others, betas=(0.9, 0.98), **common),
    ]


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
        progress.task_solution_examples += leakage.task_leak(example) is not None
        rows.append(encode_example(tokenizer, example))
    rows.sort(key=lambda row: len(row[0]))
    size = recipe.batch_size
    batches = [rows[i : i + size] for i in range(0, len(rows), size)]
    rng.shuffle(batches)
    yield from batches


def backward(model: Any, batch: list[Row], device: str, autocast: Any) -> float:
    """Add the gradient of a batch's weighted mean cross-entropy, a few rows at a time where rows are long."""
    longest = round_up(max(len(ids) for ids, _ in batch), WIDTH_MULTIPLE)
    rows = max(1, TOKENS_AT_ONCE // longest)
    total = sum(sum(weights[1:]) for _, weights in batch)
    model.set_attn_implementation("eager" if longest <= EAGER_WIDTH else "sdpa")
    batch_loss = 0.0
    for start in range(0, len(batch), rows):
        with autocast:
            loss = summed_loss(model, batch[start : start + rows], device) / total
        loss.backward()
        batch_loss += loss.item()
    return batch_loss


def summed_loss(model: Any, rows: list[Row], device: str) -> Any:
    """Weighted sum of the rows' cross-entropies; logits are computed at the weighted positions only.

    Rows are padded on the right and attention is causal: no trained position sees the padding, so there is no mask.
    """
    import torch

    width = round_up(max(len(ids) for ids, _ in rows), WIDTH_MULTIPLE)
    ids, weights = torch.full((len(rows), width), PAD_ID), torch.zeros(len(rows), width)
    for row, (row_ids, row_weights) in enumerate(rows):
        ids[row, : len(row_ids)] = torch.tensor(row_ids)
        weights[row, : len(row_ids)] = torch.tensor(row_weights)
    targets, weights = ids[:, 1:].flatten(), weights[:, 1:].flatten()
    trained = weights.nonzero().flatten()
    filled = round_up(len(trained), POSITIONS_MULTIPLE) - len(trained)
    trained = torch.cat([trained, (weights == 0).nonzero().flatten()[:filled]])
    ids, targets, weights = ids.to(device), targets[trained].to(device), weights[trained].to(device)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[:, :-1].flatten(0, 1)[trained.to(device)]).float()
    return (torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights).sum()


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


def save(path: Path, recipe: Recipe, model: Any, optimizers: list[Any], progress: Progress) -> None:
    """Write a checkpoint so that a reader finds either the old one or the new one, never half of it."""
    import torch

    temporary = path.with_suffix(".tmp")
    state = {
        "plan": plan(recipe),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "progress": asdict(progress),
    }
    torch.save(state, temporary)
    os.replace(temporary, path)


def restore(path: Path, recipe: Recipe, model: Any, optimizers: list[Any]) -> Progress:
    """Load a checkpoint into model and optimisers, if there is one.

    Raises UsageError for a checkpoint of another plan: going on with it would give what no seed gives again.
    """
    import torch

    if not path.exists():
        return Progress()
    state = torch.load(path, weights_only=False)
    if state["plan"] != plan(recipe):
        changed = [key for key, value in plan(recipe).items() if state["plan"].get(key) != value]
        raise UsageError(f"{path}: begun with other {', '.join(changed)}; delete it to train {recipe.name} anew")
    model.load_state_dict(state["model"])
    for optimizer, optimizer_state in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(optimizer_state)
    progress = Progress(**state["progress"])
    print(f"resuming {path.name} at step {progress.step}", flush=True)
    return progress


def plan(recipe: Recipe) -> dict[str, Any]:
    """All that a training run depends on besides the code: the recipe and the shares of its mixture."""
    return asdict(recipe) | {"shares": mixture.shares(recipe.name)}


def write_log(folder: Path, recipe: Recipe, progress: Progress, machine: dict[str, str]) -> None:
    """The training log (one JSON line per ``LOG_STEPS`` steps) and its summary with counts per skill."""
    lines = "".join(json.dumps(record) + "\n" for record in progress.log)
    (folder / "training_log.jsonl").write_text(lines)
    summary = plan(recipe) | machine | asdict(progress)
    del summary["log"]
    (folder / "training_summary.json").write_text(json.dumps(summary, indent=1) + "\n")
