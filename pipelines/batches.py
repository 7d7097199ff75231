"""Which examples form which optimiser step: a plan from seed and lengths alone, the same for any number of workers.

    lengths --plan--> steps of about `batch_tokens` --micro_batches--> padded pieces --share--> one worker's part

Resume, one or eight workers and elastic resizing all walk the same plan; a step's number is the position in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.records import content_hash

if TYPE_CHECKING:
    import numpy as np
    import torch

    from pipelines.tokens import TokenTable

WINDOW = 8  # steps over which examples are sorted by length; larger pads less, and mixes lengths less


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right to the longest: `ids` [B, L] int64, `weights` [B, L] float32 (0 at padding).

    Under causal attention nothing trained comes after padding in its row, so no attention mask is needed.
    """

    ids: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(self.ids.to(device, non_blocking=True), self.weights.to(device, non_blocking=True))


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


def plan(lengths: np.ndarray, rows: Sequence[int], *, epochs: int, batch_tokens: int, seed: int) -> list[np.ndarray]:
    """The rows of every optimiser step of all epochs.

    Each epoch shuffles `rows`, cuts them into windows of `WINDOW` steps, sorts a window by length, cuts it into
    steps of equal tokens (`batch_tokens` at most, but for the last example) and shuffles the window's steps.
    """
    import numpy as np

    steps: list[np.ndarray] = []
    total = int(lengths[np.asarray(rows)].sum())
    target = total / -(-total // batch_tokens)
    for epoch in range(epochs):
        generator = np.random.default_rng([seed, epoch])
        order = generator.permutation(np.asarray(rows))
        for window in _cut(order, lengths, WINDOW * target):
            pieces = _cut(window[np.argsort(lengths[window], kind="stable")], lengths, target)
            steps.extend(pieces[place] for place in generator.permutation(len(pieces)))
    return steps


def _cut(rows: np.ndarray, lengths: np.ndarray, size: float) -> list[np.ndarray]:
    """Consecutive pieces of about `size` tokens; a row belongs to the piece in which its middle token falls."""
    import numpy as np

    ends = np.cumsum(lengths[rows])
    places = ((ends - lengths[rows] / 2) // size).astype(np.int64)
    return np.split(rows, np.flatnonzero(np.diff(places)) + 1)


def micro_batches(rows: np.ndarray, lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """`rows` sorted by length in pieces of at most `budget` tokens, padding included; a longer row goes alone."""
    import numpy as np

    pieces: list[list[int]] = []
    for row in rows[np.argsort(-lengths[rows], kind="stable")]:
        widest = lengths[pieces[-1][0]] if pieces else 0
        if pieces and widest * (len(pieces[-1]) + 1) <= budget:
            pieces[-1].append(row)
        else:
            pieces.append([row])
    return [np.asarray(piece) for piece in pieces]


def share(pieces: Sequence[np.ndarray], rank: int, world: int) -> list[tuple[int, np.ndarray]]:
    """This worker's numbered pieces; every worker gets equally many, so that all take part in each collective.

    Where there are too few, the rest are empty pieces, which `collate` turns into one token of weight 0.
    """
    import numpy as np

    count = -(-len(pieces) // world) * world
    padded = [*pieces, *[np.asarray([], dtype=np.int64)] * (count - len(pieces))]
    return [*enumerate(padded)][rank::world]


def collate(table: TokenTable, rows: np.ndarray) -> Batch:
    """The rows of one micro-batch as padded tensors; padding is token 0 at weight 0."""
    import numpy as np
    import torch

    pieces = [table[row] for row in rows]
    shape = max(len(pieces), 1), max((len(ids) for ids, _ in pieces), default=2)
    padded_ids, padded_weights = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    for place, (ids, weights) in enumerate(pieces):
        padded_ids[place, : len(ids)] = ids
        padded_weights[place, : len(ids)] = weights
    return Batch(torch.from_numpy(padded_ids), torch.from_numpy(padded_weights))
