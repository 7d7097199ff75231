"""Cross-entropy of the tokens that an example weights, prompt and completion; every example has it."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from raydistill.actors.errors import TrainingError
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.batches import padded, rows_of
from raydistill.pipelines.training.losses.base import Encoding, LossTerm
from raydistill.pipelines.training.losses.forward import PIECE

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import torch

    from raydistill.pipelines.training.losses.forward import SharedLogits
    from raydistill.pipelines.training.tokens import Lists


class Weights(NamedTuple):
    """`weights` [B, L] float32 multiply the cross-entropy of each token; 0 at what is not trained, and at padding."""

    weights: torch.Tensor


class CrossEntropy(LossTerm[Weights]):
    """``sum_t w_t * -log p(token t)`` over the trained tokens, those whose weight w is not 0.

    The denominator counts these tokens, ``sum_t [w_t != 0]``, whatever their weights (as in arXiv 2310.13522).
    """

    name = "cross_entropy"

    @staticmethod
    def schema() -> list[tuple[str, pa.DataType]]:
        import pyarrow as pa

        return [("weights", pa.large_list(pa.float32()))]

    @staticmethod
    def columns(example: Example, encoding: Encoding) -> dict[str, Any]:
        # From nothing no first token is predicted.
        prompt = [0.0, *[example.prompt_weight] * encoding.start][: encoding.start]
        return {"weights": prompt + _weights(example, [begin for begin, _ in encoding.characters])}

    @staticmethod
    def trained(columns: Mapping[str, Any]) -> int:
        count = sum(weight != 0 for weight in columns["weights"])
        if count and columns["weights"][-1] == 0:
            raise TrainingError("its stop token is not trained (the last segment's weight is 0)")
        return count

    def count(self, units: np.ndarray) -> int:
        return int(self.tokens[rows_of(units)].sum())

    def collate(self, units: np.ndarray, shape: tuple[int, int]) -> Weights:
        return Weights(padded([self.weights[row] for row in rows_of(units)], shape, "float32"))

    def positions(self, part: Weights, ids: torch.Tensor) -> torch.Tensor:
        return part.weights[:, 1:] != 0

    def loss(self, part: Weights, logits: SharedLogits) -> torch.Tensor:
        """A batch without trained tokens gives 0 with zero gradients."""
        targets, weights = logits.ids[:, 1:][logits.wanted], part.weights[:, 1:][logits.wanted]
        return weighted_cross_entropy(logits.whole(), targets, weights)[None]

    @cached_property
    def weights(self) -> Lists:
        """Of each row, [its tokens] float32."""
        return self.table.lists("weights")

    @cached_property
    def tokens(self) -> np.ndarray:
        """Trained tokens per row, [rows]."""
        import numpy as np

        return np.add.reduceat(self.weights.values != 0, self.weights.offsets[:-1], dtype=np.int64)


def weighted_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """``sum_t w_t * -log p(target_t)``, a scalar, with the softmax in float32.

    `logits` [N, V], `targets` [N], `weights` [N]. More than `PIECE` logits are used up: backward leaves their gradient
    in their place. The values are the same to the bit.
    """
    rows = max(1, PIECE // logits.shape[-1])
    if len(logits) <= rows:
        return (_cross_entropy(logits, targets) * weights).sum()
    return _in_pieces().apply(logits, targets, weights, rows)


def _cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    return functional.cross_entropy(logits.float(), targets, reduction="none")


@cache
def _in_pieces() -> type[torch.autograd.Function]:
    """The weighted cross-entropy, `rows` rows of the logits at a time; backward makes each piece's softmax anew.

    At once, PyTorch would hold four tensors of the logits' size: these, their log-softmax, and a gradient of each.
    What comes in is overwritten, which autograd refuses if the model's own backward still needs it.
    """
    import torch

    class InPieces(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, rows: int
        ) -> torch.Tensor:
            ctx.save_for_backward(logits, targets, weights)
            ctx.rows = rows
            pieces = zip(logits.split(rows), targets.split(rows), strict=True)
            return (torch.cat([_cross_entropy(*piece) for piece in pieces]) * weights).sum()

        @staticmethod
        def backward(ctx: Any, of_sum: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
            logits, *others = ctx.saved_tensors
            pieces = (tensor.split(ctx.rows) for tensor in (logits, *others))
            for piece, targets, weights in zip(*pieces, strict=True):
                with torch.enable_grad():
                    entries = piece.detach().requires_grad_()
                    losses = _cross_entropy(entries, targets)
                piece.copy_(torch.autograd.grad(losses, entries, of_sum * weights)[0])
            return logits.detach(), None, None, None

    return InPieces


def _weights(example: Example, begins: Sequence[int]) -> list[float]:
    """Weights of the completion's tokens and of the stop token; a token belongs to the segment it begins in.

    `begins[t]` is the character of the completion at which token t begins.
    """
    if not example.completion:
        return [0.0] * (len(begins) + 1)
    ends = list(itertools.accumulate(len(segment.text) for segment in example.completion))
    last = len(ends) - 1
    places = [min(bisect.bisect_right(ends, max(begin, 0)), last) for begin in begins]
    return [example.completion[place].weight for place in [*places, last]]
