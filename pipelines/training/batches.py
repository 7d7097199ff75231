"""Which examples form which optimiser step: a plan from seed and lengths alone, the same for any number of workers.

    lengths --plan--> steps of about `batch_tokens` --micro_batches--> padded pieces --shard_for_rank--> one worker's

Resume, one or eight workers and elastic resizing all walk the same plan; a step's number is the position in it.

Planned are examples or pairs: a row alone or, for consistency training, two rows that must share a micro-batch. They
are the rows of an integer array `examples_or_pairs` [n, 1], or [n, 2] where there are pairs; -1 stands for no partner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.training.answer_spans import SharedAnswer, shared_answer

if TYPE_CHECKING:
    import numpy as np
    import torch

    from raydistill.pipelines.training.tokens import TokenTable

WINDOW = 8  # steps over which examples are sorted by length; larger pads less, and mixes lengths less


@dataclass(frozen=True, slots=True)
class Pairs:
    """Where the P pairs of a batch state the same answer, one entry per shared token (S over all pairs).

    Shared token s of its pair is ``ids[rows[0, s], tokens[0, s]]`` and ``ids[rows[1, s], tokens[1, s]]``.
    """

    rows: torch.Tensor  # [2, S] int64, of the batch
    tokens: torch.Tensor  # [2, S] int64, place in the row; at least 1
    pair: torch.Tensor  # [S] int64, which of the pairs
    weight: torch.Tensor  # [P] float32
    temperature: torch.Tensor  # [P] float32

    def to(self, device: torch.device) -> Pairs:
        moved = (self.rows, self.tokens, self.pair, self.weight, self.temperature)
        return Pairs(*(tensor.to(device, non_blocking=True) for tensor in moved))


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right to the longest: `ids` [B, L] int64, `weights` [B, L] float32 (0 at padding).

    Under causal attention nothing trained comes after padding in its row, so no attention mask is needed.
    """

    ids: torch.Tensor
    weights: torch.Tensor
    pairs: Pairs | None = None  # None where no two rows are compared

    def to(self, device: torch.device) -> Batch:
        pairs = self.pairs.to(device) if self.pairs else None
        return Batch(self.ids.to(device, non_blocking=True), self.weights.to(device, non_blocking=True), pairs)


def split_by_question(question_ids: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Rows for training and for validation; all rows of a question are on the same side.

    `fraction` of the questions (at least one if it is above 0, never all of them) are drawn by a seeded hash.
    """
    questions = sorted(set(question_ids), key=lambda question: content_hash("validation", seed, question))
    wanted = max(1, round(fraction * len(questions))) if fraction else 0
    held_out = set(questions[: min(wanted, len(questions) - 1)])
    rows: tuple[list[int], list[int]] = ([], [])
    for row, question in enumerate(question_ids):
        rows[question in held_out].append(row)
    return rows


def pair_up(
    rows: Sequence[int] | np.ndarray, groups: np.ndarray, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Rows without a group alone, those of a group in pairs.

    With a `generator` one pair is drawn of each group and its other rows are left out (MCC-KD's epoch); without,
    every row is there once, in the given order. A row without a partner stands alone.
    """
    import numpy as np

    given = np.asarray(rows, dtype=np.int64)
    grouped, alone = given[groups[given] >= 0], given[groups[given] < 0]
    if not len(grouped):
        return alone[:, None]
    keys = np.arange(len(grouped)) if generator is None else generator.random(len(grouped))
    grouped = grouped[np.lexsort((keys, groups[grouped]))]
    starts = np.flatnonzero(np.diff(groups[grouped], prepend=-1))
    rank = np.arange(len(grouped)) - np.repeat(starts, np.diff(starts, append=len(grouped)))
    if generator is not None:
        grouped, rank = grouped[rank < 2], rank[rank < 2]
    leads = np.flatnonzero(rank % 2 == 0)
    has_partner = np.append(rank, 0)[leads + 1] % 2 == 1
    partners = np.where(has_partner, np.append(grouped, -1)[leads + 1], -1)
    return np.concatenate([np.stack([alone, np.full_like(alone, -1)], 1), np.stack([grouped[leads], partners], 1)])


def rows_of(examples_or_pairs: np.ndarray) -> np.ndarray:
    """All rows of `examples_or_pairs`, partners side by side."""
    return examples_or_pairs[examples_or_pairs >= 0]


def plan(
    lengths: np.ndarray, rows: Sequence[int], groups: np.ndarray, *, epochs: int, batch_tokens: int, seed: int
) -> list[np.ndarray]:
    """The examples or pairs of every optimiser step of all epochs.

    Each epoch draws its pairs of `rows` afresh, shuffles them, cuts them into windows of `WINDOW` steps, sorts a
    window by length, cuts it into steps of equal tokens (`batch_tokens` at most, but for the last one) and shuffles
    the window's steps.
    """
    import numpy as np

    steps: list[np.ndarray] = []
    for epoch in range(epochs):
        examples_or_pairs = pair_up(rows, groups, np.random.default_rng([seed, epoch, 1]))
        sizes = np.where(examples_or_pairs >= 0, lengths[examples_or_pairs], 0).sum(axis=1)
        target = sizes.sum() / -(-sizes.sum() // batch_tokens)
        generator = np.random.default_rng([seed, epoch])
        for window in _cut(generator.permutation(len(examples_or_pairs)), sizes, WINDOW * target):
            pieces = _cut(window[np.argsort(sizes[window], kind="stable")], sizes, target)
            steps.extend(examples_or_pairs[pieces[place]] for place in generator.permutation(len(pieces)))
    return steps


def _cut(order: np.ndarray, sizes: np.ndarray, size: float) -> list[np.ndarray]:
    """Consecutive pieces of about `size` tokens; a unit belongs to the piece in which its middle token falls."""
    import numpy as np

    ends = np.cumsum(sizes[order])
    places = ((ends - sizes[order] / 2) // size).astype(np.int64)
    return np.split(order, np.flatnonzero(np.diff(places)) + 1)


def micro_batches(examples_or_pairs: np.ndarray, lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Sorted by length, in pieces of at most `budget` tokens, padding included; a longer one goes alone."""
    import numpy as np

    longest, counts = (
        np.where(examples_or_pairs >= 0, lengths[examples_or_pairs], 0).max(axis=1),
        (examples_or_pairs >= 0).sum(axis=1),
    )
    pieces: list[list[int]] = []
    held = 0  # rows in the last piece
    for unit in np.argsort(-longest, kind="stable"):
        if pieces and longest[pieces[-1][0]] * (held + counts[unit]) <= budget:
            pieces[-1].append(unit)
            held += counts[unit]
        else:
            pieces.append([unit])
            held = counts[unit]
    return [examples_or_pairs[piece] for piece in pieces]


def shard_for_rank(pieces: Sequence[np.ndarray], rank: int, world: int) -> list[tuple[int, np.ndarray]]:
    """This worker's numbered pieces; every worker gets equally many, so that all take part in each collective.

    Where there are too few, the rest are empty pieces, which `collate` turns into one token of weight 0.
    """
    import numpy as np

    count = -(-len(pieces) // world) * world
    padded = [*pieces, *[np.empty((0, 1), dtype=np.int64)] * (count - len(pieces))]
    return [*enumerate(padded)][rank::world]


def collate(table: TokenTable, examples_or_pairs: np.ndarray) -> Batch:
    """One micro-batch as padded tensors; padding is token 0 at weight 0."""
    import numpy as np
    import torch

    pieces = [table[row] for row in rows_of(examples_or_pairs)]
    shape = max(len(pieces), 1), max((len(ids) for ids, _ in pieces), default=2)
    padded_ids, padded_weights = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    for place, (ids, weights) in enumerate(pieces):
        padded_ids[place, : len(ids)] = ids
        padded_weights[place, : len(ids)] = weights
    return Batch(torch.from_numpy(padded_ids), torch.from_numpy(padded_weights), _pairs(table, examples_or_pairs))


def count_shared(table: TokenTable, examples_or_pairs: np.ndarray) -> int:
    """How many of `examples_or_pairs` are pairs whose answers share tokens."""
    return sum(
        shared_answer(table, *unit) is not None for unit in examples_or_pairs if unit[-1] >= 0 and len(unit) == 2
    )


def _pairs(table: TokenTable, examples_or_pairs: np.ndarray) -> Pairs | None:
    """Where the pairs among `examples_or_pairs` share their answers' tokens, in the batch that they make."""
    import numpy as np

    if examples_or_pairs.shape[1] < 2:
        return None
    sizes = (examples_or_pairs >= 0).sum(axis=1)
    spans, leads = [], []
    for place, (left, right) in zip(np.cumsum(sizes) - sizes, examples_or_pairs, strict=True):
        if right >= 0 and (shared := shared_answer(table, left, right)):
            spans.append((int(place), int(place) + 1, shared))
            leads.append(left)
    return align(spans, table.consistency[leads], table.temperature[leads]) if spans else None


def align(spans: Sequence[tuple[int, int, SharedAnswer]], weight: np.ndarray, temperature: np.ndarray) -> Pairs:
    """Pairs of a batch: each a left row, a right row, and where the tokens to compare stand in them.

    `weight` and `temperature` [P] are float32.
    """
    import numpy as np
    import torch

    rows = np.array([[left, right] for left, right, _ in spans]).T
    starts = np.array([[span.left_start, span.right_start] for _, _, span in spans]).T
    lengths = np.array([span.length for _, _, span in spans])
    pair = np.repeat(np.arange(len(spans)), lengths)
    steps = np.arange(len(pair)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Pairs(*map(torch.from_numpy, (rows[:, pair], starts[:, pair] + steps, pair, weight, temperature)))
