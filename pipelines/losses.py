"""Losses over positions that carry a weight; logits exist at those positions only.

The full-vocabulary tensor of a batch is by far its largest: at 128,000 entries, one float32 row per token of a
4,096-token batch is 2 GB, of which a masked prompt wastes most. So the output layer sees trained positions only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipelines.batches import Batch


def weighted_cross_entropy(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """``sum_t w_t * -log p(target_t)``, a scalar, with the softmax in float32.

    `logits` [N, V], `targets` [N], `weights` [N]. A sum, not a mean: the caller divides by the number of trained
    tokens of the whole optimiser step (all workers, all micro-batches), ``sum_t [w_t != 0]`` (TriPosT's
    denominator, arXiv 2310.13522), so that how a step is cut into pieces does not change its gradient.
    """
    from torch.nn import functional

    return (functional.cross_entropy(logits.float(), targets, reduction="none") * weights).sum()


def batch_loss(model: nn.Module, output_layer: nn.Module, batch: Batch) -> torch.Tensor:
    """Summed weighted cross-entropy of a batch: position t of a row predicts its token t + 1.

    `model` is a causal language model of transformers, as it is or wrapped for parallel training, `output_layer`
    the module in it that makes logits from hidden states. A batch without trained tokens gives 0 with zero gradients.
    """
    targets, weights = batch.ids[:, 1:], batch.weights[:, 1:]
    trained = weights != 0
    with logits_only_at(output_layer, trained):
        logits = model(input_ids=batch.ids, use_cache=False).logits
    return weighted_cross_entropy(logits, targets[trained], weights[trained])


@contextmanager
def logits_only_at(output_layer: nn.Module, trained: torch.Tensor) -> Iterator[None]:
    """Within this context `output_layer` gets the hidden states of `trained` positions only.

    `trained` [B, L - 1] says of which positions the successor is trained; hidden states [B, L, H] become [N, H] and
    the model's logits [N, V]. A hook rather than a call of the layer, so that what a model does to its logits
    afterwards (scaling, soft-capping) and what parallel wrappers do around its forward both stay in place.
    """
    handle = output_layer.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, :-1][trained],))
    try:
        yield
    finally:
        handle.remove()
