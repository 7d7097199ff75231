"""`raydistill exec`: a JSONL file of programs in, a JSONL file of verdict records out, in order."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from raydistill.actors.errors import UsageError
from raydistill.actors.executor import Executor, Limits, Program, Verdict, self_test
from raydistill.actors.rows import Row, read_file
from raydistill.pipelines.cli.outputs import check_out
from raydistill.pipelines.runtime.progress import bar

PROGRAMS_PER_CALL = 512
MODES = ("solution", "expression", "stdout")


def execute_file(
    path: Path, field: str, out: Path, *, mode: str, limits: Limits, console: Console | None
) -> dict[str, int]:
    """Run `field` of every line of `path` and write one verdict per line to `out`; returns counts by status.

    Raises UsageError for an unknown mode, a missing file, a malformed line (named by number), or a field that is
    missing or no text, before anything is written; SandboxError where programs cannot be confined.
    """
    if mode not in MODES:
        raise UsageError(f"--mode {mode}: expected one of {', '.join(MODES)}")
    check_out(out)
    rows = list(read_file(str(path)))
    if not rows:
        raise UsageError(f"{path}: no lines in it")
    programs = [Program(str(number), _text(row, field), mode=mode) for number, row in enumerate(rows, start=1)]
    executor = Executor(limits)
    counts: Counter[str] = Counter()
    part = out.with_name(f"{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8") as lines, bar(console, "executing", len(programs)) as shown:
            for start in range(0, len(programs), PROGRAMS_PER_CALL):
                verdicts = executor.run(programs[start : start + PROGRAMS_PER_CALL])
                lines.writelines(to_json(verdict) + "\n" for verdict in verdicts)
                counts.update(verdict.status for verdict in verdicts)
                shown.update(start + len(verdicts))
        os.replace(part, out)
    finally:
        executor.close()
        part.unlink(missing_ok=True)
    return dict(counts)


def _text(row: Row, field: str) -> str:
    value = row.as_it_is(field)
    if not isinstance(value, str):
        raise UsageError(f"{row.where}: field {field!r} is {json.dumps(value)[:40]}; expected the text of a program")
    return value


def to_json(verdict: Verdict) -> str:
    """One line of JSON; NaN and infinities, for which it has no number, are the texts nan, inf and -inf."""
    record = asdict(verdict)
    if isinstance(verdict.value, float) and not math.isfinite(verdict.value):
        record["value"] = str(verdict.value)
    return json.dumps(record, default=str, allow_nan=False)


def print_self_test(console: Console) -> None:
    """Show the grade of this machine's sandbox, its layers and what was tried against it."""
    console.print_json(data=self_test())
