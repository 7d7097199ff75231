"""The page of on-policy distillation's replication: accuracy, trained tokens, what the rounds were like, the claims."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.replications.cells import Cell
from benchmarks.replications.claims import claim_rows, write_claims
from benchmarks.replications.pages import (
    Cells,
    Measured,
    average,
    by_name,
    claim_lines,
    compared,
    opening,
    passed,
    percents,
    table,
    unmeasured,
    write_results,
)
from raydistill.pipelines.evaluation.bootstrap import matrix, mean_of

PAPER = "2306.13649"
COLD, BEFORE = "cold", "noised, before"


class Claim(NamedTuple):
    """One arm over another: clearly, or just not below it."""

    ours: str
    other: str
    text: str
    clearly: bool = True


CLAIMS = (
    Claim("opd", "text", "OPD over as many tokens of the teacher's text"),
    Claim("opd", COLD, "OPD over the student it starts from"),
    Claim("opd_verdicts", "opd", "verdicts beside the teacher's scores are not below OPD alone", clearly=False),
    Claim("opd_verdicts_weak", "opd", "verdicts of a fifth of that weight are not below OPD alone", clearly=False),
    Claim("until", "text", "OPD up to a token that the teacher finds unlikely over as many tokens of its text"),
    Claim("until", "opd", "OPD up to a token that the teacher finds unlikely over OPD to the end"),
    Claim("gkd", "text", "half of it the teacher's text, and a tenth more tokens, over that text alone"),
    Claim("gkd_until", "text", "both of these changes, and a tenth more tokens, over the teacher's text alone"),
    Claim("gkd_until", "opd", "both of these changes over OPD"),
    Claim("gkd_until_verdicts", "gkd_until", "verdicts beside both of these changes are not below", clearly=False),
    Claim("noised", BEFORE, "control: OPD of a teacher's weights with noise over where they start"),
    Claim("verdicts", COLD, "control: verdicts alone over the student they start from"),
)
ROUND = ("student", "round", "samples right, %", "reverse KL, nats a token", "sampled tokens", "trained tokens")


def summarise(cells: Mapping[Cell, Measured]) -> dict[str, Any]:
    """Accuracy and tokens of each student, what its rounds were like, and each claim that both sides are there for."""
    named = dict(by_name(cells))
    if "noised" in named:
        named[BEFORE] = {s: {**c, "passed": c["before"], "tokens": 0, "rounds": []} for s, c in named["noised"].items()}
    students = {
        arm: {
            "accuracy": mean_of(matrix([content["passed"] for content in seeds.values()])),
            "tokens": average(seeds.values(), "tokens"),
            "rounds": _rounds([content["rounds"] for content in seeds.values()]),
        }
        for arm, seeds in named.items()
    }
    return {"students": students, "claims": [told for claim in CLAIMS if (told := _claim(named, claim))]}


def _rounds(seeds: Sequence[Sequence[Measured]]) -> list[dict[str, Any]]:
    """What each round was like, on average over seeds; those that not all seeds have are left out."""
    names = ("accuracy", "reverse_kl", "sampled_tokens", "trained_tokens")
    return [
        {name: None if one[0][name] is None else average(one, name, digits=4) for name in names}
        for one in zip(*seeds, strict=False)
    ]


def _claim(named: Cells, claim: Claim) -> dict[str, Any] | None:
    """One arm against another over the seeds that both have."""
    ours, other = (passed(named.get(arm, {})) for arm in (claim.ours, claim.other))
    if told := compared(ours, other):
        return {"claim": claim.text, **told, "holds": told["ci95"][0] > 0 if claim.clearly else told["gain"] >= 0}
    return None


def page(content: Measured, _: str) -> str:
    """The page in Markdown."""
    students, told = content["students"], content["settings"]
    sizes = (
        f"{told['questions']:,} training questions, {told['test']} test questions, {told['cold_epochs']} epochs before "
        f"the rounds, {told['text_epochs']} of the arm that goes on with text"
    )
    lines = ["# On-policy distillation on the demo models", "", opening(content, sizes, "opd", "run.py"), ""]
    start = students.get(COLD, {}).get("tokens", 0)
    rows = [
        [arm, percents(one["accuracy"]), f"{one['tokens'] + (start if one['rounds'] and arm != 'noised' else 0):,.0f}"]
        for arm, one in students.items()
    ]
    lines += [
        "Percent of test questions answered rightly, greedily (95 % interval over seeds and questions), and all tokens "
        "trained on, those of the cold start among them:",
        "",
    ]
    lines += [*table(["student", "right", "trained tokens"], rows), ""]
    rounds = [
        [arm, str(number), *_round(one)] for arm in students for number, one in enumerate(students[arm]["rounds"], 1)
    ]
    if rounds:
        lines += ["What the student wrote in each round, at temperature 1:", "", *table(ROUND, rounds), ""]
    return "\n".join([*lines, *claim_lines(content), "", unmeasured(content), ""])


def _round(told: Measured) -> list[str]:
    """The cells of a round's row."""
    right, apart = (told["accuracy"] or 0) * 100, told["reverse_kl"]
    return [
        f"{right:.1f}",
        "-" if apart is None else f"{apart:.2f}",
        *(f"{told[name]:,.0f}" for name in ("sampled_tokens", "trained_tokens")),
    ]


def write_report(options: argparse.Namespace, paths: dict[Cell, Path]) -> None:
    """The page, its JSON, and the claims' rows."""
    content = write_results(options, paths, ("questions", "test", "cold_epochs", "text_epochs"), summarise, page)
    write_claims(Path(options.out), claim_rows(options, PAPER, content["claims"]))
