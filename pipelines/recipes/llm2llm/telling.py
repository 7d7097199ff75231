"""What LLM2LLM tells of its rounds: at the terminal, and on the page of a run with some of the new questions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raydistill.pipelines.data.blocks import Block, Table, Texts

if TYPE_CHECKING:
    from raydistill.pipelines.views.run_folder import RunFolder

ROWS_READ, SHOWN = 2000, 6


def in_one_line(account: Mapping[str, Any]) -> str:
    """One line about a round, from its account."""
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in account["dropped"].items()) or "none"
    return (
        f"{account['failed']:,} of {account['seeds']:,} seeds failed, {account['written']:,} questions written, "
        f"{account['added']:,} added; dropped: {dropped}"
    )


def tell_rounds(accounts: Sequence[Mapping[str, Any]], scores: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Tables of the accounts in report.json: round by round, and why new questions were dropped.

    `scores` are those of the run's evaluation; a round's is of the student that it has trained.
    """
    if not accounts:
        return []
    rows = [
        (
            told["round"],
            told["right"],
            told["failed"],
            told["unknown"],
            told["written"],
            told["added"],
            told["examples"],
            _measured(scores, f"round {told['round']}", last=told is accounts[-1]),
        )
        for told in accounts
    ]
    columns = ("round", "seeds right", "failed", "unknown", "written", "added", "examples", "accuracy after")
    dropped = sum((Counter(told["dropped"]) for told in accounts), Counter[str]())
    blocks: list[Block] = [Table("Rounds", columns, rows)]
    if dropped:
        blocks.append(Table("New questions that were dropped", ("reason", "questions"), dropped.most_common()))
    return blocks


def _measured(scores: Mapping[str, Mapping[str, Any]], name: str, *, last: bool) -> str:
    """The accuracy of a round's student on the held-out questions; the last one is the run's."""
    score = scores.get(name) or (scores.get("student") if last else None)
    return f"{score['accuracy']:.1%}" if score else "-"


def tell_questions(run: RunFolder) -> list[Block]:
    """Some new questions of the last examples, each with the seed that it is like, and a program that was run."""
    rows = [row | json.loads(row["meta"]) for row in run.first_examples(ROWS_READ) if "seed" in json.loads(row["meta"])]
    chosen = list({row["question_id"]: row for row in rows}.values())[:SHOWN]
    seeds = run.questions([row["seed"] for row in chosen])
    return [
        Texts(
            f"Round {row['round']}: {row['question']}",
            [
                ("Seed that it is like", seeds.get(row["seed"], row["seed"])),
                (f"Answer of {row['votes']} programs", row["answer"]),
                ("One of them", "".join(piece["text"] for piece in row["completion"])),
            ],
        )
        for row in chosen
    ]
