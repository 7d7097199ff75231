"""What must hold before a teacher's log-probabilities are subtracted from a student's.

same tokenizer, same end of turn      else one token's score says nothing of the other's
engine's prefill = engine's decode    with teacher = student the advantage is 0 to rounding
trainer's forward = engine's          else the engine has other weights than the trainer starts from
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from raydistill.actors.engine.rendering import prompt_ids
from raydistill.actors.engine.requests import Request
from raydistill.actors.errors import TrainingError, UsageError
from raydistill.actors.storage import local_path
from raydistill.pipelines.config.sections import EngineConfig, Train
from raydistill.pipelines.data.records import TokenIds
from raydistill.pipelines.runtime.pools import run_on_driver_node
from raydistill.pipelines.training.tokens import load_tokenizer, stop_token_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = Sequence[Mapping[str, str]]
MOST_APART = {"float32": 0.01, "other": 0.1}
"""Nats by which two computations of a log-probability may differ on average, by the engine's dtype."""


@dataclass(frozen=True, slots=True)
class Gap:
    """How far two sets of log-probabilities of the same tokens are apart, in nats."""

    tokens: int
    mean: float
    largest: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def gap(some: Sequence[Sequence[float]], others: Sequence[Sequence[float]]) -> Gap:
    """Of rows of equal lengths."""
    apart = [abs(a - b) for row, other in zip(some, others, strict=True) for a, b in zip(row, other, strict=True)]
    return Gap(len(apart), sum(apart) / len(apart) if apart else 0.0, max(apart, default=0.0))


def check_gap(found: Gap, dtype: str, between: str) -> Gap:
    """`found` again. Raises TrainingError where it is more than rounding."""
    most = MOST_APART["float32" if dtype == "float32" else "other"]
    if found.mean > most:
        raise TrainingError(
            f"{between} differ by {found.mean:.3g} nats per token (largest {found.largest:.3g}), expected at most "
            f"{most}: they are not the same weights. Was a folder of weights written anew, or half copied? Remove it, "
            "and run the same command again"
        )
    return found


def check_same_tokens(teacher: str, teacher_revision: str | None, student: str, revision: str | None) -> None:
    """Raise UsageError unless both models have one tokenizer and one end of turn; padded vocabularies may differ."""
    known, own = load_tokenizer(local_path(teacher), teacher_revision), load_tokenizer(local_path(student), revision)
    told = f"teacher {teacher} and student {student}"
    advice = "expected a teacher of the student's family, whose scores are of the student's own tokens"
    ours, theirs = _merges(own), _merges(known)
    if ours != theirs:
        few = sorted(set(own.get_vocab().items()) ^ set(known.get_vocab().items()))[:3]
        raise UsageError(f"{told} have different tokenizers ({few or 'other merges or splits'}); {advice}")
    stops = stop_token_id(known), stop_token_id(own)
    if stops[0] != stops[1]:
        names = [known.convert_ids_to_tokens(stop) for stop in stops]
        raise UsageError(
            f"{told} end a turn with different tokens ({names[0]} and {names[1]}): the student would not learn "
            "to end; expected the same end of turn: give the student the teacher's chat template"
        )


def check_context(
    scorer: EngineConfig, student: str, revision: str | None, prompts: Iterable[Messages], written: int
) -> None:
    """Raise UsageError where a prompt with `written` tokens behind it has no room for the token that a score costs."""
    if scorer.max_model_len is None:
        return
    tokenizer = load_tokenizer(local_path(student), revision)
    longest = max((len(prompt_ids(tokenizer, Request("", messages))) for messages in prompts), default=0)
    if longest + written >= scorer.max_model_len:
        raise UsageError(
            f"{scorer.model} scores in a context of {scorer.max_model_len} tokens, and a prompt of {longest} with "
            f"{written} written behind it needs one more: expected max_model_len of at least {longest + written + 1}, "
            "or fewer student.max_tokens"
        )


def _merges(tokenizer: PreTrainedTokenizerBase) -> Any:
    """What decides which ids a text becomes."""
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: told.get(name) for name in ("model", "pre_tokenizer", "normalizer", "added_tokens")}


def trainer_logprobs(config: Train, rows: Sequence[TokenIds], adapter: str | None = None) -> list[list[float]]:
    """The log-probability of each token of the rows' completions, as the trainer computes it in float32.

    In another process, so that the driver does not hold the model.
    """
    found: list[list[float]] = run_on_driver_node(_forward, config, list(rows), adapter)
    return found


def _forward(config: Train, rows: Sequence[TokenIds], adapter: str | None) -> list[list[float]]:
    import torch

    from raydistill.pipelines.training.student import load_student

    local = config.model_copy(update={"student": local_path(config.student)})
    model = load_student(local, None, 0, adapter and local_path(adapter)).eval()
    found = []
    for row in rows:
        ids, start = torch.tensor([[*row.prompt, *row.completion]]), len(row.prompt)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, start - 1 : -1].float()
        found.append(logits.log_softmax(-1).gather(-1, ids[0, start:, None])[:, 0].tolist())
    return found
