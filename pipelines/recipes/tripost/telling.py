"""What TriPosT tells of a run on its page: its iterations, and conversations of the last of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raydistill.pipelines.data.blocks import Block, Table, Texts
from raydistill.pipelines.recipes.tripost.conversation import Turn
from raydistill.pipelines.recipes.tripost.editing import ACCEPTED
from raydistill.pipelines.tasks.stepwise.steps import split_lines

if TYPE_CHECKING:
    from raydistill.pipelines.views.run_folder import RunFolder

ROWS_READ, SHOWN = 500, 6


def tell_iterations(accounts: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Tables of the accounts in report.json, one for each iteration."""
    if not accounts:
        return []
    rows = [
        (place, told["conversations"], *told["accepted"].values(), sum(told["rejected"].values()), told["unknown"])
        for place, told in enumerate(accounts, start=1)
    ]
    columns = ("iteration", "conversations", "right at once", "improved", "rejected", "unknown")
    blocks: list[Block] = [Table("Conversations", columns, rows)]
    for place, told in enumerate(accounts, start=1):
        reasons = sorted(told["rejected"].items(), key=lambda item: -item[1])
        if reasons:
            blocks.append(Table(f"Why iteration {place} rejected some", ("reason", "conversations"), reasons))
        kept = list(told.get("kept", {}).items())
        blocks.append(Table(f"What was learned in iteration {place}", ("kind", "examples"), kept))
    return blocks


def tell_conversations(run: RunFolder) -> list[Block]:
    """Some conversations of the run, improved ones first."""
    rows = [
        row
        for folder in run.folders("trajectories")
        for row in run.first_rows(f"trajectories/{folder}/finished", ROWS_READ)
    ]
    in_order = sorted(rows, key=lambda row: (row["outcome"] != "improved", row["id"]))
    chosen = list({row["question_id"]: row for row in in_order}.values())[:SHOWN]
    questions = run.questions([row["question_id"] for row in chosen])
    return [_conversation(row, questions.get(row["question_id"], row["question_id"])) for row in chosen]


def _conversation(row: Mapping[str, Any], question: str) -> Texts:
    texts = [("Question", question)]
    for place, turn in enumerate(json.loads(row["turns"]), start=1):
        texts.append(("Attempt" if place == 1 else f"Update {place - 1}", turn["attempt"]))
        if turn["feedback"]:
            texts.append(("Feedback", turn["feedback"]))
    return Texts(f"{row['outcome']}: {question}", texts)


def labelled_attempts(run: RunFolder) -> Iterator[dict[str, Any]]:
    """Rows ``{"prompt", "completions", "labels"}``: the steps of an attempt and whether each is right.

    What follows the first wrong step is left out, since nobody has judged it, and attempts without readable feedback.
    """
    for folder in run.folders("trajectories"):
        for batch in run.batches(f"trajectories/{folder}/finished"):
            rows = batch.to_pylist()
            questions = run.questions({row["question_id"] for row in rows})
            for row in rows:
                if row["outcome"] in ACCEPTED and (question := questions.get(row["question_id"])):
                    for place, turn in enumerate(json.loads(row["turns"])):
                        if labelled := _labelled(Turn(**turn)):
                            told = {"id": f"{row['id']}/{place}", "question_id": row["question_id"]}
                            yield {"prompt": question, **labelled, **told}


def _labelled(turn: Turn) -> dict[str, Any] | None:
    feedback, lines = turn.verdict, split_lines(turn.attempt)
    if not feedback or (feedback.step or 0) > len(lines):
        return None
    judged = lines if feedback.correct else lines[: feedback.step]
    labels = [True] * len(judged)
    if not feedback.correct:
        labels[-1] = False
    return {"completions": judged, "labels": labels}
