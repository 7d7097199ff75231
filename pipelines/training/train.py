"""Training: from examples on disk to a student on disk, with Ray Train.

    examples --tokens, checks--> tokens.parquet --TorchTrainer--> checkpoints/step_<n> --best--> student/

The driver checks everything that can be checked and starts the workers; `train_loop` is what they run. The same
call resumes an interrupted run and returns at once from a finished one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raydistill.actors.errors import TrainingError, UsageError
from raydistill.actors.storage import absolute, copy_folder, local_path, read_bytes, write_atomic
from raydistill.pipelines.config.sections import Train
from raydistill.pipelines.data.examples import examples_digest, read_examples, write_examples
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.checkpoints import FOLDER, Progress, name_of, recover
from raydistill.pipelines.training.cluster import fit
from raydistill.pipelines.training.loop import TrainingJob
from raydistill.pipelines.training.losses.table import active_terms, pairing_term
from raydistill.pipelines.training.model_card import model_card
from raydistill.pipelines.training.tokens import (
    Counts,
    TokenTable,
    load_tokenizer,
    stop_token_id,
    tokenise,
    write_tokens,
)

# What may differ between the lives of a run: where and how fast it trains, not what is learned.
RESOURCES = frozenset(
    ("workers", "cpus_per_worker", "gpus_per_worker", "threads_per_worker", "resource_timeout_s", "node_labels")
    + ("strategy", "micro_batch_tokens", "gradient_checkpointing")
)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training made; also in `result.json`. Folders are Hugging Face directories or PEFT adapters."""

    student: str  # the weights of lowest validation loss (the last ones without validation), with a model card
    best: str  # the same weights in their checkpoint
    last: str  # the weights after the last step, in their checkpoint
    steps: int
    tokens: int  # seen in training, prompts included, padding not
    tokens_per_s: float  # during optimiser steps
    final_loss: float  # mean of the last ten steps
    best_validation_loss: float | None
    examples: int  # after dropping
    dropped_too_long: int
    wall_s: float  # of the call that finished, start-up included
    # {"loss": [one per step], "validation_loss": [[step, loss], ...]}; of each further term of the loss, under its name
    # and "validation_<name>", also [[step, mean of the first term, *the term's measures], ...]
    history: dict[str, Any]
    pairs: dict[str, int] | None = None  # what the term that puts examples together has found to put together


def train(
    examples: Iterable[Example] | str | os.PathLike[str],
    config: Train,
    output_dir: str,
    *,
    adapter: str | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> TrainResult:
    """Fine-tune `config.student` on `examples` and leave the student in `output_dir`/student.

    `examples` is a folder or file as `write_examples` makes it, or the examples themselves, which are then written
    to `output_dir`/examples. Paths may be URIs of any pyarrow filesystem; with workers on several nodes they must
    be. With `config.lora`, training goes on from `adapter`, an earlier student's, where one is given. `on_progress`
    gets {step, steps, loss, validation_loss, tokens, tokens_per_s} about every second.

    Raises TrainingError without examples, without room for the workers within `resource_timeout_s`, or when
    training fails; UsageError for a student that cannot be loaded or an `output_dir` of another run.
    """
    started, output_dir = time.monotonic(), absolute(output_dir)
    if isinstance(examples, str | os.PathLike):
        source = absolute(os.fspath(examples))
    else:
        source = f"{output_dir}/examples"
        write_examples(examples, source)
    count, digest = examples_digest(source)
    if not count:
        raise TrainingError(f"no examples to train on in {source}")
    _check_same_run(output_dir, config, {"examples": digest} | ({"adapter": adapter} if adapter else {}))
    if finished := read_bytes(f"{output_dir}/result.json"):
        return TrainResult(**json.loads(finished))

    job, counts, pairs = _prepare(source, config, output_dir, adapter and absolute(adapter))
    recover(output_dir)
    outcome = fit(job, output_dir, on_progress)
    if "error" in outcome:
        raise TrainingError(outcome["error"])
    return _finish(output_dir, config, counts, pairs, Progress.from_json(outcome), started)


def _check_same_run(output_dir: str, config: Train, data: Mapping[str, str]) -> None:
    """Write down what `output_dir` is for, or check that it is for this."""
    settings = json.loads(config.model_dump_json(exclude=set(RESOURCES))) | data
    known = read_bytes(f"{output_dir}/run.json")
    if known is None:
        write_atomic(f"{output_dir}/run.json", json.dumps(settings, indent=2).encode())
        return
    before = json.loads(known)
    changed = [name for name in {**before, **settings} if before.get(name) != settings.get(name)]
    if changed:
        told = ", ".join(f"{name} was {before.get(name)!r}, now {settings.get(name)!r}" for name in changed)
        raise UsageError(f"{output_dir} holds another training run ({told}): train into another folder")


def _prepare(
    source: str, config: Train, output_dir: str, adapter: str | None
) -> tuple[TrainingJob, Counts, dict[str, int] | None]:
    """Tokenise and check all examples, before any worker starts."""
    from raydistill.pipelines.training.student import vocabulary_size

    config = config.model_copy(update={"student": local_path(config.student)})
    vocabulary = vocabulary_size(config.student, config.revision)
    tokenizer = load_tokenizer(config.student, config.revision)
    tokens = f"{output_dir}/tokens.parquet"
    rows = tokenise(tokenizer, read_examples(source))
    counts = write_tokens(rows, tokens, max_length=config.max_length, vocabulary=vocabulary)
    job = TrainingJob(config, tokens, f"{output_dir}/tensorboard", stop_token_id(tokenizer), adapter)
    terms = active_terms(TokenTable(tokens))
    found = {term.name: term.check() for term in terms}
    return job, counts, found[pairing_term(terms).name]


def _finish(
    output_dir: str, config: Train, counts: Counts, pairs: dict[str, int] | None, progress: Progress, started: float
) -> TrainResult:
    """Export the student and write `result.json`, which marks the run as finished."""

    def weights(step: int) -> str:
        return f"{output_dir}/{FOLDER}/{name_of(step)}/model"

    last = progress.losses[-10:]
    result = TrainResult(
        student=f"{output_dir}/student",
        best=weights(progress.student_step),
        last=weights(progress.step),
        steps=progress.step,
        tokens=progress.tokens,
        tokens_per_s=round(progress.tokens_per_s, 1),
        final_loss=sum(last) / len(last),
        best_validation_loss=progress.best_loss,
        examples=counts.kept,
        dropped_too_long=counts.too_long,
        wall_s=round(time.monotonic() - started, 2),
        history=progress.history,
        pairs=pairs,
    )
    copy_folder(result.best, result.student)
    write_atomic(f"{result.student}/README.md", model_card(config, counts, progress).encode())
    write_atomic(f"{output_dir}/result.json", json.dumps(asdict(result), indent=2).encode())
    return result
