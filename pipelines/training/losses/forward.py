"""One forward pass for all terms of the loss; logits exist at the positions that one of them needs.

The full-vocabulary tensor of a batch is by far its largest: at 128,000 entries, one float32 row per token of a
4,096-token batch is 2 GB, of which a masked prompt wastes most. So the output layer sees the union of all terms'
positions alone, and there is one gradient of these logits: the first term's, into which those of the others' rows
are added in place. Where they are many it lies in the logits' own place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from raydistill.pipelines.training.batches import Batch
    from raydistill.pipelines.training.losses.base import LossTerm

PIECE = 2**24  # logits whose softmax is made at once; 64 MB in float32


class SharedLogits:
    """The logits [N, V] of the N positions of a batch that any term needs, in the order of rows and positions.

    `ids` [B, L] are the batch's tokens, `wanted` [B, L - 1] says which positions there are.
    """

    def __init__(self, logits: torch.Tensor, wanted: torch.Tensor, ids: torch.Tensor) -> None:
        self._logits, self.wanted, self.ids = logits, wanted, ids

    def at(self, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """The logits at places of the batch, which must be among those wanted; two [...] give [..., V].

        A copy, whose gradient is added into the one of all logits and then freed. A term that needs a large part of
        the logits keeps its tensors small by asking piece by piece.
        """
        self._logits, found = _with_rows().apply(self._logits, self._places[rows, positions].flatten())
        return found.view(*rows.shape, -1)

    def whole(self) -> torch.Tensor:
        """All logits, [N, V]. For the first term, which is called last: the others' gradients are added into its own.

        From another term a second gradient of this size would come.
        """
        return self._logits

    @property
    def vocabulary(self) -> int:
        return self._logits.shape[-1]

    @cached_property
    def _places(self) -> torch.Tensor:
        """Of each position its row in the logits, [B, L - 1]; meaningless where it is not wanted."""
        return self.wanted.flatten().cumsum(0).view_as(self.wanted) - 1


def piecewise(
    logits: SharedLogits,
    rows: torch.Tensor,
    positions: torch.Tensor,
    compute: Callable[[torch.Tensor, slice], torch.Tensor],
    piece: int = PIECE,
) -> torch.Tensor:
    """`compute` of the logits at S places of the batch, together [S, ...], without tensors of all of them in float32.

    `compute` gets [n, V] float32 and which n of the S places they are, about `piece` logits at a time, and is called
    again in backward.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    step = max(1, piece // logits.vocabulary)
    made = [
        checkpoint(
            lambda some, part: compute(some.float(), part), logits.at(rows[part], positions[part]), part,
            use_reentrant=False, preserve_rng_state=False,
        )
        for part in (slice(start, start + step) for start in range(0, len(rows), step))
    ]  # fmt: skip
    return torch.cat(made)


def term_sums(
    model: nn.Module, output_layer: nn.Module, batch: Batch, terms: Sequence[LossTerm[Any]]
) -> list[torch.Tensor]:
    """The sums of each term over a batch, [1 + measures] as `LossTerm.loss` says; 0 for a term that is not in it.

    `model` is a causal language model of transformers, as it is or wrapped for parallel training, `output_layer`
    the module in it that makes logits from hidden states.
    """
    import torch

    ids, parts = batch.ids, [batch.parts.get(term.name) for term in terms]
    wanted = torch.zeros_like(ids[:, 1:], dtype=torch.bool)
    for term, part in zip(terms, parts, strict=True):
        if part is not None:
            wanted |= term.positions(part, ids)
    with logits_only_at(output_layer, wanted):
        logits = SharedLogits(model(input_ids=ids, use_cache=False).logits, wanted, ids)
    sums = [torch.zeros(1 + len(term.measures), device=ids.device) for term in terms]
    for place in reversed(range(len(terms))):
        if parts[place] is not None:
            sums[place] = terms[place].loss(parts[place], logits)
    return sums


@cache
def _with_rows() -> type[torch.autograd.Function]:
    """An operation that gives `logits` [N, V] as they are, and a copy of some of their rows.

    Its gradient adds that of the rows into that of all logits in place. Indexing would make a second tensor [N, V]
    of zeros for it. Nobody else holds the gradient that is changed: it comes fresh from the first term's loss, which
    is made last, or from an operation like this one that was applied later.
    """
    import torch

    class WithRows(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, logits: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            ctx.save_for_backward(rows)
            return logits.view_as(logits), logits[rows]

        @staticmethod
        def backward(ctx: Any, of_logits: torch.Tensor, of_rows: torch.Tensor) -> tuple[torch.Tensor, None]:
            (rows,) = ctx.saved_tensors
            return of_logits.index_add_(0, rows, of_rows), None

    return WithRows


@contextmanager
def logits_only_at(output_layer: nn.Module, wanted: torch.Tensor) -> Iterator[None]:
    """Within this context `output_layer` gets the hidden states of `wanted` positions only.

    `wanted` is [B, L - 1]; hidden states [B, L, H] become [N, H] and the model's logits [N, V]. A hook rather than a
    call of the layer, so that what a model does to its logits afterwards (scaling, soft-capping) and what parallel
    wrappers do around its forward both stay in place.
    """
    handle = output_layer.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, :-1][wanted],))
    try:
        yield
    finally:
        handle.remove()
