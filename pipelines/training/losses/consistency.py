"""Consistency: two rationales of a question that state the same answer should expect it alike (arXiv 2310.14747).

    "... Therefore, the answer is 18."   characters of "18" --offsets--> window [start, end) of tokens, per rationale
    windows of two rationales            --common_segment-->             the longest token sequence that both hold

Compared is what the student expects at the tokens of that segment. In a causal model the logits at position t say
what token t + 1 will be, so those of a segment [start, end) lie at [start - 1, end - 1).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from raydistill.actors.errors import TrainingError
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.losses.base import Encoding, LossTerm, wanted_at

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch

    from raydistill.pipelines.training.losses.forward import SharedLogits


@dataclass(frozen=True, slots=True)
class SharedAnswer:
    """The same tokens in two sequences: ``left[left_start:left_start + length]`` and likewise on the right."""

    left_start: int
    right_start: int
    length: int


@dataclass(frozen=True, slots=True)
class PairCounts:
    """What training can make of its examples; a pair is two rationales of a question with the same answer."""

    questions: int  # with at least two rationales
    pairs: int
    with_span: int  # pairs whose answers share a token sequence; the others are trained by cross-entropy alone


class Pairs(NamedTuple):
    """Where the P pairs of a batch state the same answer, one entry per shared token (S over all pairs).

    Shared token s of its pair is ``ids[rows[0, s], tokens[0, s]]`` and ``ids[rows[1, s], tokens[1, s]]``.
    """

    rows: torch.Tensor  # [2, S] int64, of the batch
    tokens: torch.Tensor  # [2, S] int64, place in the row; at least 1
    pair: torch.Tensor  # [S] int64, which of the pairs
    weight: torch.Tensor  # [P] float32
    temperature: torch.Tensor  # [P] float32


class Consistency(LossTerm[Pairs]):
    """Over pairs of rows: the KL divergence of their answer distributions, times the pair's weight alpha.

    The divergence of a pair is the mean over its shared tokens of `symmetric_kl`; the denominator counts the pairs
    whose answers share tokens. Measured beside it: the divergence without alpha, and how many of the pairs have the
    same most likely token at every shared token.
    """

    name = "consistency"
    measures = ("answer_kl", "answer_agreement")
    pairs_rows = True

    @staticmethod
    def schema() -> list[tuple[str, pa.DataType]]:
        import pyarrow as pa

        answer = [("answer_start", pa.int32()), ("answer_end", pa.int32())]
        return [("group", pa.string()), *answer, ("consistency", pa.float32()), ("temperature", pa.float32())]

    @staticmethod
    def columns(example: Example, encoding: Encoding) -> dict[str, Any]:
        """The answer is looked for at the end of the completion."""
        group, first, end, weight, temperature = "", 0, 0, 0.0, 1.0
        if example.consistency:
            place = example.text.rfind(example.answer) if example.answer else -1
            window = answer_window(encoding.characters, place, place + len(example.answer)) if place >= 0 else (0, 0)
            first, end = encoding.start + window[0], encoding.start + window[1]
            group, weight, temperature = example.group, example.consistency.weight, example.consistency.temperature
        values = {"answer_start": first, "answer_end": end, "consistency": weight, "temperature": temperature}
        return {"group": group} | values

    @property
    def active(self) -> bool:
        return bool((self.groups >= 0).any())

    def check(self) -> dict[str, int]:
        """`PairCounts` as a mapping."""
        pairs = self.count_pairs()
        if not pairs.with_span:
            raise TrainingError(
                f"consistency training has nothing to compare: {pairs.questions} questions have several rationales, "
                f"and none of their {pairs.pairs} pairs shares a token of the answer; train with one rationale, or "
                "sample more"
            )
        return asdict(pairs)

    def units(self, rows: Sequence[int] | np.ndarray, generator: np.random.Generator | None) -> np.ndarray:
        return pair_up(rows, self.groups, generator)

    def count(self, units: np.ndarray) -> int:
        return sum(self.shared_answer(*pair) is not None for pair in units if len(pair) == 2 and pair[1] >= 0)

    def collate(self, units: np.ndarray, shape: tuple[int, int]) -> Pairs | None:
        import numpy as np

        if units.shape[1] < 2:
            return None
        sizes = (units >= 0).sum(axis=1)
        spans, leads = [], []
        for place, (left, right) in zip(np.cumsum(sizes) - sizes, units, strict=True):
            if right >= 0 and (shared := self.shared_answer(left, right)):
                spans.append((int(place), int(place) + 1, shared))
                leads.append(left)
        return align(spans, self.weights[leads], self.temperatures[leads]) if spans else None

    def positions(self, part: Pairs, ids: torch.Tensor) -> torch.Tensor:
        return wanted_at(ids, part.rows, part.tokens - 1)

    def loss(self, part: Pairs, logits: SharedLogits) -> torch.Tensor:
        import torch

        left, right = logits.at(part.rows, part.tokens - 1)
        lengths = torch.bincount(part.pair)
        divergence = symmetric_kl(left, right, part.temperature[part.pair]) / lengths[part.pair]
        differing = torch.bincount(part.pair, (left.argmax(-1) != right.argmax(-1)).float())
        loss = (divergence * part.weight[part.pair]).sum()
        return torch.stack([loss, divergence.detach().sum(), (differing == 0).float().sum()])

    @cached_property
    def groups(self) -> np.ndarray:
        """Of each row the number of its group, whose rows are drawn as pairs; -1 for a row that is trained alone."""
        import numpy as np

        names = self.table.column("group").to_pylist()
        numbers = {name: number for number, name in enumerate(dict.fromkeys(filter(None, names)))}
        return np.array([numbers.get(name, -1) for name in names])

    @cached_property
    def windows(self) -> np.ndarray:
        """Of each row the tokens [start, end) that state its answer, [rows, 2]; both equal where there are none."""
        import numpy as np

        return np.stack([self.table.column(name).to_numpy() for name in ("answer_start", "answer_end")], axis=1)

    @cached_property
    def weights(self) -> np.ndarray:
        """Alpha of each row, [rows] float32; a pair takes that of its first row."""
        return self.table.column("consistency").to_numpy()

    @cached_property
    def temperatures(self) -> np.ndarray:
        """Of each row's answer distributions, [rows] float32; a pair takes that of its first row."""
        return self.table.column("temperature").to_numpy()

    def shared_answer(self, left: int, right: int) -> SharedAnswer | None:
        """The answer tokens that the rows `left` and `right` share; None if they share none."""
        (left_start, left_end), (right_start, right_end) = self.windows[left], self.windows[right]
        left_ids, right_ids = self.table.ids[left][left_start:left_end], self.table.ids[right][right_start:right_end]
        in_left, in_right, length = common_segment(left_ids, right_ids)
        return SharedAnswer(int(left_start) + in_left, int(right_start) + in_right, length) if length else None

    def count_pairs(self) -> PairCounts:
        """How many pairs the groups of the table allow, and in how many of them the answers share tokens."""
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for row, group in enumerate(self.groups):
            if group >= 0:
                groups[group].append(row)
        pairs = [pair for rows in groups.values() for pair in itertools.combinations(rows, 2)]
        found = sum(self.shared_answer(*pair) is not None for pair in pairs)
        return PairCounts(sum(len(rows) > 1 for rows in groups.values()), len(pairs), found)


def symmetric_kl(left: torch.Tensor, right: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """``(KL(P||Q) + KL(Q||P)) / 2`` of ``P = softmax(left / T)`` and ``Q = softmax(right / T)``, per row, in float32.

    `left`, `right` [S, V], `temperature` [S] or a scalar; the result is [S]. As in arXiv 2310.14747 the gradient flows
    into both sides and there is no factor T squared. Written as ``sum (P - Q) (log P - log Q) / 2``, which is the
    same, equal under exchange to the last bit and never negative.
    """
    log_p, log_q = ((logits.float() / temperature[..., None]).log_softmax(-1) for logits in (left, right))
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2


def pair_up(
    rows: Sequence[int] | np.ndarray, groups: np.ndarray, generator: np.random.Generator | None = None
) -> np.ndarray:
    """Rows without a group alone, those of a group in pairs: units [n, 2], or [n, 1] without any group.

    With a `generator` one pair is drawn of each group and its other rows are left out (an epoch of arXiv 2310.14747);
    without, every row is there once, in the given order. A row without a partner stands alone.
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


def common_segment(left: np.ndarray, right: np.ndarray) -> tuple[int, int, int]:
    """Longest common run of two token sequences as (start in left, start in right, length); the first of equals."""
    if len(left) == len(right) and (left == right).all():
        return 0, 0, len(left)
    best = (0, 0, 0)
    ends: dict[int, int] = {}  # per place of `right`: length of the common run that ends there
    for place, token in enumerate(left):
        ends = {other: ends.get(other - 1, 0) + 1 for other in range(len(right)) if right[other] == token}
        for other, length in ends.items():
            if length > best[2]:
                best = (place - length + 1, other - length + 1, length)
    return best


def answer_window(offsets: Sequence[tuple[int, int]], start: int, end: int) -> tuple[int, int]:
    """The tokens [first, last + 1) that hold any of the characters [start, end); (0, 0) if there are none.

    `offsets` are the characters [begin, end) of each token, as a fast tokenizer reports them. A token that holds
    more than the answer, a leading space or a unit, counts as a whole.
    """
    held = [place for place, (begin, stop) in enumerate(offsets) if begin < end and stop > start and begin < stop]
    return (held[0], held[-1] + 1) if held else (0, 0)
