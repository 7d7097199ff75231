"""What `import raydistill` offers to notebooks and scripts; the command line has the same functions behind it.

report = raydistill.run("configs/demo.yaml", "questions.size=500", on_event=print)
report.accuracy("student"), report.student, report["verification"]

with raydistill.Sandbox() as sandbox:
    [verdict] = sandbox.run(["def solution():\\n    return 6 * 7"])

raydistill.grade("It costs $1,080.", "1080").status
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from raydistill.actors.errors import UsageError

if TYPE_CHECKING:
    from raydistill.actors.executor import Verdict
    from raydistill.pipelines.data.records import Example
    from raydistill.pipelines.run_config import Run
    from raydistill.pipelines.tasks.base import Grade
    from raydistill.pipelines.views.run_folder import RunFolder

Event = Mapping[str, Any]
"""``{"event": "message", "text": ...}`` or ``{"event": "progress", "title", "done", "total", "note"}``."""


class Report:
    """A run that was made: what report.json holds, by keys, and where its student and its rows lie."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def __getitem__(self, section: str) -> Any:
        return self.folder.report[section]

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {score['accuracy']:.1%}" for name, score in self.folder.evaluation.items())
        return f"<Report {self.folder.root}: {scores or 'nothing measured'}>"

    def accuracy(self, model: str = "student") -> float:
        """The share of the held-out questions that `model` answered rightly, greedily, from 0 to 1.

        Raises UsageError where it was not measured.
        """
        if model not in self.folder.evaluation:
            known = ", ".join(self.folder.evaluation) or "none"
            raise UsageError(f"{model} was not measured in {self.folder.root}; expected one of: {known}")
        return float(self.folder.evaluation[model]["accuracy"])

    @property
    def student(self) -> str:
        """The student's directory: a Hugging Face model, or a PEFT adapter."""
        return f"{self.folder.root}/student"

    @property
    def page(self) -> str:
        """The page for people, report.html."""
        return f"{self.folder.root}/report.html"

    def examples(self) -> Iterator[Example]:
        """What the student learned, in order. Raises UsageError where nothing was learned."""
        from raydistill.pipelines.data.examples import read_examples

        made = [told for told in self.folder.stages if told["kind"] == "examples"]
        if not made:
            raise UsageError(f"{self.folder.root}: no examples were made in this run")
        return read_examples(f"{self.folder.root}/examples/{made[-1]['examples']}")


def run(
    config: str | Path | Run,
    *overrides: str,
    run_dir: str | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Report:
    """The whole run of a YAML file, with settings changed as ``key.path=value``; or of a `Run`, as it is.

    `on_event` hears of each message and of progress, at most every few seconds. A run that was interrupted goes on
    where it stopped. Raises UsageError and other RaydistillErrors, each in one line.
    """
    from raydistill.pipelines.run import run as run_all
    from raydistill.pipelines.run_config import load_config
    from raydistill.pipelines.runtime.events import EventConsole
    from raydistill.pipelines.runtime.progress import infrastructure_log

    if isinstance(config, str | Path):
        config = load_config(config, [*overrides, *([f"run_dir={run_dir}"] if run_dir else [])])
    elif overrides or run_dir:
        raise UsageError("settings are changed in a file's run; a Run is taken as it is: use its model_copy")
    with infrastructure_log(config.run_dir):
        _outside_loops(lambda: run_all(config, EventConsole(on_event) if on_event else None))
    return load_run(config.run_dir)


def _outside_loops(work: Callable[[], Any]) -> None:
    """Do the work in this thread; where an event loop has it, as in notebooks, in another one: runs have their own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        work()
        return
    with ThreadPoolExecutor(1) as other:
        other.submit(work).result()


def load_run(run_dir: str | Path) -> Report:
    """A run that was made earlier. Raises UsageError where there is none."""
    from raydistill.pipelines.views.run_folder import RunFolder

    return Report(RunFolder.open(str(run_dir)))


class Sandbox:
    """Runs programs that nobody has to trust; close it, or use it in a ``with``.

    Raises SandboxError where this machine confines programs less than `minimum_grade` (docs/sandbox.md).
    """

    def __init__(
        self,
        *,
        cpu_s: int = 2,
        wall_s: float = 8,
        memory_mb: int = 256,
        minimum_grade: Literal["A", "B", "B-", "C", "D"] = "B-",
    ) -> None:
        from raydistill.actors.executor import Executor, Limits

        limits = Limits(cpu_s=cpu_s, wall_s=wall_s, memory_mb=memory_mb)
        self._executor = Executor(limits, minimum_grade=minimum_grade)

    @property
    def grade(self) -> str:
        """How well this machine confines programs: A, B, B-, C or D."""
        return self._executor.grade

    def run(
        self, programs: Sequence[str], mode: Literal["solution", "expression", "stdout"] = "solution"
    ) -> list[Verdict]:
        """A verdict per program, in order; its value is what it returns, its last expression's, or what it prints."""
        from raydistill.actors.executor import Program

        return self._executor.run([Program(str(place), text, mode=mode) for place, text in enumerate(programs)])

    def close(self) -> None:
        self._executor.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def grade(answer: Any, gold: str, kind: Literal["auto", "numeric", "symbolic", "text", "choice"] = "auto") -> Grade:
    """Compare an answer, a text in which one is stated or a program's value, with the gold answer.

    `kind` auto takes the gold answer for a number where it is one, for a choice where it is a letter, else for a text.
    """
    from raydistill.pipelines.tasks.answers import infer_kind
    from raydistill.pipelines.tasks.base import grade_answer

    return grade_answer(answer, gold, infer_kind([gold]) if kind == "auto" else kind)
