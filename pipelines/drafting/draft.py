"""A survey as a configuration with comments: what raydistill would take for this file, and what to look at."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

from raydistill.actors.errors import UsageError
from raydistill.actors.rows import read_file
from raydistill.pipelines.config.files import validated
from raydistill.pipelines.drafting.survey import NAMES, Survey
from raydistill.pipelines.run_config import Run

TEMPLATES = Path(__file__).parent / "templates"
STUDENT = "HuggingFaceTB/SmolLM2-360M-Instruct"
HELD_OUT = (20, 200)  # questions, a tenth of the file between these
CHARACTERS = 3  # of a token, at least, in most languages that have an alphabet
PROMPT_TOKENS = 150  # around a question
ANSWER_TOKENS = {"number": 512, "expression": 512, "option": 384, "yes or no": 384, "several": 512}
COMPLETIONS = ("completion", "completions", "response", "program", "generation", "output")


def draft(
    found: Survey, *, run_dir: str, student: str = STUDENT, recording: str | None = None, gpu: bool = False
) -> str:
    """The text of a configuration, which loads as it stands.

    Completions of `recording`, where it is given, stand in for a teacher; with `gpu` the student is trained on one.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["yaml"] = lambda value: json.dumps(value, ensure_ascii=False)
    answer_tokens = max(ANSWER_TOKENS.get(found.kind, 512), _tokens(2 * found.answers.longest))
    return environment.get_template("run.yaml").render(
        found=found,
        kinds=", ".join(f"{count:,} {kind}" for kind, count in found.kinds.most_common()),
        grader=found.grader if len(found.kinds) == 1 else "auto",  # named, all gold answers must be of the kind
        run_dir=run_dir,
        student=student,
        recording=recording,
        completions=_completion_columns(recording) if recording else {},
        gpu=gpu,
        held_out=min(max(HELD_OUT[0], found.count // 10), HELD_OUT[1], max(1, found.count // 2)),
        answer_tokens=answer_tokens,
        max_length=_rounded(PROMPT_TOKENS + _tokens(found.questions.longest) + answer_tokens),
    )


def checked(text: str, where: str) -> Run:
    """The configuration that a draft is. Raises UsageError where it is none."""
    import yaml

    return validated(Run, yaml.safe_load(text), where)


def _tokens(characters: int) -> int:
    return ceil(characters / CHARACTERS)


def _rounded(tokens: int) -> int:
    """Up to the next 256."""
    return 256 * ceil(tokens / 256)


def _completion_columns(recording: str) -> dict[str, Any]:
    """Where a file of completions has questions and completions; {} for answers of a batch, which say it themselves.

    Raises UsageError where it cannot be told.
    """
    from raydistill.actors.engine.remote.batches import is_batch_line

    first = next(read_file(recording), None)
    if first is None:
        raise UsageError(f"--recording {recording}: no rows in it")
    if is_batch_line(first.data):
        return {}
    names = list(first.names())
    question = next((name for name in NAMES["question"] if name in names), None)
    completion = next((name for name in COMPLETIONS if name in first.data), None)
    if not question or not completion:
        raise UsageError(
            f"--recording {recording}: which columns hold questions and completions? It has {', '.join(names)}; "
            "expected question and completion, or the answers of a batch API"
        )
    return {"question_column": question, "completion_column": completion}
