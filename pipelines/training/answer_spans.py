"""Where two rationales state the same answer, in tokens (MCC-KD, arXiv 2310.14747).

    "... Therefore, the answer is 18."   characters of "18" --offsets--> window [start, end) of tokens, per rationale
    windows of two rationales            --common_segment-->             the longest token sequence that both hold

The consistency loss compares what the student expects at the tokens of that segment. In a causal model the logits at
position t say what token t + 1 will be, so those of a segment [start, end) lie at [start - 1, end - 1).
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from raydistill.pipelines.training.tokens import TokenTable


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


def shared_answer(table: TokenTable, left: int, right: int) -> SharedAnswer | None:
    """The answer tokens that the rows `left` and `right` share; None if they share none."""
    (left_start, left_end), (right_start, right_end) = table.windows[left], table.windows[right]
    left_ids, right_ids = table[left][0][left_start:left_end], table[right][0][right_start:right_end]
    in_left, in_right, length = common_segment(left_ids, right_ids)
    return SharedAnswer(int(left_start) + in_left, int(right_start) + in_right, length) if length else None


def count_pairs(table: TokenTable) -> PairCounts:
    """How many pairs the groups of `table` allow, and in how many of them the answers share tokens."""
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(table.groups):
        if group >= 0:
            groups[group].append(row)
    pairs = [pair for rows in groups.values() for pair in itertools.combinations(rows, 2)]
    found = sum(shared_answer(table, *pair) is not None for pair in pairs)
    return PairCounts(sum(len(rows) > 1 for rows in groups.values()), len(pairs), found)
