"""Attention of a student that learns in bfloat16 on CPU: computed in float32, where PyTorch is faster at it."""

from __future__ import annotations

from typing import Any

NAME = "sdpa_in_float32"  # among the implementations of attention that transformers knows


def attend_in_float32(model: Any) -> None:
    """Let `model` compute `scaled_dot_product_attention` in float32 under autocast, softmax and gradients, too.

    PyTorch's kernel for CPUs takes up to twice as long for the gradient in bfloat16 as in float32 (docs/decisions.md).
    A model of transformers whose attention is another one than ``sdpa`` keeps it. What is exported does not tell.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface

    if model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    model.set_attn_implementation(NAME)


def _attention(module: Any, query: Any, key: Any, value: Any, mask: Any, **settings: Any) -> tuple[Any, None]:
    """As transformers calls it: `query`, `key`, `value` [B, heads, L, D]; gives [B, L, heads, D] in `query`'s dtype."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    with torch.autocast(query.device.type, enabled=False):
        query32, key32, value32 = query.float(), key.float(), value.float()
        found, _ = sdpa_attention_forward(module, query32, key32, value32, mask, **settings)
    return found.to(query.dtype), None
