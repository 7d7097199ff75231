"""How fast training runs inside Ray Train, beside the same steps in this process and a loop over formed batches.

    python -m benchmarks.training.trainer
    python -m benchmarks.training.trainer --model ~/models/SmolLM2-135M-Instruct --batch-tokens 2048 --steps 8

Three arms take turns: one trains with Ray Train as `raydistill run` does, one calls the product's `Trainer.step`
in this process, one is forward, backward and optimiser step over the same steps' batches, formed beforehand. Each
rate is that of trained steps alone, without starting, validation and checkpoints; the first steps of each arm
are not counted. Prints one JSON line: rows for `docs/results/performance.json`. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.paired import paired_row, take_turns
from benchmarks.replications.cells import ROOT
from raydistill.pipelines.config.sections import Questions, Train
from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.training.batches import collate, micro_batches, rows_of
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.cluster import fit
from raydistill.pipelines.training.loop import Trainer, TrainingJob, make_optimizer, threads
from raydistill.pipelines.training.losses.forward import term_sums
from raydistill.pipelines.training.student import load_student
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, stop_token_id, tokenise, write_tokens

OURS, REACH = "in Ray Train", 0.92
RATE = 1e-6  # of learning
WARM_UP = 4  # steps of each arm that do not count


def worked_solutions(questions: Questions) -> list[Example]:
    """Questions and their worked solutions."""
    return [
        Example(question.id, question.id, ({"role": "user", "content": question.text},), (WeightedText(text),))
        for question in load_questions(questions).questions
        for text in [question.meta["rationale"]]
    ]


def make_job(options: argparse.Namespace, folder: str, examples: Sequence[Example]) -> TrainingJob:
    """The tokens of examples, and the job that trains on them for at least as many steps as are measured."""
    tokenizer = load_tokenizer(options.model, None)
    path = f"{folder}/tokens.parquet"
    counts = write_tokens(tokenise(tokenizer, examples), path, max_length=1024, vocabulary=10**6)
    epochs = -(-(WARM_UP + options.steps) * options.batch_tokens // counts.tokens)
    config = Train(
        student=options.model,
        batch_tokens=options.batch_tokens,
        micro_batch_tokens=options.micro_batch_tokens,
        validation_fraction=0,
        epochs=epochs,
        save_steps=10**6,
        precision=options.precision,
    )
    return TrainingJob(config, path, f"{folder}/tensorboard", stop_token_id(tokenizer))


def rate_in_ray(job: TrainingJob, trainer: Trainer, folder: str) -> float:
    """Tokens/s between the ends of two steps, as the worker's log has them; `trainer` has the same plan."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(replace(job, tensorboard=f"{folder}/tensorboard"), folder, None)
    log = EventAccumulator(f"{folder}/tensorboard").Reload()
    ends = [event.wall_time for event in log.Scalars("train/loss")]
    return counted_tokens(trainer) / (ends[-1] - ends[WARM_UP - 1])


def counted_tokens(trainer: Trainer) -> int:
    """Tokens of the plan without those of the first steps."""
    return sum(int(trainer.lengths[rows_of(units)].sum()) for units in trainer.plan[WARM_UP:])


def make_trainer(job: TrainingJob, device: str = "cpu") -> Trainer:
    model: Any = load_student(job.config, None, job.stop_id).to(device)
    return Trainer(job.config, model, make_optimizer(model, job.config), TokenTable(job.tokens), rank=0, world=1)


def rate_plain(trainer: Trainer) -> float:
    """Tokens/s of the plan's steps."""
    progress = Progress()
    while progress.step < len(trainer.plan):
        if progress.step == WARM_UP:
            started = time.perf_counter()
        trainer.step(progress, RATE)
    return counted_tokens(trainer) / (time.perf_counter() - started)


def rate_formed(trainer: Trainer) -> float:
    """Tokens/s of forward, backward and step over the plan's batches, collated beforehand."""
    pieces = [micro_batches(units, trainer.lengths, trainer.budget) for units in trainer.plan]
    batches = [[collate(trainer.table, piece, trainer.terms) for piece in step] for step in pieces]
    for step, formed in enumerate(batches):
        if step == WARM_UP:
            started = time.perf_counter()
        for batch in formed:
            with torch.autocast(trainer.device.type, torch.bfloat16, enabled=trainer.bfloat16):
                sums = term_sums(trainer.model, trainer.output_layer, batch, trainer.terms)
            torch.stack([term[0] for term in sums]).sum().backward()
        trainer.update(RATE)
    return counted_tokens(trainer) / (time.perf_counter() - started)


def measure(job: TrainingJob, folder: str, rounds: int) -> dict[str, list[float]]:
    """Tokens/s of each arm in each round."""
    trainer = make_trainer(job)
    torch.set_num_threads(threads(job.config))
    arms: dict[str, Callable[[int], float]] = {
        OURS: lambda turn: rate_in_ray(job, trainer, f"{folder}/ray-{turn}"),
        "the same steps in this process": lambda turn: rate_plain(trainer),
        "formed batches": lambda turn: rate_formed(trainer),
    }
    return take_turns(arms, rounds)


def rows(options: argparse.Namespace, rates: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Those of `docs/results/performance.json`."""
    name = f"training {Path(options.model).name} {OURS}"
    peers = sorted({*rates} - {OURS})
    return [paired_row(f"{name}, beside {peer}", rates[OURS], rates[peer], REACH) for peer in peers]


def training_parser(about: str | None) -> argparse.ArgumentParser:
    """The options of both benchmarks that train."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "base-student"))
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--micro-batch-tokens", type=int, default=4096)
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    return parser


def main() -> None:
    parser = training_parser(__doc__)
    parser.add_argument("--steps", type=int, default=40, help="counted steps of each arm in each round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    examples = worked_solutions(Questions(task="reasoning_gym:gsm_symbolic", size=options.questions, seed=5))
    with tempfile.TemporaryDirectory() as folder:
        rates = measure(make_job(options, folder, examples), folder, options.rounds)
    print(json.dumps(rows(options, rates)))


if __name__ == "__main__":
    main()
