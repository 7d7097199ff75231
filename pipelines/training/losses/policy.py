"""Policy gradient: sampled tokens become likelier, or less likely, by their advantages (arXiv 1707.06347).

On-policy distillation is this term with ``advantage = log p_teacher - log p_behaviour`` of each token, the reverse KL
on sampled tokens; a verdict's reward is one more summand of the advantage.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.batches import rows_of
from raydistill.pipelines.training.losses.base import (
    Encoding,
    LossTerm,
    of_completions,
    places_of_completions,
    wanted_at,
)
from raydistill.pipelines.training.losses.forward import piecewise

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch

    from raydistill.pipelines.training.losses.forward import SharedLogits
    from raydistill.pipelines.training.tokens import Lists

SINGLE = ("policy_weight", "clip_low", "clip_high")


class Sampled(NamedTuple):
    """The S sampled tokens of a batch: token s is ``ids[rows[s], positions[s] + 1]``."""

    rows: torch.Tensor  # [S] int64
    positions: torch.Tensor  # [S] int64, of the logits that predict it
    advantages: torch.Tensor  # [S] float32
    behaviour: torch.Tensor  # [S] float32, log-probabilities it was sampled with
    weight: torch.Tensor  # [S] float32
    low: torch.Tensor  # [S] float32, the least ratio that counts
    high: torch.Tensor  # [S] float32, the greatest


class Policy(LossTerm[Sampled]):
    """``-sum_t min(r_t A_t, clip(r_t) A_t)`` over sampled tokens, ``r_t = p(token t) / p_behaviour(token t)``.

    The denominator counts these tokens. Measured beside it: the loss without the examples' weights; the share of tokens
    at which the clipped side counts, which have no gradient; and the mean of |log r_t|, how stale the samples are.
    """

    name = "policy_gradient"
    measures = ("policy_loss", "clipped", "staleness")

    @staticmethod
    def schema() -> list[tuple[str, pa.DataType]]:
        import pyarrow as pa

        values = [("advantages", pa.large_list(pa.float32())), ("behaviour", pa.large_list(pa.float32()))]
        return [*values, ("policy_start", pa.int32()), *((name, pa.float32()) for name in SINGLE)]

    @staticmethod
    def columns(example: Example, encoding: Encoding) -> dict[str, Any]:
        told = example.policy
        values: dict[str, Any] = {"advantages": [], "behaviour": [], "policy_start": encoding.start}
        if told is None:
            return values | dict.fromkeys(SINGLE, 0.0)
        for name in ("advantages", "behaviour"):
            values[name] = of_completions(name, getattr(told, name), encoding)
        return values | {"policy_weight": told.weight, "clip_low": 1 - told.clip[0], "clip_high": 1 + told.clip[1]}

    @staticmethod
    def trained(columns: Mapping[str, Any]) -> int:
        return len(columns["advantages"])

    @property
    def active(self) -> bool:
        return len(self.advantages.values) > 0

    def count(self, units: np.ndarray) -> int:
        return sum(len(self.advantages[row]) for row in rows_of(units))

    def collate(self, units: np.ndarray, shape: tuple[int, int]) -> Sampled | None:
        import numpy as np
        import torch

        rows = rows_of(units)
        lengths = np.array([len(self.advantages[row]) for row in rows], np.int64)
        if not lengths.any():
            return None
        values = (np.concatenate([lists[row] for row in rows]) for lists in (self.advantages, self.behaviour))
        single = (np.repeat(self.table.column(name).to_numpy()[rows], lengths) for name in SINGLE)
        places = places_of_completions(self.starts[rows], lengths)
        return Sampled(*map(torch.from_numpy, (*places, *values, *single)))

    def positions(self, part: Sampled, ids: torch.Tensor) -> torch.Tensor:
        return wanted_at(ids, part.rows, part.positions)

    def loss(self, part: Sampled, logits: SharedLogits) -> torch.Tensor:
        import torch

        targets = logits.ids[part.rows, part.positions + 1]

        def logprobs(some: torch.Tensor, piece: slice) -> torch.Tensor:
            return some.gather(-1, targets[piece, None])[:, 0] - some.logsumexp(-1)

        log_ratio = piecewise(logits, part.rows, part.positions, logprobs) - part.behaviour
        ratio = log_ratio.exp()
        free = -ratio * part.advantages
        held = -ratio.clamp(part.low, part.high) * part.advantages
        each = torch.maximum(free, held)
        told = (each, (held > free).float(), log_ratio.abs())
        return torch.stack([(part.weight * each).sum(), *(value.detach().sum() for value in told)])

    @cached_property
    def advantages(self) -> Lists:
        """Of each row, [its sampled tokens] float32."""
        return self.table.lists("advantages")

    @cached_property
    def behaviour(self) -> Lists:
        """The same, of the log-probabilities that they were sampled with."""
        return self.table.lists("behaviour")

    @cached_property
    def starts(self) -> np.ndarray:
        """Of each row the place of its completion, [rows]."""
        return self.table.column("policy_start").to_numpy()
