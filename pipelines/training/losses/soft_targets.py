"""Soft targets: a teacher's distribution at each token of the completion (arXiv 1503.02531, 2306.13649).

    teacher: k most likely tokens, log-probabilities --rest--> one tail bucket      k + 1 shares, P
    student: the same tokens of its softmax          --rest--> one tail bucket      k + 1 shares, Q

Both are raised to 1 / T and normalised as these k + 1 shares, then compared. With T = 1 the divergence of the shares
is at most that of the whole vocabularies, and equals it where k is all of it. There is no factor T squared.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from raydistill.actors.errors import TrainingError
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

LEAST_TAIL = 1e-7  # what float32 leaves of 1 minus a sum of shares
SINGLE = ("soft_weight", "soft_temperature", "soft_beta")


class Targets(NamedTuple):
    """The S tokens of a batch at which a teacher's distribution is known; its logits lie at rows[s], positions[s]."""

    rows: torch.Tensor  # [S] int64
    positions: torch.Tensor  # [S] int64
    ids: torch.Tensor  # [S, k] int64
    logprobs: torch.Tensor  # [S, k] float32
    weight: torch.Tensor  # [S] float32
    temperature: torch.Tensor  # [S] float32
    beta: torch.Tensor  # [S] float32


class SoftTargets(LossTerm[Targets]):
    """The generalised Jensen-Shannon divergence of teacher and student, summed over tokens, times the row's weight.

    The denominator counts these tokens. Measured beside it: the divergence without weights, and the teacher's tail.
    """

    name = "soft_targets"
    measures = ("teacher_divergence", "teacher_tail")

    @staticmethod
    def schema() -> list[tuple[str, pa.DataType]]:
        import pyarrow as pa

        lists = [("soft_ids", pa.large_list(pa.int32())), ("soft_logprobs", pa.large_list(pa.float32()))]
        places = [("soft_start", pa.int32()), ("soft_k", pa.int32())]
        return [*lists, *places, *((name, pa.float32()) for name in SINGLE)]

    @staticmethod
    def columns(example: Example, encoding: Encoding) -> dict[str, Any]:
        """The k values of a token side by side."""
        told, k, flat = example.soft_targets, 0, {"soft_ids": list[float](), "soft_logprobs": list[float]()}
        if told is not None:
            k = len(told.ids[0]) if told.ids else 0
            for name, column in (("ids", "soft_ids"), ("logprobs", "soft_logprobs")):
                each = of_completions(f"soft targets' {name}", getattr(told, name), encoding)
                if not k or any(len(values) != k for values in each):
                    raise TrainingError(f"soft targets' {name}: expected equally many for each token, at least one")
                flat[column] = [value for values in each for value in values]
        single = (told.weight, told.temperature, told.beta) if told else (0.0, 1.0, 0.0)
        return flat | {"soft_start": encoding.start, "soft_k": k} | dict(zip(SINGLE, single, strict=True))

    @staticmethod
    def trained(columns: Mapping[str, Any]) -> int:
        return len(columns["soft_ids"]) // max(1, columns["soft_k"])

    @property
    def active(self) -> bool:
        return bool(self.ks.any())

    def check(self) -> None:
        if len(known := sorted({*self.ks[self.ks > 0].tolist()})) > 1:
            raise TrainingError(
                f"soft targets of the {known[0]} most likely tokens, and of {known[1]}: expected one number"
            )

    def count(self, units: np.ndarray) -> int:
        rows = rows_of(units)
        return int(self._lengths(rows).sum())

    def collate(self, units: np.ndarray, shape: tuple[int, int]) -> Targets | None:
        import numpy as np
        import torch

        rows = rows_of(units)
        lengths, k = self._lengths(rows), int(self.ks.max())
        if not lengths.any():
            return None
        ids, logprobs = (np.concatenate([lists[row] for row in rows]).reshape(-1, k) for lists in self._lists)
        single = (np.repeat(self.table.column(name).to_numpy()[rows], lengths) for name in SINGLE)
        places = places_of_completions(self.starts[rows], lengths)
        return Targets(*map(torch.from_numpy, (*places, ids.astype(np.int64), logprobs, *single)))

    def positions(self, part: Targets, ids: torch.Tensor) -> torch.Tensor:
        return wanted_at(ids, part.rows, part.positions)

    def loss(self, part: Targets, logits: SharedLogits) -> torch.Tensor:
        import torch

        whole = part.ids.shape[-1] == logits.vocabulary

        def student(some: torch.Tensor, piece: slice) -> torch.Tensor:
            return some.gather(-1, part.ids[piece]) - some.logsumexp(-1, keepdim=True)

        log_q = with_tail(piecewise(logits, part.rows, part.positions, student), whole)
        log_p = with_tail(part.logprobs, whole)
        each = divergence(log_p, log_q, part.temperature, part.beta)
        tail = torch.zeros_like(each) if whole else log_p[:, -1].exp()
        return torch.stack([(part.weight * each).sum(), each.detach().sum(), tail.sum()])

    @cached_property
    def _lists(self) -> tuple[Lists, Lists]:
        return self.table.lists("soft_ids"), self.table.lists("soft_logprobs")

    @cached_property
    def ks(self) -> np.ndarray:
        """Of each row, how many tokens of the teacher's are known at each of its own; 0 without soft targets."""
        return self.table.column("soft_k").to_numpy()

    @cached_property
    def starts(self) -> np.ndarray:
        """Of each row the place of its completion, [rows]."""
        return self.table.column("soft_start").to_numpy()

    def _lengths(self, rows: np.ndarray) -> np.ndarray:
        """Tokens with soft targets in each of `rows`, [rows] int64."""
        import numpy as np

        offsets = self._lists[0].offsets
        return ((offsets[rows + 1] - offsets[rows]) // np.maximum(1, self.ks[rows])).astype(np.int64)


def with_tail(logprobs: torch.Tensor, whole: bool) -> torch.Tensor:
    """Log-shares [S, k + 1]: `logprobs` [S, k] of different tokens, and of all others together; alone if `whole`."""
    import torch

    if whole:
        return logprobs
    covered = logprobs.exp().sum(-1, keepdim=True)
    return torch.cat([logprobs, torch.log1p(-covered.clamp(max=1 - LEAST_TAIL))], -1)


def divergence(log_p: torch.Tensor, log_q: torch.Tensor, temperature: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """The generalised Jensen-Shannon divergence of P and Q, [S], from log-shares [S, n] at T = 1 (2306.13649, Sec. 2).

    ``beta KL(P || M) + (1 - beta) KL(Q || M)``, ``M = beta P + (1 - beta) Q``; at beta 0 it is KL(P || Q), at 1
    KL(Q || P), the limits of what it is divided by beta (1 - beta). `temperature`, `beta` [S].
    """
    import torch

    log_p, log_q = ((shares / temperature[:, None]).log_softmax(-1) for shares in (log_p, log_q))
    inside = (beta > 0) & (beta < 1)
    share = torch.where(inside, beta, 0.5)[:, None]
    log_m = torch.logaddexp(log_p + share.log(), log_q + (1 - share).log())
    mixed = share[:, 0] * _kl(log_p, log_m) + (1 - share[:, 0]) * _kl(log_q, log_m)
    return torch.where(inside, mixed, torch.where(beta > 0, _kl(log_q, log_p), _kl(log_p, log_q)))


def _kl(log_a: torch.Tensor, log_b: torch.Tensor) -> torch.Tensor:
    return (log_a.exp() * (log_a - log_b)).sum(-1)
