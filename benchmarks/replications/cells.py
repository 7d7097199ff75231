"""What replications share: cells on disk, what they depend on, intervals over questions and seeds, the plan of a run.

    arms x seeds (x shares of the training questions) --> cells --run--> one JSON file each --> summary, page, plot

A cell is a run of the system whose file's name ends in a hash of all that it depends on. Cells whose file is there
are not done again, so a killed replication goes on with the same command, and machines can share its cells.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import module
from raydistill.actors.errors import RaydistillError, UsageError
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.config.sections import Questions, SamplingConfig
from raydistill.pipelines.data.records import Sample
from raydistill.pipelines.inference.answering import Answered
from raydistill.pipelines.report import environment
from raydistill.pipelines.run_config import Run, load_config
from raydistill.pipelines.runtime.engines import model_identity
from raydistill.pipelines.training.train import RESOURCES

ROOT = Path(__file__).parent.parent.parent


RESULTS = ROOT / "docs" / "results"
SETS = {"known": {"templates": [0, 69]}, "held_out": {"templates": [70, 99]}}
"""Test sets of gsm_symbolic: fresh questions of the templates that students train on, and of all others."""


@dataclass(frozen=True)
class Arm:
    """What an arm is called, and what differs in it from the settings of all arms."""

    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, order=True)
class Cell:
    """One student: its arm, trained with `seed` on the first `percent` of the training questions."""

    seed: int
    percent: int
    arm: str

    @property
    def name(self) -> str:
        """``pad``, or ``pad@35`` on a part of the questions."""
        return self.arm if self.percent == 100 else f"{self.arm}@{self.percent}"

    def path(self, out: Path, prefix: str, key: str) -> Path:
        return out / "data" / f"{prefix}-{self.name}-{self.seed}-{key}.json"


AnyCell = TypeVar("AnyCell", bound=Cell)


def configured(name: str, options: argparse.Namespace, changes: Mapping[str, Any]) -> Run:
    """The configuration ``configs/<name>.yaml`` with `changes`, in the replication's working folder."""
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    return load_config(ROOT / "configs" / f"{name}.yaml", [*overrides, f"run_dir={options.work}"])


def questions_of_set(config: Run, options: Mapping[str, Any]) -> Questions:
    """The test questions of a configuration, drawn with the task's `options`."""
    assert config.evaluation
    return config.evaluation.questions.model_copy(update={"options": dict(options)})


def check_set(options: argparse.Namespace, fixed: Collection[str]) -> None:
    """Raise UsageError where ``--set`` names one of the `fixed` settings, which the replication makes itself."""
    if clash := sorted(set(options.set) & set(fixed)):
        raise UsageError(f"--set {clash[0]}: the replication sets this itself; expected another setting")


def trained_with(config: Run) -> tuple[Any, ...]:
    """What a student depends on beside questions and recipe: sampling, training, models; not where it is trained."""
    assert config.train
    return (
        config.teacher.model_dump(include={*SamplingConfig.model_fields, "dtype", "max_model_len"}),
        config.train.model_dump(exclude={*RESOURCES, "student"}),
        [_identity(model) for model in (config.teacher.model, config.train.student)],
    )


_identity = cache(model_identity)


def write_cell(path: Path, cell: Cell, content: Mapping[str, Any]) -> None:
    """Store what was measured, with its provenance; the file appears when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"arm": cell.arm, "seed": cell.seed, "percent": cell.percent, **content, **provenance()}
    write_atomic(str(path), json.dumps(told).encode() + b"\n")


def provenance() -> dict[str, Any]:
    """Date, commit, versions and hardware of what is measured now."""
    known = environment()
    return {
        "date": date.today().isoformat(),
        "commit": known["commit"],
        "versions": known["versions"],
        "hardware": f"{os.cpu_count()} x {_processor()}{_accelerator()}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.machine()


def _accelerator() -> str:
    import torch

    return f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ", no GPU"


def by_question(answers: Iterable[Answered | Sample]) -> dict[str, list[int | None]]:
    """1 or 0 for each answer in order: right, and with any value at all; None where it is unknown."""
    passed, executable = list[int | None](), list[int | None]()
    for answer in answers:
        known = answer.status != "unknown"
        passed.append(int(answer.status == "passed") if known else None)
        executable.append(int(bool(answer.value)) if known else None)
    return {"passed": passed, "executable": executable}


def part(cells: Sequence[AnyCell], share: str, unit: Callable[[AnyCell], AnyCell]) -> list[AnyCell]:
    """The cells of one of several machines: ``2/3`` is every third unit from the second on; units stay together."""
    number, _, count = share.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise UsageError(f"--part {share!r}: expected for example 1/2 or 2/2")
    units = list(dict.fromkeys(map(unit, cells)))[int(number) - 1 :: int(count)]
    return [cell for cell in cells if unit(cell) in units]


def run_main(main: Callable[[], object]) -> None:
    """Run a script; what its user can mend is one line."""
    try:
        main()
    except RaydistillError as error:
        sys.exit(f"{module()}: {error}")
