"""``raydistill init``: a first configuration for a file of questions."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raydistill.actors.errors import UsageError
from raydistill.pipelines.cli.outputs import check_out

if TYPE_CHECKING:
    from raydistill.pipelines.drafting.survey import Survey


def init(
    task_file: Annotated[
        str, typer.Argument(help="questions with gold answers: JSONL, JSON, CSV, Parquet, or a hub dataset")
    ],
    out: Annotated[Path | None, typer.Option(help="YAML file to write; default: the file's name here")] = None,
    question_column: Annotated[str | None, typer.Option(help="where its name does not tell")] = None,
    answer_column: Annotated[str | None, typer.Option(help="where its name does not tell")] = None,
    recording: Annotated[str | None, typer.Option(help="file of completions, instead of a teacher")] = None,
    student: Annotated[str | None, typer.Option(help="model directory or hub id of the base student")] = None,
) -> None:
    """Look at a file of questions, write a configuration with comments for it, and say what to do next."""
    from raydistill.pipelines.drafting.draft import STUDENT, checked, draft
    from raydistill.pipelines.drafting.survey import survey

    name = Path(task_file).name.partition(".")[0] or "run"
    out = out or Path(f"{name}.yaml")
    if out.exists():
        raise UsageError(f"init: {out} is there already, and is not written over; name another with --out")
    check_out(out)
    found = survey(task_file, question=question_column, answer=answer_column)
    gpu = Path("/dev/nvidia0").exists()
    text = draft(found, run_dir=f"runs/{name}", student=student or STUDENT, recording=recording, gpu=gpu)
    checked(text, str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("x", encoding="utf-8") as file:
        file.write(text)
    print(_told(found))
    config = shlex.quote(str(out))
    print(
        f"wrote {out}: read it, then\n\n"
        f"  raydistill doctor {config} --quick   # what would go wrong, each line with its remedy\n"
        f"  raydistill plan {config}             # what it will ask of whom, and cost\n"
        f"  raydistill run {config}              # all of it; the same command again goes on where it stopped"
    )


def _told(found: Survey) -> str:
    """What was seen, in two lines."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in found.kinds.most_common())
    asked, answered = found.config.question_column, found.config.answer_column
    return (
        f"{found.config.path}: {found.count:,} questions in {asked} ({found.questions.typical} characters, at most "
        f"{found.questions.longest:,}), {found.duplicates:,} duplicates merged\n"
        f"gold answers in {answered}: {kinds}; compared as {found.grader}"
    )
