"""What a run's trainings logged, from their TensorBoard files: scalars over steps."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from raydistill.actors.storage import copy_folder, is_uri, resolve

MOST_POINTS = 400  # of a curve; the sum of a training's steps may be far more
Curve = list[tuple[int, float]]  # of (step, value)


def curves(training: str) -> dict[str, Curve]:
    """The scalars of a training (its folder) by their tags, ``train/loss``; {} where nothing was logged."""
    from pyarrow.fs import FileType

    folder = f"{training}/tensorboard"
    filesystem, path = resolve(folder)
    if filesystem.get_file_info(path).type != FileType.Directory:
        return {}
    with _local(folder) as files:
        return {tag: thinned(curve) for tag, curve in _scalars(files).items()}


@contextmanager
def _local(folder: str) -> Iterator[str]:
    if not is_uri(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory() as copy:
        copy_folder(folder, f"file://{copy}")
        yield copy


def _scalars(files: str) -> Mapping[str, Curve]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log: Any = EventAccumulator(files, size_guidance={"scalars": 0, "tensors": 0})
    log.Reload()
    found: dict[str, Curve] = {}
    for tag in log.Tags()["scalars"]:
        found[tag] = [(event.step, event.value) for event in log.Scalars(tag)]
    return found


def thinned(curve: Curve) -> Curve:
    """At most `MOST_POINTS` points of a curve, evenly, with its last one."""
    step = -(-len(curve) // MOST_POINTS) or 1
    kept = curve[::step]
    return kept if not curve or kept[-1] == curve[-1] else [*kept, curve[-1]]
