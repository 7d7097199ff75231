"""What a configuration names must be there before anything starts: models, tokenizers, recordings.

A name is a directory, or an id on the Hugging Face hub. What is neither here nor in the hub's cache would be looked for
by an engine, which is started again and again for minutes; so the hub is asked for it before that, once.
"""

from __future__ import annotations

import os
from pathlib import Path

from raydistill.actors.errors import UsageError
from raydistill.actors.storage import is_uri
from raydistill.pipelines.config import sections as settings
from raydistill.pipelines.config.files import expand

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "*tekken*.json")
HUB_WITHIN_S = 10.0


def check_teacher(config: settings.Teacher) -> None:
    """Raise UsageError unless there is something to start the teacher's engines with."""
    if config.engine == "vllm":
        check_model(config.model, "teacher.model", tokenizer="tokenizer" not in config.options)
    elif config.engine == "recorded":
        for path in config.recording or (config.model,):
            if not is_uri(path) and not Path(expand(path)).exists():
                setting = "recording" if config.recording else "model"
                raise UsageError(f"teacher.{setting}: {path}: no such file of recorded completions")
    if config.endpoint and config.endpoint.tokenizer:
        check_tokenizer(config.endpoint.tokenizer, "teacher.endpoint.tokenizer")


def check_model(path: str, setting: str, *, tokenizer: bool = True) -> None:
    """Raise UsageError unless `path` is a model directory, with its `tokenizer`, or may be a hub id."""
    if Path(path).is_dir() and not Path(path, "config.json").is_file():
        raise UsageError(f"{setting}: {path} holds no model: no config.json; expected a Hugging Face directory")
    if tokenizer or not Path(path).is_dir():
        check_tokenizer(path, setting)


def check_tokenizer(path: str, setting: str) -> None:
    """Raise UsageError unless `path` is a directory with a tokenizer, or may be a hub id."""
    folder = Path(path)
    if folder.is_dir():
        if not any(found for name in TOKENIZERS for found in folder.glob(name)):
            raise UsageError(
                f"{setting}: {path} holds no tokenizer: none of {', '.join(TOKENIZERS)}; copy that of the model there"
            )
    elif not is_uri(path) and (folder.is_absolute() or path.startswith(".") or path.count("/") != 1):
        raise UsageError(f"{setting}: {path} is neither a directory nor a hub id such as Qwen/Qwen3-4B")


def check_hub(model: str, revision: str | None = None) -> None:
    """Raise UsageError unless `model` is a directory or URI, the hub's cache has it at `revision`, or the hub has it.

    For a model that is about to be loaded. Only where Ray runs on this machine alone: other nodes may have caches and
    ways to the hub of their own.
    """
    if Path(model).is_dir() or is_uri(model) or os.environ.get("RAY_ADDRESS"):
        return
    import httpx
    from huggingface_hub import constants, get_token, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        if isinstance(try_to_load_from_cache(model, "config.json", revision=revision), str):
            return
    except HFValidationError as error:
        raise UsageError(f"{model} is no directory here, and no hub id: {error}") from None
    lacking = f"{model} is no directory here, and not in the hub's cache ({constants.HF_HUB_CACHE})"
    if constants.HF_HUB_OFFLINE:
        raise UsageError(f"{lacking}; HF_HUB_OFFLINE is set, so it is not fetched")
    page, token = f"{constants.ENDPOINT}/api/models/{model}", get_token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        status = httpx.get(page, headers=headers, timeout=HUB_WITHIN_S, follow_redirects=True).status_code
    except httpx.HTTPError as error:
        raise UsageError(
            f"{lacking}; {constants.ENDPOINT} cannot be reached ({type(error).__name__}): name a directory, or fetch it"
        ) from None
    if status in (401, 403, 404):
        raise UsageError(f"{lacking}; {page} says {status}: no such model, or not for you (HF_TOKEN)")
