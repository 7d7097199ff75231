"""What training resumes from: the weights, the optimiser's state and how far it has got.

A checkpoint is a folder `checkpoints/step_<n>` that Ray Train uploads and keeps (the latest and the one of lowest
validation loss, so two at most):

    model/         Hugging Face directory or PEFT adapter, with tokenizer
    optimizer.pt   AdamW moments by parameter name, whole, whatever the number of workers
    progress.json  `Progress`: position in the plan, losses, best so far

Schedule and data order are functions of the step, and random numbers are seeded by step and micro-batch, so the
step is all the state that they need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.storage import read_bytes, resolve, write_atomic

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

FOLDER = "checkpoints"
LIST = "checkpoint_manager_snapshot.json"  # Ray Train's own list of checkpoints
COPY = ".copy"
VALIDATION = "validation_"  # before the name of measures that are of a validation


@dataclass(slots=True)
class Progress:
    """How far training has got; as JSON one flat object, in which `measures` stand beside the fields by their names."""

    step: int = 0  # optimiser steps taken, which is the position in the plan
    tokens: int = 0  # seen so far, prompts included, padding not
    train_s: float = 0.0  # seconds spent in optimiser steps
    losses: list[float] = field(default_factory=list)  # per step: what is minimised
    validation: list[list[float]] = field(default_factory=list)  # [step, loss] of the held-out questions
    # Of the steps and, under "validation_<name>", of the validations that a further term of the loss had a part in
    measures: dict[str, list[list[float]]] = field(default_factory=dict)
    best_step: int = 0
    best_loss: float | None = None
    stale: int = 0  # evaluations since the best one
    finished: bool = False

    @property
    def student_step(self) -> int:
        """The step whose weights are the student's: of lowest validation loss or, without validation, the last."""
        return self.step if self.best_loss is None else self.best_step

    @property
    def score(self) -> float:
        """By which Ray Train ranks checkpoints, lowest first: validation loss, without validation the latest step."""
        return -self.step if self.latest_validation is None else self.latest_validation

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second of optimiser steps."""
        return self.tokens / self.train_s if self.train_s else 0.0

    @property
    def latest_validation(self) -> float | None:
        """The last validation loss measured."""
        return self.validation[-1][1] if self.validation else None

    def add_validation(self, loss: float) -> bool:
        """Record the validation loss of the current step; returns whether it is the best so far.

        An equal loss counts as better, as in Ray Train's ranking of checkpoints, which must agree with this one.
        """
        self.validation.append([self.step, loss])
        if self.best_loss is not None and loss > self.best_loss:
            self.stale += 1
            return False
        self.best_step, self.best_loss, self.stale = self.step, loss, 0
        return True

    def add_measures(self, term: str, values: Sequence[float], *, validation: bool = False) -> None:
        """Record what the loss's term of this name measured in the current step, or in the validation after it."""
        for name in (term, VALIDATION + term):
            self.measures.setdefault(name, [])
        self.measures[(VALIDATION if validation else "") + term].append([self.step, *values])

    @property
    def history(self) -> dict[str, Any]:
        """Losses and measures of `result.json`; a term that no step had a part of is left out."""
        kept = {name: rows for name, rows in self.measures.items() if self.measures.get(name.removeprefix(VALIDATION))}
        return {"loss": self.losses, "validation_loss": self.validation} | kept

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        return values | values.pop("measures")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Progress:
        own = {field.name for field in fields(cls)}
        measures = {name: rows for name, rows in values.items() if name not in own}
        return cls(**{name: value for name, value in values.items() if name in own}, measures=measures)


def name_of(step: int) -> str:
    """Folder name of the checkpoint taken after `step`."""
    return f"step_{step:08d}"


def save_state(folder: Path, model: nn.Module, optimizer: Optimizer, progress: Progress, *, write: bool) -> None:
    """Write optimiser state and progress into `folder`; every worker calls it, one writes."""
    import torch
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_optimizer_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_optimizer_state_dict(model, optimizer, options=options)
    if write:
        torch.save(state, folder / "optimizer.pt")
        (folder / "progress.json").write_text(json.dumps(progress.to_json()))


def restore_state(folder: Path, model: nn.Module, optimizer: Optimizer) -> Progress:
    """Load the optimiser's state from `folder` and return the progress; the model's weights are loaded before it."""
    import torch
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict

    state = torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
    set_optimizer_state_dict(model, optimizer, state, options=StateDictOptions(full_state_dict=True))
    return Progress.from_json(json.loads((folder / "progress.json").read_text()))


def recover(output_dir: str) -> None:
    """Make the checkpoints in `output_dir` fit to resume from after a crash at any moment.

    Ray Train resumes by itself from the list that it keeps beside the checkpoints. It rewrites that list in place,
    so a crash can leave it cut short: then the copy that `keep_list` made is put back, whose checkpoints all exist,
    because older ones are deleted only after the list is complete. Folders that are on no list, half uploaded or
    half deleted, are removed.
    """
    from pyarrow.fs import FileSelector, FileType

    if not keep_list(output_dir):
        known = read_bytes(_list_path(output_dir) + COPY)
        write_atomic(_list_path(output_dir), known or b"")
    listed = _listed(read_bytes(_list_path(output_dir)))
    filesystem, root = resolve(f"{output_dir}/{FOLDER}")
    for info in filesystem.get_file_info(FileSelector(root, allow_not_found=True)):
        if info.type == FileType.Directory and info.base_name not in listed:
            filesystem.delete_dir(info.path)
    if not listed:
        filesystem.delete_file(f"{root}/{LIST}")


def keep_list(output_dir: str) -> bool:
    """Copy Ray Train's list of checkpoints; returns whether it is whole. Called after each checkpoint."""
    content = read_bytes(_list_path(output_dir))
    if not _listed(content):
        return False
    write_atomic(_list_path(output_dir) + COPY, content or b"")
    return True


def _list_path(output_dir: str) -> str:
    return f"{output_dir}/{FOLDER}/{LIST}"


def _listed(content: bytes | None) -> set[str]:
    """Folder names of the checkpoints in Ray Train's list; none if there is no list or only a part of one."""
    try:
        return {result["checkpoint_dir_name"] for result in json.loads(content or b"")["checkpoint_results"]}
    except ValueError:
        return set()
