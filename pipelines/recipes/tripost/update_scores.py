"""What self-update does for a student's answers: accuracy before and after, how often it is tried, helps and hurts.

Greedy, as the student is served (TriPosT, 2310.13522, section 4: frequency and contribution of self-improvement).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from raydistill.actors.storage import read_bytes, write_json
from raydistill.pipelines.config.sections import EngineConfig, Evaluation, SamplingConfig
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.evaluation.scores import Score, score
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.recipe import SelfImprovement
from raydistill.pipelines.recipes.tripost.rollouts import Rollout, endings, roll_out
from raydistill.pipelines.tasks import LoadedQuestions, Task


class Outcome(NamedTuple):
    """What became of one question."""

    before: bool  # the first attempt is right
    after: bool  # the last one is
    tried: bool  # there was an update
    repeated: bool  # its last update said again what was said before, or ran in circles, and was left out


def measure_updates(
    ctx: RunContext, config: Evaluation, recipe: TriPosT, name: str, model: EngineConfig, loaded: LoadedQuestions
) -> Score:
    """The score of a student's last answers; `Score.updates` tells of its first ones and of the updates between.

    Questions that no engine could answer are counted as unknown, and the next run tries them again.
    """
    sampling = SamplingConfig(n=1, temperature=0, max_tokens=config.max_tokens)
    _, key = ctx.job(model, loaded, sampling, student=True, prompter=SelfImprovement(recipe))
    ids = content_hash(*sorted(question.id for question in loaded.questions))
    uri = f"{ctx.root}/evaluation/{content_hash(key, ids, 'updates', recipe.updates)}.json"
    if done := read_bytes(uri):
        return Score(**json.loads(done))
    rollouts, _ = roll_out(ctx, f"evaluating {name}", model, loaded, sampling, recipe, updates=recipe.updates)
    grader = f"{loaded.task.name} ({loaded.task.grader})"
    after = [_graded(rollout, loaded.task, -1) for rollout in rollouts]
    measured = replace(score(after, samples=1, temperature=0.0, grader=grader), updates=account(rollouts, loaded.task))
    if not measured.unknown:
        write_json(uri, measured.to_json())
    return measured


def _graded(rollout: Rollout, task: Task, turn: int) -> tuple[list[str], list[str]]:
    """Status and value of an attempt in a conversation, as sampling jobs give them."""
    if not rollout.known:
        return ["unknown"], [""]
    grade = task.grade(rollout.turns[turn].attempt, rollout.question)
    return [grade.status], [grade.parsed]


def _is_right(rollout: Rollout, task: Task, turn: int) -> bool:
    return _graded(rollout, task, turn)[0] == ["passed"]


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
