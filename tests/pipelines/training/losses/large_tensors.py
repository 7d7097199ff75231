"""Which tensors of the whole vocabulary a computation makes."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class LargeTensors(TorchDispatchMode):
    """Collects how many rows of the whole vocabulary the results of all operations have."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary, self.rows = vocabulary, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        inputs = {value.data_ptr() for value in args if isinstance(value, torch.Tensor)}
        for value in result if isinstance(result, tuple | list) else [result]:
            large = isinstance(value, torch.Tensor) and value.shape[-1:] == (self.vocabulary,)
            if large and value.data_ptr() not in inputs:  # neither a view nor changed in place
                self.rows.append(value.numel() // self.vocabulary)
        return result
