"""What is told of conversations: what self-update does to a student's answers, and how those of training ended.

Greedy, as the student is served (TriPosT, 2310.13522, section 4: frequency and contribution of self-improvement).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from raydistill.pipelines.tasks import Task

if TYPE_CHECKING:
    from raydistill.pipelines.recipes.tripost.updating import Rollout


class Outcome(NamedTuple):
    """What became of one question."""

    before: bool  # the first attempt is right
    after: bool  # the last one is
    tried: bool  # there was an update
    repeated: bool  # its last update said again what was said before, or ran in circles, and was left out


def _is_right(rollout: Rollout, task: Task, turn: int) -> bool:
    """Whether an attempt in a finished conversation ends in the gold answer."""
    return task.grade(rollout.turns[turn].attempt, rollout.question).status == "passed"


def account(rollouts: Sequence[Rollout], task: Task) -> dict[str, Any]:
    """What updates did, of all finished conversations and by split of the questions; and how conversations ended."""
    told = [outcome(rollout, task) for rollout in rollouts if rollout.known]
    by_split: dict[str, list[Outcome]] = {}
    for rollout, found in zip([rollout for rollout in rollouts if rollout.known], told, strict=True):
        by_split.setdefault(str(rollout.question.meta.get("split", "all")), []).append(found)
    splits = {split: _fractions(part) for split, part in sorted(by_split.items())}
    return {**_fractions(told), "endings": endings(rollouts), "splits": splits}


def outcome(rollout: Rollout, task: Task) -> Outcome:
    """What became of the question of a finished conversation."""
    before, after = (_is_right(rollout, task, turn) for turn in (0, -1))
    return Outcome(before, after, tried=len(rollout.turns) > 1, repeated=rollout.ending == "repetition")


def _fractions(told: Sequence[Outcome]) -> dict[str, float]:
    """``helped``: wrong before, right after; ``hurt``: the reverse."""
    return {
        "n": len(told),
        "before": _mean([one.before for one in told]),
        "after": _mean([one.after for one in told]),
        "tried": _mean([one.tried for one in told]),
        "helped": _mean([one.after and not one.before for one in told]),
        "hurt": _mean([one.before and not one.after for one in told]),
    }


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def endings(rollouts: Sequence[Rollout]) -> dict[str, int]:
    """How many conversations ended why; those that no engine could answer are ``unknown``."""
    return dict(Counter(r.ending or "unknown" for r in rollouts))


def in_one_line(account: Mapping[str, Any]) -> str:
    """One line about the trajectories of an iteration, from its account (`iteration`)."""
    rejected = ", ".join(f"{reason} {count:,}" for reason, count in account["rejected"].items()) or "none"
    accepted, kept = account["accepted"], account["kept"]
    return (
        f"{account['conversations']:,} conversations: {accepted['self_correct']:,} right at once, "
        f"{accepted['improved']:,} improved, rejected: {rejected}, {account['unknown']:,} unknown; learned from: "
        + ", ".join(f"{count:,} {kind}" for kind, count in kept.items())
    )
