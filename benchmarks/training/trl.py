"""How fast the trainer is beside TRL's `SFTTrainer`, with its packing and with its rows grouped by length.

    python -m benchmarks.training.trl                     leave the machine alone meanwhile
    python -m benchmarks.training.trl --model ~/models/smollm2-135m-instruct --batch-tokens 2048 --steps 6

Worked solutions, most of them short and some four to eight times as long, as real rationales are. All arms train the
same rows' completions from the same weights with AdamW at a constant rate, in the same precision, with about as many
tokens a step, in this process and with its threads; they take turns. TRL packs without an attention that keeps rows
apart (there is none without a GPU), so that its packed rows see each other. The losses over the last steps are told on
stderr. Prints one JSON line: rows for `docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.paired import paired_row, take_turns
from benchmarks.training.trainer import RATE, WARM_UP, make_job, make_trainer, training_parser, worked_solutions
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import Trainer, threads, uses_bfloat16
from raydistill.pipelines.training.tokens import TokenTable

REACH = 1.2
REPEATED = (1, 1, 1, 2, 1, 1, 4, 1, 1, 8)  # how often an example tells its solution
MOST_TOKENS = 1024
PEERS = {"packed": "TRL, packed", "grouped": "TRL, grouped by length"}

Rate = tuple[float, float]  # tokens/s, and the mean loss of the last steps


def skewed(questions: Questions) -> list[Example]:
    """Worked solutions of very different lengths."""
    return [
        replace(example, completion=(WeightedText("\n".join([example.text] * REPEATED[place % len(REPEATED)])),))
        for place, example in enumerate(worked_solutions(questions))
    ]


def rate_ours(trainer: Trainer) -> Rate:
    """Of the trainer's steps; the first few are not counted."""
    progress, done = Progress(), 0
    for step in range(len(trainer.plan)):
        if step == WARM_UP:
            started, done = time.perf_counter(), progress.tokens
        trainer.step(progress, RATE)
    return (progress.tokens - done) / (time.perf_counter() - started), statistics.fmean(progress.losses[-WARM_UP:])


def rate_trl(options: argparse.Namespace, rows: list[dict[str, Any]], arm: str, folder: str) -> Rate:
    """The same of `SFTTrainer`, by the end of each step and the tokens that it says it has seen."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    mean = statistics.fmean(len(row["input_ids"]) for row in rows)
    packed = arm == "packed"
    config = SFTConfig(
        output_dir=folder,
        per_device_train_batch_size=max(1, round(options.batch_tokens / (MOST_TOKENS if packed else mean))),
        packing=packed,
        train_sampling_strategy="random" if packed else "group_by_length",
        max_length=MOST_TOKENS,
        max_steps=WARM_UP + options.steps,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        bf16=uses_bfloat16(options.precision, torch.device("cpu")),
        fp16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    trainer = SFTTrainer(model=model, args=config, train_dataset=Dataset.from_list(rows), callbacks=[Clock()])
    trainer.train()
    told = [entry for entry in trainer.state.log_history if "num_tokens" in entry and "loss" in entry]
    tokens = told[-1]["num_tokens"] - told[WARM_UP - 1]["num_tokens"]
    losses = [entry["loss"] for entry in told[-WARM_UP:]]
    return tokens / (ends[-1] - ends[WARM_UP - 1]), statistics.fmean(losses)


def as_rows(table: TokenTable) -> list[dict[str, Any]]:
    """The table's rows as TRL takes them: ids, and which of them are trained."""
    weights = table.lists("weights")
    return [
        {"input_ids": table.ids[row].tolist(), "completion_mask": [int(one != 0) for one in weights[row]]}
        for row in range(len(table))
    ]


def measure(options: argparse.Namespace, examples: Sequence[Example], folder: str) -> dict[str, list[float]]:
    """Tokens/s of each arm in each round; the losses go to stderr."""
    job = make_job(options, folder, examples)
    torch.set_num_threads(threads(job.config))
    rows = as_rows(TokenTable(job.tokens))
    arms: dict[str, Callable[[], Rate]] = {
        "ours": lambda: rate_ours(make_trainer(job)),
        **{arm: partial(rate_trl, options, rows, arm, f"{folder}/{arm}") for arm in PEERS},
    }

    def rate(name: str, _: int) -> float:
        tokens_per_s, loss = arms[name]()
        print(f"{name}: loss {loss:.3f}", file=sys.stderr)
        return tokens_per_s

    return take_turns({name: partial(rate, name) for name in arms}, options.rounds)


def main() -> None:
    parser = training_parser(__doc__)
    parser.add_argument("--steps", type=int, default=20, help="counted steps of each arm in each round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    examples = skewed(Questions(task="reasoning_gym:gsm_symbolic", size=options.questions, seed=5))
    with tempfile.TemporaryDirectory() as folder:
        rates = measure(options, examples, folder)
    name = f"training {Path(options.model).name} on rows of skewed lengths"
    print(json.dumps([paired_row(f"{name}, beside {t}", rates["ours"], rates[a], REACH) for a, t in PEERS.items()]))


if __name__ == "__main__":
    main()
