"""What was spent on completions beside those that are stored, as report.json tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raydistill.actors.engine.ledger import LedgerReader, Spending
from raydistill.actors.engine.recorded import NAME as RECORDED
from raydistill.actors.segments import read_segments


def waste(ledger: str, folders: Mapping[str, str], *, remote: bool) -> dict[str, Any]:
    """Tokens in the folder `ledger` that no completion in `folders` (by purpose) has.

    Of a model behind a URL (`remote`) also how much of all is not its server's own count.
    """
    wasted, sent, known = 0, list[Spending](), LedgerReader(ledger).read()
    for purpose, completions in folders.items():
        rows = (
            row for table in read_segments(completions, ["completion_tokens", "engine"]) for row in table.to_pylist()
        )
        stored = sum(row["completion_tokens"] for row in rows if row["engine"] != RECORDED)  # those have no ledger
        sent.append(known.get(purpose, Spending()))
        wasted += max(0, sent[-1].tokens - stored)
    told: dict[str, Any] = {"wasted_tokens": wasted}
    if remote and sent:
        total = sum(sent, Spending())
        told |= {
            "wasted_tokens_estimated": total.lost_estimated,
            "wasted_prompt_tokens": total.lost_prompts,
            "estimated_tokens": total.estimated,
            "http_requests": total.attempts,
        }
    return told
