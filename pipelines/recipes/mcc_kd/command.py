"""``raydistill consistency``: how alike a student's answers are over several rationales of a question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def consistency(
    student: Annotated[str, typer.Argument(help="a model directory, PEFT adapter or hub id", metavar="STUDENT")],
    examples: Annotated[str, typer.Argument(help="examples of held-out questions, RUN/examples/KEY of recipe mcc_kd")],
    temperature: Annotated[float, typer.Option(help="of the answer distributions that are compared", min=0.01)] = 1.0,
    out: Annotated[Path | None, typer.Option(help="JSON file for what was measured")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")] = False,
) -> None:
    """How alike a student's answers are over several rationales of a question."""
    from raydistill.pipelines.data.examples import read_examples
    from raydistill.pipelines.recipes.mcc_kd.consistency import answer_consistency

    found = answer_consistency(read_examples(examples), student, temperature=temperature)
    if out:
        out.write_text(json.dumps(found.to_json(), indent=2) + "\n", encoding="utf-8")
    if not quiet:
        told = (
            f"answer KL {found.answer_kl:.4f}, agreement {found.agreement:.1%} over {found.pairs:,} pairs of rationales"
        )
        if found.other_kl is not None:
            told += f"; KL to another question's answer {found.other_kl:.4f} over {found.other_pairs:,}"
        Console().print(told)
