"""What on-policy distillation tells of its rounds: at the terminal, and on the page of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from raydistill.pipelines.data.blocks import Block, Table

GAPS = {
    "score_minus_sampled": "engine: scores of samples, less what they were sampled with",
    "trainer_minus_engine": "trainer, less the engine's of the samples",
}


def in_one_line(account: Mapping[str, Any]) -> str:
    """One line about a round, from its account."""
    right, apart = account["accuracy"], account["reverse_kl"]
    return (
        f"{account['samples']:,} samples, {right or 0:.1%} right, {account['dropped']['unknown']:,} unknown, "
        f"{account['examples']:,} examples, reverse KL {'unknown' if apart is None else f'{apart:.4f} nats a token'}"
    )


def tell_rounds(accounts: Sequence[Mapping[str, Any]], scores: Mapping[str, Mapping[str, Any]]) -> list[Block]:
    """Tables of the accounts in report.json: what was sampled, what was trained, who scored, what was dropped.

    `scores` are those of the run's evaluation: the student's before the first round and after the last.
    """
    if not accounts:
        return []
    sampled = ("round", "student of round", "samples", "passed", "mean advantage", "reverse KL", "tokens", "scored")
    trained = ("round", "examples", "trained tokens", "first staleness", "mean staleness", "clipped", "accuracy after")
    blocks: list[Block] = [
        Table("What the student wrote, in nats a token", sampled, [_sampled(told) for told in accounts]),
        Table("What was learned of it", trained, [_trained(told, _after(told, accounts, scores)) for told in accounts]),
    ]
    if "cold start" in scores:
        start = scores["cold start"]["accuracy"]
        blocks.append(Table("Before the rounds", ("student", "accuracy"), [("cold start", f"{start:.1%}")]))
    rows = [(told["round"], *each) for told in accounts for each in told.get("teachers", {}).items()]
    if rows:
        blocks.append(Table("Who scored how many samples", ("round", "teacher", "samples"), rows))
    reasons = sum((Counter(told["dropped"] | {"unscored": told["unscored"]}) for told in accounts), Counter[str]())
    if dropped := [(reason, count) for reason, count in reasons.most_common() if count]:
        blocks.append(Table("Samples that were not learned", ("reason", "samples"), dropped))
    gaps = [
        (told["round"], said, f"{told[name]['mean']:.1e}", f"{told[name]['largest']:.1e}")
        for told in accounts
        for name, said in GAPS.items()
        if name in told
    ]
    if gaps:
        columns = ("round", "log-probabilities of the same tokens", "mean", "largest")
        blocks.append(Table("How far engine and trainer are apart, in nats", columns, gaps))
    return blocks


def _sampled(told: Mapping[str, Any]) -> tuple[object, ...]:
    passed = "-" if told["accuracy"] is None else f"{told['accuracy']:.1%}"
    tokens = told["sampled_tokens"], told["scored_tokens"]
    nats = _nats(told["advantage"]), _nats(told["reverse_kl"])
    return told["round"], told.get("sampled_by", "-"), told["samples"], passed, *nats, *tokens


def _trained(told: Mapping[str, Any], accuracy: str) -> tuple[object, ...]:
    staleness = told.get("staleness", {})
    clipped = f"{told['clipped']:.1%}" if "clipped" in told else "-"
    nats = _nats(staleness.get("first")), _nats(staleness.get("mean"))
    return told["round"], told["examples"], told.get("trained_tokens", 0), *nats, clipped, accuracy


def _after(
    told: Mapping[str, Any], accounts: Sequence[Mapping[str, Any]], scores: Mapping[str, Mapping[str, Any]]
) -> str:
    """The accuracy on the held-out questions, which is measured of the last round's student."""
    score = scores.get("student") if told is accounts[-1] else None
    return f"{score['accuracy']:.1%}" if score else "-"


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
