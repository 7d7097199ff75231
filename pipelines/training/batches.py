"""Which examples form which optimiser step: a plan from seed and lengths alone, the same for any number of workers.

    lengths --plan--> steps of about `batch_tokens` --micro_batches--> padded pieces --shard_for_rank--> one worker's

Resume, one or eight workers and elastic resizing all walk the same plan; a step's number is the position in it.

Planned are units: rows that must share a micro-batch, mostly a row alone. They are the rows of an integer array `units`
[n, k], in which -1 stands for no row; a term of the loss may put rows together, otherwise k is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raydistill.pipelines.data.records import content_hash

if TYPE_CHECKING:
    import numpy as np
    import torch

    from raydistill.pipelines.training.losses.base import LossTerm
    from raydistill.pipelines.training.tokens import TokenTable

    # Draws the units of rows for an epoch; without a generator, each row once
    Units = Callable[[Sequence[int] | np.ndarray, np.random.Generator | None], np.ndarray]

SLACK = 1 / 8  # of a piece's budget, by which it may be passed where that saves a piece
WINDOW = 8  # steps over which examples are sorted by length; larger pads less, and mixes lengths less


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded on the right to the longest: `ids` [B, L] int64, and the tensors of each term of the loss in it.

    `parts` has a NamedTuple of tensors by the term's name. Under causal attention nothing trained comes after padding
    in its row, so no attention mask is needed.
    """

    ids: torch.Tensor
    parts: Mapping[str, Any]

    def to(self, device: torch.device) -> Batch:
        moved = {
            name: part._make(tensor.to(device, non_blocking=True) for tensor in part)
            for name, part in self.parts.items()
        }
        return Batch(self.ids.to(device, non_blocking=True), moved)


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


def alone(rows: Sequence[int] | np.ndarray) -> np.ndarray:
    """Each row as a unit of its own, [n, 1]."""
    import numpy as np

    return np.asarray(rows, dtype=np.int64)[:, None]


def rows_of(units: np.ndarray) -> np.ndarray:
    """All rows of `units`, those of a unit side by side."""
    return units[units >= 0]


def plan(
    lengths: np.ndarray, rows: Sequence[int], draw: Units, *, epochs: int, batch_tokens: int, seed: int
) -> list[np.ndarray]:
    """The units of every optimiser step of all epochs.

    Each epoch draws its units of `rows` afresh, shuffles them, cuts them into windows of `WINDOW` steps, sorts a
    window by length, cuts it into steps of equal tokens (`batch_tokens` at most, but for the last one) and shuffles
    the window's steps.
    """
    import numpy as np

    steps: list[np.ndarray] = []
    for epoch in range(epochs):
        units = draw(rows, np.random.default_rng([seed, epoch, 1]))
        sizes = np.where(units >= 0, lengths[units], 0).sum(axis=1)
        target = sizes.sum() / -(-sizes.sum() // batch_tokens)
        generator = np.random.default_rng([seed, epoch])
        for window in _cut(generator.permutation(len(units)), sizes, WINDOW * target):
            pieces = _cut(window[np.argsort(sizes[window], kind="stable")], sizes, target)
            steps.extend(units[pieces[place]] for place in generator.permutation(len(pieces)))
    return steps


def _cut(order: np.ndarray, sizes: np.ndarray, size: float) -> list[np.ndarray]:
    """Consecutive pieces of about `size` tokens; a unit belongs to the piece in which its middle token falls."""
    import numpy as np

    ends = np.cumsum(sizes[order])
    places = ((ends - sizes[order] / 2) // size).astype(np.int64)
    return np.split(order, np.flatnonzero(np.diff(places)) + 1)


def micro_batches(units: np.ndarray, lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Sorted by length, in pieces of at most `budget` tokens, padding included; a longer one goes alone.

    A last piece that fits into the one before it within `SLACK` goes there: padding makes a step longer than its
    tokens are, and what is left over would cost a pass of a row or two.
    """
    import numpy as np

    longest, counts = np.where(units >= 0, lengths[units], 0).max(axis=1), (units >= 0).sum(axis=1)
    pieces: list[list[int]] = []
    held = 0  # rows in the last piece
    for unit in np.argsort(-longest, kind="stable"):
        if pieces and longest[pieces[-1][0]] * (held + counts[unit]) <= budget:
            pieces[-1].append(unit)
            held += counts[unit]
        else:
            pieces.append([unit])
            held = counts[unit]
    if len(pieces) > 1:
        before, last = pieces[-2:]
        rows = counts[before].sum() + counts[last].sum()
        if longest[before[0]] * rows <= (1 + SLACK) * budget:
            pieces[-2:] = [before + last]
    return [units[piece] for piece in pieces]


def shard_for_rank(pieces: Sequence[np.ndarray], rank: int, world: int) -> list[tuple[int, np.ndarray]]:
    """This worker's numbered pieces; every worker gets equally many, so that all take part in each collective.

    Where there are too few, the rest are empty pieces, which `collate` turns into one token of weight 0.
    """
    import numpy as np

    count = -(-len(pieces) // world) * world
    padded = [*pieces, *[np.empty((0, 1), dtype=np.int64)] * (count - len(pieces))]
    return [*enumerate(padded)][rank::world]


def collate(table: TokenTable, units: np.ndarray, terms: Sequence[LossTerm[Any]]) -> Batch:
    """One micro-batch as padded tensors; padding is token 0, and no units are one row of it.

    A term that has nothing to count in it has no part; where none has, the first gives a loss of 0.
    """
    pieces = [table.ids[row] for row in rows_of(units)]
    shape = max(len(pieces), 1), max(map(len, pieces), default=2)
    here = [term for term in terms if term.count(units)] or terms[:1]
    parts = ((term.name, term.collate(units, shape)) for term in here)
    return Batch(padded(pieces, shape, "int64"), {name: part for name, part in parts if part is not None})


def padded(pieces: Sequence[np.ndarray], shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """`pieces` [their length, ...] as the rows of a tensor of this shape and dtype, 0 where they do not reach."""
    import numpy as np
    import torch

    values = np.zeros(shape, dtype)
    for place, piece in enumerate(pieces):
        values[place, : len(piece)] = piece
    return torch.from_numpy(values)
