"""`raydistill export-requests`: what the teacher is to be asked, as files for a batch API; nobody is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from raydistill.actors.engine.recording import read_recording
from raydistill.actors.engine.remote.batches import batch_lines
from raydistill.actors.engine.remote.dialect import Dialect
from raydistill.actors.engine.remote.engine import load_tokenizer
from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.config.teachers import called
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import Question
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.runtime.endpoints import endpoint_settings
from raydistill.pipelines.runtime.pools import recording
from raydistill.pipelines.sampling.job import SamplingJob, SamplingStats
from raydistill.pipelines.sampling.plan import Completer
from raydistill.pipelines.sampling.teachers.files import write_request_files
from raydistill.pipelines.sampling.teachers.missing import Missing


@dataclass
class Exported(Exception):
    """The recipe goes no further: what it is to ask next, if there is something, is `written`."""

    written: bool


class Exporting(RunContext):
    """The context of a run that goes as far as its teacher has to be asked, and writes the requests to `out`."""

    out: Path

    def check_answering(self, model: EngineConfig, *, prefixes: bool = False) -> None:
        """A file is asked for in another place, or later."""

    def run(
        self, title: str, job: SamplingJob, questions: Sequence[Question], model: EngineConfig | Completer, **how: Any
    ) -> SamplingStats:
        """Write what is missing; where nothing is, judge what is there."""
        if isinstance(model, EngineConfig) and model.endpoint and self._write(title, job, questions, model):
            raise Exported(True)
        return super().run(title, job, questions, model, **how)

    def run_several(self, title: str, jobs: Sequence[SamplingJob], examples: str) -> Any:
        """Write what is missing of each teacher behind a URL, a file each; local ones are asked here."""
        if jobs[0].rounds > 1:
            raise UsageError("export-requests: several teachers are asked for one round: expected teacher.rounds=1")
        questions, out, written = self.questions.questions, self.out, False
        for one, job in zip(self.config.teachers, jobs, strict=True):
            if one.endpoint:
                name = re.sub(r"[^\w.-]", "-", called(one))
                self.out = out.with_name(f"{out.stem}-{name}{out.suffix}")
                written = self._write(title, job, questions, one) or written
        if not written:
            self.say("nothing is missing")
        raise Exported(written)

    def start_engines(self, title: str, model: EngineConfig | Completer) -> None:
        if isinstance(model, EngineConfig) and model.engine == "recorded":
            return super().start_engines(title, model)
        name = model.model if isinstance(model, EngineConfig) else "the student"
        raise UsageError(f"export-requests: {title}: {name} has to be asked first: `raydistill synth` does")

    def _write(self, title: str, job: SamplingJob, questions: Sequence[Question], model: EngineConfig) -> bool:
        paths, *columns = recording(model) if model.recording else ([],)
        missing = Missing(job, read_recording(paths, *columns) if paths else None)
        samples = 0

        def lines() -> Iterator[dict[str, Any]]:
            nonlocal samples
            for request in missing.of(questions):
                samples += len(request.indices)
                yield from batch_lines(request, settings, dialect)

        settings = endpoint_settings(model, reached=False)
        dialect = Dialect(settings, load_tokenizer(settings.tokenizer))
        files = write_request_files(lines(), self.out)
        for note in dialect.notes if files else ():
            self.say(f"{title}: {note}")
        if missing.unjudged:
            told = f"{title}: whether {missing.unjudged:,} questions need more samples is not known yet"
            if not files:
                raise UsageError(f"export-requests: {told}: `raydistill synth` judges those that are there")
            self.say(told)
        if files:
            self.say(f"{title}: {samples:,} samples of {model.model} are asked for in {', '.join(map(str, files))}")
        return bool(files)


def export_requests(config: Run, out: Path, console: Console | None) -> None:
    """Write the requests for the teacher's samples that are missing; raises UsageError where it has no endpoint."""
    if not any(teacher.endpoint for teacher in config.asked):
        raise UsageError(
            f"export-requests: a teacher of engine {config.teacher.engine} is asked here; expected one behind a URL, "
            "for example configs/demo-url.yaml"
        )
    runner = Runner(config, console, ctx := Exporting(config, console))
    ctx.out = out
    try:
        runner.start().synthesize()
        runner.ctx.say("nothing is missing")
    except Exported as end:
        if end.written:
            runner.ctx.say(
                "their answers are read with engine=recorded recording=FILE (or a list, a folder) of the teacher"
            )
    finally:
        runner.close()
