"""How a training run is watched: TensorBoard event files and progress messages, both from worker 0."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

from raydistill.actors.storage import resolve

if TYPE_CHECKING:
    from raydistill.pipelines.training.checkpoints import Progress
    from raydistill.pipelines.training.losses.base import Means

MESSAGE_S = 1.0  # seconds between two progress messages to the driver


class ProgressBoard:
    """The latest progress message; a Ray actor between worker 0 and the driver."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}

    def put(self, message: dict[str, Any]) -> None:
        self._message = message

    def get(self) -> dict[str, Any]:
        return self._message


class TrainLog:
    """Writes scalars per step, and a message to `board` (a `ProgressBoard` handle or None) about every second.

    `folder` may be a URI: then event files are written locally and uploaded by `publish`.
    """

    def __init__(self, folder: str, board: Any, progress: Progress, steps: int) -> None:
        from pyarrow.fs import LocalFileSystem
        from torch.utils.tensorboard import SummaryWriter

        self._filesystem, self._path = resolve(folder)
        self._remote = not isinstance(self._filesystem, LocalFileSystem)
        self._local = tempfile.mkdtemp(prefix="tensorboard-") if self._remote else self._path
        # Steps that a lost worker had logged beyond its last checkpoint are taken back.
        self._writer = SummaryWriter(self._local, purge_step=progress.step + 1 if progress.step else None)
        self._board, self._steps, self._sent = board, steps, 0.0

    def step(self, progress: Progress, means: Means, *, learning_rate: float, grad_norm: float) -> None:
        """Record the optimiser step just taken."""
        values = {
            "loss": progress.losses[-1],
            "learning_rate": learning_rate,
            "grad_norm": grad_norm,
            "tokens_per_s": progress.tokens_per_s,
        }
        self._write("train", values | _components(means), progress.step)
        if time.monotonic() - self._sent >= MESSAGE_S:
            self.send(progress)

    def validation(self, progress: Progress, means: Means) -> None:
        """Record the validation just made."""
        self._write("validation", {"loss": means.loss} | _components(means), progress.step)

    def _write(self, group: str, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def send(self, progress: Progress) -> None:
        """Send a progress message now: {step, steps, loss, validation_loss, tokens, tokens_per_s}."""
        self._sent = time.monotonic()
        if self._board is None:
            return
        message = {
            "step": progress.step,
            "steps": self._steps,
            "loss": progress.losses[-1],
            "validation_loss": progress.latest_validation,
            "tokens": progress.tokens,
            "tokens_per_s": progress.tokens_per_s,
        }
        self._board.put.remote(message)

    def publish(self) -> None:
        """Make everything written so far visible in `folder`."""
        import pyarrow.fs

        self._writer.flush()
        if self._remote:
            pyarrow.fs.copy_files(self._local, self._path, destination_filesystem=self._filesystem)


def _components(means: Means) -> dict[str, float]:
    """The first term's mean, what the others measured, and how large each one's first measure is beside it.

    Nothing where no other term had a part.
    """
    first = means.first
    values: dict[str, float] = {}
    for term in means.counted:
        values |= {first.name: first.loss} | term.measures
        if first.loss and term.measures:
            name, value = next(iter(term.measures.items()))
            values[f"{name}_per_{first.name}"] = value / first.loss
    return values
