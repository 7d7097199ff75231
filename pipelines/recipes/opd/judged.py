"""A round's samples with all that moves their tokens: scores of the teacher, rewards, faults; and the examples of them.

samples --each to its question's teacher--> scores    --verdicts of the question's group--> rewards
        --failing programs--> lines --> tokens        all of it --> advantages --> examples
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from raydistill.actors.storage import local_path
from raydistill.pipelines.config.sections import EngineConfig, Train
from raydistill.pipelines.data.records import (
    Example,
    Policy,
    Question,
    SoftTargets,
    TokenIds,
    WeightedText,
    content_hash,
)
from raydistill.pipelines.recipes.opd.advantages import group_rewards, token_advantages
from raydistill.pipelines.recipes.opd.config import OPD
from raydistill.pipelines.recipes.opd.fault_lines import fault_lines, fault_token
from raydistill.pipelines.recipes.opd.privileged import privileged_row
from raydistill.pipelines.runtime.engines import architecture
from raydistill.pipelines.sampling.prompter import Prompter
from raydistill.pipelines.scoring.rows import TokenScores, score_rows
from raydistill.pipelines.scoring.sampled import SampledTokens
from raydistill.pipelines.training.tokens import load_tokenizer

if TYPE_CHECKING:
    from raydistill.pipelines.context import RunContext


@dataclass(frozen=True, slots=True)
class Actors:
    """Who takes part in a round."""

    student: EngineConfig
    teacher: EngineConfig  # the student, where it is its own
    trained: Train  # the student as the trainer starts from it
    adapter: str | None = None  # with LoRA, the trainer's
    routed: tuple[tuple[Mapping[str, str], EngineConfig], ...] = ()  # other teachers, by notes of their questions

    def teacher_of(self, question: Question) -> EngineConfig:
        """Who scores samples of a question: the first that is routed to what the question notes, else the teacher."""
        noted = question.meta
        for where, teacher in self.routed:
            if all(str(noted.get(name)) == value for name, value in where.items()):
                return teacher
        return self.teacher


@dataclass(frozen=True, slots=True)
class Judged:
    """A sample with all that its advantages are made of."""

    question: Question
    sampled: SampledTokens
    scores: TokenScores | None  # of the teacher; None where it has nothing to say
    reward: float
    fault: int | None


def judge_samples(
    ctx: RunContext,
    config: OPD,
    asked: Prompter,
    actors: Actors,
    sampled: Sequence[SampledTokens],
    questions: Sequence[Question],
    title: str,
    name: str,
) -> tuple[list[Judged], dict[str, Any]]:
    """The samples with scores, rewards and faults, and what is told of it; unscored ones are left out and counted."""
    if not sampled:  # as where a plan looks at what will be asked of a student that is yet to be trained
        return [], {"unscored": 0, "faults": 0}
    tokenizer = load_tokenizer(local_path(actors.trained.student), actors.trained.revision)
    by_id = {question.id: question for question in questions}
    rows = [_row(config, tokenizer, asked, by_id[one.sample.question_id], one) for one in sampled]
    scores, told = _score(ctx, config, actors, [by_id[one.sample.question_id] for one in sampled], rows, title, name)
    lines = fault_lines(ctx, [one.sample for one in sampled]) if config.error_weight else {}
    faults = [fault_token(tokenizer, one, lines[one.sample.id]) if one.sample.id in lines else None for one in sampled]
    rewards = _rewards(sampled)
    judged = [
        Judged(by_id[one.sample.question_id], one, score, rewards[one.sample.id], fault)
        for one, row, score, fault in zip(sampled, rows, scores, faults, strict=True)
        if score or not row
    ]
    return judged, told | {"unscored": len(sampled) - len(judged), "faults": sum(fault is not None for fault in faults)}


def _row(config: OPD, tokenizer: Any, asked: Prompter, question: Question, one: SampledTokens) -> TokenIds | None:
    """What a teacher is to score of a sample; None where it has nothing to say."""
    if not config.distillation:
        return None
    if not config.privileged:
        return one.ids
    return privileged_row(tokenizer, config.privileged, question, asked.prompts(question)[0].messages, one)


def _score(
    ctx: RunContext,
    config: OPD,
    actors: Actors,
    questions: Sequence[Question],
    rows: Sequence[TokenIds | None],
    title: str,
    name: str,
) -> tuple[list[TokenScores | None], dict[str, Any]]:
    """The score of each row by its question's teacher, one teacher after another; and how many tokens each scored."""
    scores: list[TokenScores | None] = [None] * len(rows)
    places: dict[int, list[int]] = {}
    everyone = [actors.teacher, *(teacher for _, teacher in actors.routed)]
    for place, (question, row) in enumerate(zip(questions, rows, strict=True)):
        if row:
            places.setdefault(everyone.index(actors.teacher_of(question)), []).append(place)
    scored_tokens, scoring_s, teachers = 0, 0.0, Counter[str]()
    for number, some in sorted(places.items()):
        teacher, asked = everyone[number], [row for place in some if (row := rows[place])]
        found = score_rows(ctx, f"{title}: scores", teacher, asked, name=name, top_k=config.top_k)
        for place, score in zip(some, found.scores, strict=True):
            scores[place] = score
        scored_tokens, scoring_s = scored_tokens + found.tokens, scoring_s + found.wall_s
        teachers[teacher.model] += len(some)
    return scores, {"scored_tokens": scored_tokens, "scoring_s": round(scoring_s, 2), "teachers": dict(teachers)}


def _rewards(sampled: Sequence[SampledTokens]) -> dict[str, float]:
    """Of each sample, by its id: normalised among those of its question."""
    groups: dict[str, list[SampledTokens]] = {}
    for one in sampled:
        groups.setdefault(one.sample.question_id, []).append(one)
    return {
        one.sample.id: reward
        for group in groups.values()
        for one, reward in zip(group, group_rewards([one.sample.status for one in group]), strict=True)
    }


def round_examples(config: OPD, asked: Prompter, judged: Sequence[Judged], number: int) -> Iterator[Example]:
    """What is trained: the sampled ids behind the student's own prompt. Samples that nothing moves are left out."""
    weight = 1 - config.teacher_share
    for one in (cut(whole, config.until) for whole in judged):
        sample, told = one.sampled.sample, one.scores
        teacher = told.logprobs if told else None
        advantages = token_advantages(one.sampled.behaviour, teacher, config, reward=one.reward, fault=one.fault)
        moved = any(advantages)
        soft = None
        if config.top_k and told:
            soft = SoftTargets(told.top_ids, told.top_logprobs, weight * config.distillation, beta=config.beta)
        if not moved and not soft:
            continue
        yield Example(
            id=content_hash("opd", number, sample.id, one.sampled.ids.completion),
            question_id=sample.question_id,
            messages=tuple(asked.prompts(one.question)[0].messages),
            completion=(WeightedText(sample.text, 0.0),),
            group=sample.question_id,
            answer=sample.value,
            source=sample.id,
            meta={"round": number, "status": sample.status},
            tokens=one.sampled.ids,
            policy=Policy(advantages, one.sampled.behaviour, teacher or (), weight, config.clip) if moved else None,
            soft_targets=soft,
        )


def cut(one: Judged, until: float | None) -> Judged:
    """A sample up to the first token that its teacher finds less likely than exp(-`until`), that one included.

    Behind its student's fault a teacher says how to go on from there, not what is right (arXiv 2605.27028, which cuts
    all samples at one length).
    """
    told, sampled = one.scores, one.sampled
    if told is None or until is None:
        return one
    end = next((place + 1 for place, value in enumerate(told.logprobs) if value < -until), len(told.logprobs))
    ids = TokenIds(sampled.ids.prompt, sampled.ids.completion[:end])
    scores = TokenScores(told.logprobs[:end], told.top_ids[:end], told.top_logprobs[:end])
    return replace(one, sampled=replace(sampled, ids=ids, behaviour=sampled.behaviour[:end]), scores=scores)


def teacher_beside(student: EngineConfig, teacher: EngineConfig) -> EngineConfig:
    """The teacher's engine, with room for adapters where the engine of `student` can take its weights in place so."""
    same = architecture(local_path(student.model)) == architecture(local_path(teacher.model))
    return teacher.model_copy(update={"max_lora_rank": student.max_lora_rank}) if same else teacher
