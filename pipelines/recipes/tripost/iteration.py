"""One iteration of TriPosT: conversations of the current student, edited until they end right, as training examples.

    roll out --> drafts --judge, improve, judge, ...--> finished conversations --> turns --balance--> examples

Under ``trajectories/<key>/``: a conversation is stored when it is accepted or rejected, so that a resumed run goes on
with the others only; the key holds the student's weights, the sampling and all that the edit depends on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from raydistill.actors.errors import RaydistillError
from raydistill.actors.segments import SegmentWriter, read_segments
from raydistill.pipelines.config.sections import EngineConfig, SamplingConfig
from raydistill.pipelines.context import ExampleSet, RunContext
from raydistill.pipelines.data.examples import write_examples
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.recipes.tripost.account import endings
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import Turn
from raydistill.pipelines.recipes.tripost.critics import Critics
from raydistill.pipelines.recipes.tripost.editing import ACCEPTED, Draft, improved, judged, open_draft, unedited
from raydistill.pipelines.recipes.tripost.replay import (
    REPLAY_VERSION,
    balance,
    count_kinds,
    gold_example,
    gold_rationale,
    turn_examples,
    without_repeats,
)
from raydistill.pipelines.recipes.tripost.updating import GO_ON, STUDENT, Rollout, roll_out
from raydistill.pipelines.tasks import LoadedQuestions

EDITING_VERSION = "1"
"""Of how conversations are judged and improved: raise it where they may come out otherwise."""

TRAINING = {"iterations", "learning_rate", "epochs"}
"""Settings that no example depends on."""

SELECTION = {"balance", "max_examples", "feedback_weight", "correction_weight", "attempt_weight", "question_weight"}
"""Settings that no conversation depends on."""


def collect_trajectories(
    ctx: RunContext, config: TriPosT, loaded: LoadedQuestions, model: EngineConfig, iteration: int
) -> tuple[ExampleSet, dict[str, Any]]:
    """The examples of an iteration, and the account of its conversations; `model` attempts.

    Iterations draw with seeds of their own. Raises RaydistillError if a conversation was lost.
    """
    title = f"iteration {iteration}"
    sampling = SamplingConfig(
        n=config.samples,
        temperature=config.temperature,
        max_tokens=ctx.student_tokens,
        seed=config.seed + 1000 * iteration,
    )
    updates = min(config.updates, config.max_updates) if config.learn == "conversations" else 0
    critics = Critics(ctx, config, loaded.task)
    attempts = ctx.job(model, loaded, sampling, prompter=STUDENT).key, GO_ON.version, updates
    ids = content_hash(*sorted(question.id for question in loaded.questions))
    key = content_hash(*attempts, EDITING_VERSION, config.model_dump(exclude=TRAINING | SELECTION), critics.keys, ids)

    def compute(folder: str) -> dict[str, Any]:
        rollouts = roll_out(ctx, f"{title}: attempts", model, loaded, sampling, updates=updates)
        finished = f"{ctx.root}/trajectories/{key}/finished"
        drafts = edit(critics, rollouts, finished, max_updates=config.max_updates)
        told = _account(rollouts, drafts) | {"agreement": dict(critics.agreement)}
        return told | _write(critics, drafts, loaded, folder, seed=(config.seed, iteration))

    settings = config.model_dump(exclude=TRAINING)
    return ctx.cached("conversations", [key, settings, title, REPLAY_VERSION, STUDENT.version], compute)


def attempted(loaded: LoadedQuestions, config: TriPosT, iteration: int) -> LoadedQuestions:
    """The questions that are attempted in an iteration (from 1): others in each, until all have had their turn."""
    wanted, total = config.questions_per_iteration, len(loaded.questions)
    if wanted is None or wanted >= total:
        return loaded
    order = sorted(loaded.questions, key=lambda question: content_hash(config.seed, question.id))
    first = (iteration - 1) * wanted
    return replace(loaded, questions=[order[place % total] for place in range(first, first + wanted)])


def edit(critics: Critics, rollouts: Sequence[Rollout], folder: str, *, max_updates: int) -> list[Draft]:
    """All finished conversations, those of an earlier run included; each is stored in `folder` when it finishes.

    Conversations that no engine could answer are left out; the next run takes them up again.
    """
    import pyarrow as pa

    names = ("id", "question_id", "outcome", "turns")
    writer = SegmentWriter(folder, pa.schema([(name, pa.string()) for name in names]))
    finished = stored_drafts(folder, {rollout.question.id: rollout.question for rollout in rollouts})
    known = {draft.id for draft in finished}
    drafts = [
        open_draft(rollout.id, rollout.question, rollout.turns, cut_off=rollout.cut_off)
        for rollout in rollouts
        if rollout.known and rollout.id not in known
    ]
    while drafts:
        done = [draft for draft in drafts if draft.outcome]
        writer.append([_to_row(draft) for draft in done])
        finished += done
        drafts = _next_turn(critics, [draft for draft in drafts if not draft.outcome], max_updates)
    writer.flush()
    return finished


def _next_turn(critics: Critics, drafts: list[Draft], max_updates: int) -> list[Draft]:
    """The drafts with feedback on the attempt that waits, and an improvement where the feedback asks for one."""
    if not drafts:
        return []
    right = {draft.id: critics.task.grade(draft.attempt, draft.question).status == "passed" for draft in drafts}
    if critics.config.learn == "right_attempts":
        return [unedited(draft, right=right[draft.id]) for draft in drafts]
    told, reasons = critics.judge(drafts), critics.config.agree_in == "reason"
    after = [
        judged(draft, told[draft.id], right=right[draft.id], max_updates=max_updates, reasons=reasons)
        for draft in drafts
        if draft.id in told
    ]
    updates = critics.improve([draft for draft in after if draft.fault and not draft.outcome])
    waiting = [draft for draft in after if not draft.fault or draft.outcome]
    return waiting + [improved(draft, updates[draft.id]) for draft in after if draft.id in updates]


def _to_row(draft: Draft) -> dict[str, Any]:
    turns = json.dumps([asdict(turn) for turn in draft.turns], ensure_ascii=False)
    return {"id": draft.id, "question_id": draft.question.id, "outcome": draft.outcome, "turns": turns}


def stored_drafts(folder: str, questions: dict[str, Question]) -> list[Draft]:
    """The finished conversations in a folder."""
    return [
        Draft(
            row["id"],
            questions[row["question_id"]],
            tuple(Turn(**turn) for turn in json.loads(row["turns"])),
            outcome=row["outcome"],
        )
        for table in read_segments(folder)
        for row in table.to_pylist()
    ]


def _account(rollouts: Sequence[Rollout], finished: Iterable[Draft]) -> dict[str, Any]:
    """What became of every conversation. Raises RaydistillError unless each is there once."""
    drafts = list(finished)
    ids = Counter(draft.id for draft in drafts)
    if set(ids) - {rollout.id for rollout in rollouts} or any(count > 1 for count in ids.values()):
        raise RaydistillError("conversations were doubled, or are those of other questions; remove the trajectories")
    outcomes = Counter(str(draft.outcome) for draft in drafts)
    return {
        "conversations": len(rollouts),
        "accepted": {outcome: outcomes[outcome] for outcome in ACCEPTED},
        "rejected": {outcome: count for outcome, count in outcomes.items() if outcome not in ACCEPTED},
        "unknown": len(rollouts) - len(drafts),
        "updates": dict(Counter(len(draft.turns) - 1 for draft in drafts if draft.outcome in ACCEPTED)),
        "endings": endings(rollouts),
    }


def _write(
    critics: Critics, finished: Iterable[Draft], loaded: LoadedQuestions, folder: str, seed: object
) -> dict[str, Any]:
    """Write the balanced examples and say how many of which kind there are."""
    config = critics.config
    accepted = sorted((draft for draft in finished if draft.outcome in ACCEPTED), key=lambda draft: draft.id)
    turns, repeats = without_repeats(example for draft in accepted for example in turn_examples(draft, config))
    gold = []
    if config.learn == "conversations" and config.balance and config.balance[2]:
        for question in loaded.questions:
            rationale = gold_rationale(question)
            gold.append(gold_example(question, rationale, critics.all_right(question, rationale), config))
    kept = balance(turns, gold, config, seed)
    write_examples(kept, folder)
    return {"turns": count_kinds(turns), "repeats": repeats, "kept": count_kinds(kept), "examples": len(kept)}
