"""What the papers claim, and what was measured of it: docs/results/real.md, made from docs/results/claims.json.

    python -m benchmarks.replications.overview

Each claim of a paper has a line with its figure there, the same comparison on the demo models (2 M parameters, made for
it) and on pretrained weights; where a comparison cannot tell at this size, the control beside it says so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import command
from benchmarks.replications.cells import RESULTS, run_main
from benchmarks.replications.pages import percents, table, with_interval
from raydistill.actors.storage import write_atomic

UNREADABLE = "not readable"  # of the figures that the papers' tables have, in what was at hand of them


class Claim(NamedTuple):
    """A paper's claim: the ids of its rows, on the demo models and on pretrained weights, and of a control."""

    text: str
    figure: str
    toy: str
    real: tuple[str, ...] = ()
    control: str = ""


class Paper(NamedTuple):
    title: str
    claims: tuple[Claim, ...]


PAPERS = (
    Paper(
        "PaD ([2305.13888](https://arxiv.org/abs/2305.13888))",
        (
            Claim(
                "programs teach more than rationales of the same questions",
                "+10 points over baselines (abstract)",
                "pad-pad-over-cot-same-questions-and-teacher-tokens-known",
                ("pad-over-cot-svamp", "pad-over-cot-multiarith", "pad-live-chain-gsm8k", "programs-over-text-gsm8k"),
                control="pad-over-calculated-cot-svamp-800",
            ),
            Claim(
                "verified programs teach more than unverified ones",
                UNREADABLE,
                "pad-verified-over-unverified-programs-known",
                ("verified-over-unverified",),
            ),
            Claim(
                "programs of several contexts teach more than one",
                UNREADABLE,
                "pad-questions-250-eight-contexts-over-one-sample-known",
                control="pad-questions-250-eight-contexts-over-eight-samples-of-one-prompt-known",
            ),
            Claim(
                "learning to repair faults helps",
                UNREADABLE,
                "pad-self-refinement-over-pad-known",
                ("refinement-svamp",),
            ),
            Claim(
                "a beam that verifies steps helps",
                UNREADABLE,
                "pad-step-verification-over-plain-beam-known",
                control="pad-plain-beam-over-greedy-known",
            ),
        ),
    ),
    Paper(
        "TriPosT ([2310.13522](https://arxiv.org/abs/2310.13522))",
        (
            Claim(
                "the student's own edited attempts teach more than gold rationales alone",
                "up to +7.13 points (abstract)",
                "tripost-tripost-over-rationale-sft-all-tasks-seen",
                ("tripost-over-gold-arithmetic",),
            ),
            Claim(
                "they teach more than another model's demonstrations",
                UNREADABLE,
                "tripost-tripost-over-si-demo-all-tasks-seen",
                control="tripost-si-demo-over-rationale-sft-all-tasks-seen",
            ),
            Claim(
                "the student's updates help more often than they hurt",
                UNREADABLE,
                "tripost-updates-of-tripost-s-student-after-over-before-all-tasks-seen",
                control="tripost-told-updates-after-right-reasons-after-over-before-multistep-arithmetic-seen",
            ),
            Claim(
                "another iteration helps",
                UNREADABLE,
                "tripost-second-iteration-over-first-all-tasks-seen",
            ),
        ),
    ),
    Paper(
        "MCC-KD ([2310.14747](https://arxiv.org/abs/2310.14747))",
        (
            Claim(
                "rationales of a question agree more on its answer (ratio of the typical KL)",
                UNREADABLE,
                "mcc_kd-typical-answer-kl-at-most-half-of-that-without-kl-ratio-known",
                ("mcc-kd-answer-kl-svamp",),
                control="mcc_kd-kl-to-a-wrong-question-s-answer-falls-by-a-tenth-at-most-ratio-known",
            ),
            Claim(
                "and the student answers better",
                UNREADABLE,
                "mcc_kd-mcc-kd-not-below-k-without-kl-known",
                ("mcc-kd-accuracy-svamp",),
                control="mcc_kd-control-all-over-half-of-the-questions-without-kl-known",
            ),
        ),
    ),
    Paper(
        "ReBase ([2407.05463](https://arxiv.org/abs/2407.05463))",
        (
            Claim(
                "rows found by their values teach more than rows found by their dataset",
                UNREADABLE,
                "rebase-rows-by-their-values-over-rows-by-their-dataset",
                ("rebase-rows-over-random-extractive",),
                control="rebase-rows-by-their-values-over-random-rows",
            ),
            Claim(
                "retrieved and rewritten rows teach more than direct synthesis",
                "+7.8 SQuAD, +1.37 MNLI, +1.94 BBH (abstract)",
                "rebase-word-problems-retrieved-and-rewritten-over-direct-synthesis-as-many-examples",
                ("rebase-over-direct-extractive",),
                control="rebase-retrieved-and-rewritten-over-direct-synthesis-as-many-examples",
            ),
            Claim("rewriting rows helps", UNREADABLE, "rebase-rewritten-over-raw-rows"),
            Claim("reasoning in what is written helps", UNREADABLE, "rebase-with-reasoning-over-answers-only"),
        ),
    ),
    Paper(
        "Mixed Distillation ([2312.10730](https://arxiv.org/abs/2312.10730))",
        (
            Claim(
                "programs and rationales with one vote are not below the better one alone",
                UNREADABLE,
                "mixed-sampled",
                ("mixed-svamp",),
            ),
        ),
    ),
    Paper(
        "GKD ([2306.13649](https://arxiv.org/abs/2306.13649))",
        (
            Claim(
                "what the student writes and the teacher scores teaches more than as much of the teacher's text",
                UNREADABLE,
                "opd-opd-over-as-many-tokens-of-the-teacher-s-text",
                control="opd-control-opd-of-a-teacher-s-weights-with-noise-over-where-they-start",
            ),
        ),
    ),
    Paper(
        "LLM2LLM ([2403.15042](https://arxiv.org/abs/2403.15042))",
        (
            Claim(
                "new questions like those that the student fails teach more than a few seeds alone",
                "+24.2 GSM8K, +39.8 SST-2 (abstract)",
                "llm2llm-llm2llm-over-its-seeds-alone",
            ),
            Claim(
                "new questions like those that the student fails teach more than as many like any",
                UNREADABLE,
                "llm2llm-questions-like-the-failed-seeds-over-as-many-like-any-seeds-direct-synthesis",
                control="llm2llm-control-further-questions-of-the-seeds-kind-over-the-seeds-alone",
            ),
        ),
    ),
)
HEADER = ("claim", "in the paper", "demo models", "pretrained weights", "control")
CONTROLS = """A control is a comparison that tells how the line is to be read: one whose outcome is known beforehand, or
the same comparison in another setting. Where it does not hold either, this size cannot tell."""


def page(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The page in Markdown, of the rows of claims.json by id."""
    lines = [
        "# The papers' claims, and what was measured",
        "",
        f"`{command()}`, from [claims.json](claims.json), which has the setting, questions and command of each line.",
        "Gains are in points, with 95 % intervals over seeds and questions; **bold** where the whole interval is above",
        "zero, and where a ratio is what was claimed.",
        "",
    ]
    for paper in PAPERS:
        lines += [f"## {paper.title}", "", *table(HEADER, [_row(claim, rows) for claim in paper.claims]), ""]
    return "\n".join([*lines, *CONTROLS.splitlines(), ""])


def _row(claim: Claim, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    real = [f"{_shown(row)} ({row['setting']})" for one in claim.real for row in _measured(one, rows)]
    control = rows.get(claim.control)
    beside = f"{control['claim'].removeprefix('control: ')}: {_shown(control)}" if control else "-"
    return [claim.text, claim.figure, _shown(rows[claim.toy]), "; ".join(real) or "not measured yet", beside]


def _measured(claim: str, rows: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of a claim: its own, and those of changed settings, whose ids go on from its."""
    return [row for name, row in rows.items() if name == claim or name.startswith(f"{claim}-")]


def _shown(row: Mapping[str, Any]) -> str:
    """A gain with its interval and seeds; a ratio as it is."""
    if row["claim"].endswith("(ratio)"):
        told, certain = with_interval(row, "gain", "{:.2f}"), row["holds"]
    else:
        told, certain = percents(row, "gain", signed=True), row["ci95"][0] > 0
    told = f"{told}, {row['seeds']} seeds" if row["seeds"] > 1 else f"{told}, 1 seed"
    return f"**{told}**" if certain else told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of claims.json and of the page")
    options = parser.parse_args()
    rows = {row["id"]: row for row in json.loads((options.out / "claims.json").read_text(encoding="utf-8"))}
    write_atomic(str(options.out / "real.md"), page(rows).encode())


if __name__ == "__main__":
    run_main(main)
