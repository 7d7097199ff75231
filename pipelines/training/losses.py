"""Losses over positions that carry a weight or state an answer; logits exist at those positions only.

The full-vocabulary tensor of a batch is by far its largest: at 128,000 entries, one float32 row per token of a
4,096-token batch is 2 GB, of which a masked prompt wastes most. So the output layer sees the positions that are
trained or compared, and the consistency loss makes float32 distributions of the answers' tokens alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from raydistill.pipelines.training.batches import Batch, Pairs


@dataclass(frozen=True, slots=True)
class Losses:
    """The sums of a batch, scalars; `over` makes them parts of the means of a whole optimiser step."""

    cross_entropy: torch.Tensor  # over trained tokens, weighted
    consistency: torch.Tensor  # over pairs: KL divergence of the answer distributions, times the pair's weight alpha
    answer_kl: torch.Tensor  # the same without alpha; no gradient
    agreement: torch.Tensor  # pairs whose most likely token is the same at every token of the shared answer

    def over(self, trained: int, pairs: int) -> torch.Tensor:
        """The four sums over the trained tokens, or the pairs, of the step, [4]; see `Means`."""
        import torch

        shared = (self.consistency, self.answer_kl, self.agreement)
        return torch.stack([self.cross_entropy / trained, *(total / max(1, pairs) for total in shared)])


@dataclass(frozen=True, slots=True)
class Means:
    """Mean losses of an optimiser step or a validation; ``cross_entropy + consistency`` is MCC-KD's loss (2310.14747).

    ``consistency`` is alpha times the symmetric KL divergence of two rationales' answer distributions.

    Each component has its own denominator: trained tokens, and pairs whose answers share tokens.
    """

    pairs: int  # how many there were; without any, all but the cross-entropy is 0 and says nothing
    cross_entropy: float
    consistency: float
    answer_kl: float  # per pair, unscaled
    agreement: float  # fraction of pairs

    @property
    def loss(self) -> float:
        """What is minimised."""
        return self.cross_entropy + self.consistency


def weighted_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """``sum_t w_t * -log p(target_t)``, a scalar, with the softmax in float32.

    `logits` [N, V], `targets` [N], `weights` [N]. A sum, not a mean: the caller divides by the number of trained
    tokens of the whole optimiser step (all workers, all micro-batches), ``sum_t [w_t != 0]`` (TriPosT's
    denominator, arXiv 2310.13522), so that how a step is cut into pieces does not change its gradient.
    """
    from torch.nn import functional

    return (functional.cross_entropy(logits.float(), targets, reduction="none") * weights).sum()


def symmetric_kl(left: torch.Tensor, right: torch.Tensor, temperature: torch.Tensor) -> torch.Tensor:
    """``(KL(P||Q) + KL(Q||P)) / 2`` of ``P = softmax(left / T)`` and ``Q = softmax(right / T)``, per row, in float32.

    `left`, `right` [S, V], `temperature` [S] or a scalar; the result is [S]. As in MCC-KD the gradient flows into both
    sides and there is no factor T squared. Written as ``sum (P - Q) (log P - log Q) / 2``, which is the
    same, equal under exchange to the last bit and never negative.
    """
    log_p, log_q = ((logits.float() / temperature[..., None]).log_softmax(-1) for logits in (left, right))
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2


def batch_losses(model: nn.Module, output_layer: nn.Module, batch: Batch) -> Losses:
    """The sums of a batch: position t of a row predicts its token t + 1.

    `model` is a causal language model of transformers, as it is or wrapped for parallel training, `output_layer`
    the module in it that makes logits from hidden states. A batch without trained tokens gives 0 with zero gradients.
    """
    targets, weights = batch.ids[:, 1:], batch.weights[:, 1:]
    wanted = weights != 0
    if batch.pairs:
        wanted[batch.pairs.rows, batch.pairs.tokens - 1] = True
    with logits_only_at(output_layer, wanted):
        logits = model(input_ids=batch.ids, use_cache=False).logits
    if not batch.pairs:
        nothing = weights.new_zeros(())
        return Losses(weighted_cross_entropy(logits, targets[wanted], weights[wanted]), nothing, nothing, nothing)
    places = wanted.flatten().cumsum(0).view_as(wanted) - 1  # of a position among the logits
    chosen = places[batch.pairs.rows, batch.pairs.tokens - 1]
    logits, compared = _with_rows().apply(logits, chosen.flatten())
    cross_entropy = weighted_cross_entropy(logits, targets[wanted], weights[wanted])
    left, right = compared.view(*chosen.shape, -1)
    return Losses(cross_entropy, *_consistency(left, right, batch.pairs))


@cache
def _with_rows() -> type[torch.autograd.Function]:
    """An operation that gives `logits` [N, V] as they are, and a copy of some of their rows.

    Its gradient adds that of the rows into that of all logits in place. Indexing would make a second tensor [N, V]
    of zeros for it. Nobody else holds the gradient that is changed: it comes fresh from the cross-entropy.
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


def _consistency(
    left: torch.Tensor, right: torch.Tensor, pairs: Pairs
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`Losses.consistency`, `answer_kl` and `agreement`; the divergence of a pair is the mean over its shared tokens.

    `left`, `right` [S, V] are the logits that predict the shared tokens.
    """
    import torch

    lengths = torch.bincount(pairs.pair)
    divergence = symmetric_kl(left, right, pairs.temperature[pairs.pair]) / lengths[pairs.pair]
    differing = torch.bincount(pairs.pair, (left.argmax(-1) != right.argmax(-1)).float())
    consistency = (divergence * pairs.weight[pairs.pair]).sum()
    return consistency, divergence.detach().sum(), (differing == 0).float().sum()


@contextmanager
def logits_only_at(output_layer: nn.Module, wanted: torch.Tensor) -> Iterator[None]:
    """Within this context `output_layer` gets the hidden states of `wanted` positions only.

    `wanted` [B, L - 1] says of which positions the successor is trained or compared; hidden states [B, L, H] become
    [N, H] and the model's logits [N, V]. A hook rather than a call of the layer, so that what a model does to its
    logits afterwards (scaling, soft-capping) and what parallel wrappers do around its forward both stay in place.
    """
    handle = output_layer.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, :-1][wanted],))
    try:
        yield
    finally:
        handle.remove()
