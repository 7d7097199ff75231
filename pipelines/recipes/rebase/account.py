"""What ReBase tells of its rows and candidates, at the terminal and in report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.pipelines import report
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.blocks import Block, Table, Texts

SOURCES_TOLD, ROWS_SHOWN = 6, 8
LEFT_OVER = ("surplus", "unbalanced", "over_limit")
"""Reasons for which candidates are dropped although they are right."""


def say_what_came(ctx: RunContext, summary: Mapping[str, Any]) -> None:
    """Two lines: about the rows, and about the examples made of them."""
    ctx.say(rows_line(summary))
    left_over = _listed({reason: count for reason, count in summary["dropped"].items() if reason in LEFT_OVER})
    ctx.say(f"{summary['examples']:,} examples; right, but not learned: {left_over}")


def rows_line(summary: Mapping[str, Any]) -> str:
    """One line about the retrieved rows."""
    rows = summary["rows"]
    if not rows["retrieved"]:
        return f"{summary['pass']['questions']:,} questions from nothing but the target"
    most = dict(list(rows["sources"].items())[:SOURCES_TOLD])
    others = ", ..." if len(rows["sources"]) > SOURCES_TOLD else ""
    sources = f"{len(rows['sources'])} sources ({_listed(most)}{others})"
    return f"{rows['retrieved']:,} rows of {sources}; left out: {_listed(rows['dropped'])}"


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def sections(ctx: RunContext, summary: Mapping[str, Any], spent: Mapping[str, Any], *, known: bool) -> dict[str, Any]:
    """The report's sections; `known` says that an earlier run had done all of it.

    A candidate is passed where its answer is right, even if it is not learned.
    """
    asked, answers, dropped = summary["pass"], summary["answers"], summary["dropped"]
    left_over = {reason: count for reason, count in dropped.items() if reason in LEFT_OVER}
    failed = {reason: count for reason, count in dropped.items() if reason not in LEFT_OVER}
    passed = summary["examples"] + sum(left_over.values())
    account = asked | {
        "examples": summary["examples"],
        "statuses": {"passed": passed, "failed": sum(failed.values()), "unknown": summary["unknown"]},
        "reasons": failed,
        "dropped": left_over,
        "grade": answers["grade"],
        "passed_by_context": dict.fromkeys(asked["contexts"], passed),
        **{name: asked[name] + answers[name] for name in ("prompt_tokens", "completion_tokens")},
        **({"generated": 0, "verified": 0} if known else {}),
    }
    fresh = {name: answers[name] for name in ("samples", "completion_tokens", "statuses")}
    told = report.synthesis(ctx.teacher.model, account, spent)
    told["verification"]["programs"] = summary["candidates"]  # also where the teacher was asked nothing
    return told | {"rebase": {"rows": summary["rows"], "labels": summary["labels"], "answers": fresh}}


def tell_rows(told: Mapping[str, Any]) -> list[Block]:
    """The page's tables about retrieved rows and labels, of the recipe's section of report.json."""
    rows, blocks = told["rows"], list[Block]()
    if sources := list(rows.get("sources", {}).items()):
        blocks.append(Table("Retrieved rows by source", ("source", "rows"), sources))
    if dropped := list(rows.get("dropped", {}).items()):
        blocks.append(Table("Rows that were left out", ("reason", "rows"), dropped))
    if scores := rows.get("scores"):
        blocks.append(Table("Mean scores of the rows", ("score", "mean"), [*scores.items()]))
    if labels := list(told.get("labels", {}).items()):
        blocks.append(Table("Labels of the examples", ("label", "examples"), labels))
    return blocks


def winners(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The best rows of a lookup, each with the values that made it so."""
    return [
        Texts(
            f"{row['source']} #{row['row']}, S {row['s']:.3f}",
            [_winner(row, "in", "inputs"), _winner(row, "out", "outputs")],
        )
        for row in rows[:ROWS_SHOWN]
    ]


def _winner(row: Mapping[str, Any], end: str, name: str) -> tuple[str, str]:
    column = row[f"column_{end}"]
    return f"column {column}, nearest to the {name} ({row[f's_{end}']:.3f})", row["values"][column]
