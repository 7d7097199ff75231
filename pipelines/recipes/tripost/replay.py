"""What a student learns from its edited conversations (TriPosT, 2310.13522, sections 3.2 and 3.3).

Every turn is an example of its own: an attempt, the feedback on it, the updated answer. A turn that ends in "all right"
teaches the student to leave right answers alone. Gold rationales with such feedback are added, and the three kinds are
balanced: 1.5 improvements to 1 right attempt to 1 gold rationale is a chance of 0.43 that an update is called for.

From the feedback on, tokens count `feedback_weight` times, those of the step that an update corrects
`correction_weight` times; of gold rationales and of attempts that were right at once they count once, as in the
released code. Tokens of wrong attempts count `attempt_weight` times, those of the question `question_weight` times; 0
masks them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.records import Example, Question, WeightedText, content_hash
from raydistill.pipelines.recipes.tripost.config import TriPosT
from raydistill.pipelines.recipes.tripost.conversation import Turn, after_attempt
from raydistill.pipelines.recipes.tripost.editing import Draft
from raydistill.pipelines.tasks.stepwise.prompts import attempt_prompt

REPLAY_VERSION = "1"
"""Of what is learned of conversations: raise it where the same ones may give other examples."""

KINDS = ("improvement", "self_correct", "gold")


def turn_examples(draft: Draft, config: TriPosT) -> list[Example]:
    """One example per turn of an accepted conversation."""
    if config.learn == "right_attempts":
        return [_example(draft.question, draft.turns[0].attempt, (), "self_correct", config, f"{draft.id}/0")]
    examples = []
    for place, turn in enumerate(draft.turns):
        following = draft.turns[place + 1].attempt if place + 1 < len(draft.turns) else None
        kind = "self_correct" if following is None else "improvement"
        weight = 1.0 if len(draft.turns) == 1 else config.feedback_weight
        said = _weighted(turn, following, weight, config.correction_weight)
        examples.append(_example(draft.question, turn.attempt, said, kind, config, f"{draft.id}/{place}"))
    return examples


def _weighted(
    turn: Turn, following: str | None, weight: float, correction_weight: float | None
) -> tuple[WeightedText, ...]:
    """The feedback and the update that follows it; the corrected step stands alone where its weight is another."""
    said, fault = after_attempt(turn.feedback, following), turn.verdict
    if following is None or correction_weight is None or fault is None:
        return (WeightedText(said, weight),)
    before, found, rest = said.rpartition(f"\nStep {fault.step}:")  # updates are in numbered steps
    corrected, newline, after = rest.partition("\n")
    pieces = ((before, weight), (found + corrected, correction_weight), (newline + after, weight))
    return tuple(WeightedText(text, times) for text, times in pieces if text)


def gold_rationale(question: Question) -> str:
    """The rationale that the question comes with. Raises UsageError where it has none."""
    rationale = str(question.meta.get("rationale") or "").strip()
    if not rationale:
        raise UsageError(
            f"recipe tripost: no rationale with the question {question.text[:60]!r}; expected a task that has them "
            "(stepwise:word_sorting), or a table with questions.rationale_column"
        )
    return rationale


def gold_example(question: Question, rationale: str, feedback: str, config: TriPosT) -> Example:
    """A gold rationale that is found right."""
    said = (WeightedText(after_attempt(feedback)),)
    return _example(question, rationale, said, "gold", config, f"{question.id}/gold")


def _example(
    question: Question, attempt: str, said: tuple[WeightedText, ...], kind: str, config: TriPosT, source: str
) -> Example:
    """An attempt with what is said after it; only improvements begin with a wrong attempt."""
    attempted = WeightedText(attempt, config.attempt_weight if kind == "improvement" else 1.0)
    return Example(
        id=content_hash("tripost", question.id, attempt, "".join(segment.text for segment in said)),
        question_id=question.id,
        messages=({"role": "user", "content": attempt_prompt(question.text)},),
        completion=(attempted, *said),
        group=question.id,
        answer=question.answer,
        source=source,
        meta={"kind": kind},
        prompt_weight=config.question_weight,
    )


def without_repeats(examples: Iterable[Example]) -> tuple[list[Example], int]:
    """The first of all examples with the same text to the same question, and how many others there were."""
    unique: dict[str, Example] = {}
    count = 0
    for example in examples:
        unique.setdefault(example.id, example)
        count += 1
    return list(unique.values()), count - len(unique)


def balance(turns: Sequence[Example], gold: Sequence[Example], config: TriPosT, seed: object) -> list[Example]:
    """Examples in the proportions of `config.balance`, at most `config.max_examples`, drawn by `seed`; sorted by id.

    All improvements are kept and the other kinds cut to their share, as far as there are so many. Where improvements
    have no part, right attempts take their place; where neither has one, gold fills `max_examples`. Right attempts that
    are learned alone (LMSI) are in proportion to nothing.
    """
    balanced = config.balance if config.learn == "conversations" else None
    pools = {kind: [example for example in turns if example.meta["kind"] == kind] for kind in KINDS[:2]}
    pools["gold"] = list(gold) if balanced else []
    parts = dict(zip(KINDS, balanced, strict=True)) if balanced else dict.fromkeys(KINDS, math.inf)
    wanted = _numbers({kind: len(pool) for kind, pool in pools.items()}, parts, config.max_examples)
    drawn = []
    for kind, pool in pools.items():
        shuffled = sorted(pool, key=lambda example: content_hash(seed, example.id))
        drawn += shuffled[: wanted[kind]]
    return sorted(drawn, key=lambda example: example.id)


def _numbers(there: dict[str, int], parts: dict[str, float], most: int | None) -> dict[str, int]:
    """How many examples of each kind to take."""
    if math.inf in parts.values():
        total = sum(there.values())
        share = 1.0 if most is None or total <= most else most / total
        return {kind: math.floor(count * share) for kind, count in there.items()}
    leading = next(kind for kind in KINDS if parts[kind])
    unit = there[leading] / parts[leading]  # examples per part
    if most is not None:
        unit = min(unit, most / sum(parts.values()))
    numbers = {kind: min(there[kind], math.ceil(round(unit * part, 9))) for kind, part in parts.items()}
    if most is not None and sum(numbers.values()) > most:
        return {kind: min(there[kind], math.floor(round(unit * part, 9))) for kind, part in parts.items()}
    return numbers


def count_kinds(examples: Iterable[Example]) -> dict[str, int]:
    """Examples of each kind."""
    counted = Counter(str(example.meta["kind"]) for example in examples)
    return {kind: counted[kind] for kind in KINDS}
