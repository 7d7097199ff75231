"""How alike a student's answers are over several rationales of a question it has not seen (MCC-KD's measure).

    held-out examples in groups --> pairs of rationales --student--> answer distributions --> answer KL, agreement

The student reads two rationales of a question up to the answer; what it expects there is compared. Beside it stands the
same divergence between a rationale of one question and a rationale of another: a student that answers everything alike
would bring both down.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.batches import Batch, collate, micro_batches
from raydistill.pipelines.training.losses.consistency import Consistency, PairCounts, Pairs, SharedAnswer, align
from raydistill.pipelines.training.losses.forward import term_sums
from raydistill.pipelines.training.student import vocabulary_size
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, tokenise, write_tokens

if TYPE_CHECKING:
    import numpy as np
    import torch

BATCH_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class AnswerConsistency:
    """What `answer_consistency` found; divergences are means over pairs, ``(KL(P||Q) + KL(Q||P)) / 2`` in nats."""

    pairs: int  # disjoint pairs of rationales of one question, whose answers share tokens
    answer_kl: float
    agreement: float  # fraction of pairs with the same most likely token at every token of the shared answer
    other_pairs: int  # pairs of rationales of two questions with different answers
    other_kl: float | None  # None without such pairs

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def count(examples: Iterable[Example], student: str, revision: str | None = None, *, max_length: int) -> PairCounts:
    """How many pairs training `student` on `examples` could draw, and in how many the answers share tokens."""
    with token_table(examples, student, revision, vocabulary_size(student, revision), max_length) as table:
        return Consistency(table).count_pairs()


def answer_consistency(
    examples: Iterable[Example], student: str, *, temperature: float = 1.0, max_length: int = 4096
) -> AnswerConsistency:
    """The consistency of `student` (model directory, adapter or hub id) on `examples` of held-out questions.

    Runs in this process, on a GPU if there is one. Raises UsageError if no pair of `examples` can be compared or
    `student` cannot be loaded.
    """
    import torch

    model = _load(student)
    with token_table(examples, student, None, model.config.get_text_config().vocab_size, max_length) as table:
        term = Consistency(table)
        units = term.units(range(len(table)), None)
        pairs = units[units[:, -1] >= 0] if units.shape[1] == 2 else units[:0]
        same, other = _Sums(model, term, temperature), _Sums(model, term, temperature)
        with torch.inference_mode():
            for piece in micro_batches(pairs, table.lengths, BATCH_TOKENS):
                batch = collate(table, piece, [term])
                same.add(batch.ids, batch.parts.get(term.name))
                other.add(batch.ids, other_questions(term, piece))
    if not same.pairs:
        raise UsageError(
            "consistency: no two examples of a question that state the same answer and ask for consistency training; "
            "expected examples of recipe mcc_kd with rationales above 1"
        )
    return AnswerConsistency(same.pairs, *same.means(), other.pairs, other.means()[0] if other.pairs else None)


@contextmanager
def token_table(
    examples: Iterable[Example], student: str, revision: str | None, vocabulary: int, max_length: int
) -> Iterator[TokenTable]:
    """`examples` as the tokens of `student`."""
    with tempfile.TemporaryDirectory() as folder:
        path, rows = f"{folder}/tokens.parquet", tokenise(load_tokenizer(student, revision), examples)
        write_tokens(rows, path, max_length=max_length, vocabulary=vocabulary)
        yield TokenTable(path)


def other_questions(term: Consistency, pairs: np.ndarray) -> Pairs | None:
    """Pairs across questions in the batch of these pairs [P, 2]: each one's first row, the next one's second.

    Compared are the first tokens of the answers, as many as both have. Pairs with the same answer are left out.
    """
    import numpy as np

    ids, windows, spans = term.table.ids, term.windows, []
    for place, (left, right) in enumerate(zip(pairs[:, 0], np.roll(pairs[:, 1], -1), strict=True)):
        (start, end), (other_start, other_end) = windows[left].tolist(), windows[right].tolist()
        length = min(end - start, other_end - other_start)
        if length and not np.array_equal(ids[left][start:end], ids[right][other_start:other_end]):
            shared = SharedAnswer(start, other_start, length)
            spans.append((2 * place, (2 * place + 3) % (2 * len(pairs)), shared))
    plain = np.ones(len(spans), np.float32)
    return align(spans, plain, plain) if spans else None


class _Sums:
    """Divergence and agreement of `model`, summed over pairs."""

    def __init__(self, model: Any, term: Consistency, temperature: float) -> None:
        self.pairs, self._answer_kl, self._agreement = 0, 0.0, 0.0
        self._model, self._term, self._temperature = model, term, temperature

    def add(self, ids: torch.Tensor, pairs: Pairs | None) -> None:
        if pairs is None:
            return
        pairs = pairs._replace(temperature=pairs.temperature.new_full(pairs.temperature.shape, self._temperature))
        batch = Batch(ids, {self._term.name: pairs}).to(self._model.device)
        [sums] = term_sums(self._model, self._model.get_output_embeddings(), batch, [self._term])
        self.pairs += len(pairs.weight)
        self._answer_kl += sums[1].item()
        self._agreement += sums[2].item()

    def means(self) -> tuple[float, float]:
        return self._answer_kl / self.pairs, self._agreement / self.pairs


def _load(student: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model: Any = AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32)
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"student {student}: not a model that can be loaded: {reason}") from None
