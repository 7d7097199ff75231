"""The engines of a run: one pool at a time, whose weights change in place where the models allow it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from raydistill.actors.pool import Pool, PoolClient
from raydistill.actors.storage import local_path
from raydistill.pipelines.config.files import expand
from raydistill.pipelines.config.sections import EngineConfig
from raydistill.pipelines.data.records import content_hash
from raydistill.pipelines.runtime.endpoints import endpoint_identity
from raydistill.pipelines.runtime.named import check_hub
from raydistill.pipelines.runtime.pools import engine_pool

SMALL_FILE = 64 * 2**20  # bytes; larger weight files are told apart by size and date
NOT_ARCHITECTURE = frozenset({"_name_or_path", "transformers_version", "dtype", "torch_dtype"})


def model_identity(model: str, revision: str | None = None) -> str:
    """A hash that changes when the model does: content of a local directory or file, or hub id and revision."""
    path = Path(model)
    if not path.exists():
        return content_hash(model, revision)
    if path.is_file():
        return content_hash(_file_identity(path))
    if path.is_dir() and not (path / "config.json").is_file() and not (path / "adapter_config.json").is_file():
        return content_hash(*(_file_identity(file) for file in sorted(path.rglob("*")) if file.is_file()))
    names = (".json", ".jsonl", ".parquet", ".safetensors", ".bin", ".model", ".jinja")
    return content_hash(*(_file_identity(file) for file in sorted(path.glob("*")) if file.name.endswith(names)))


def _file_identity(file: Path) -> tuple[object, ...]:
    import hashlib

    stat = file.stat()
    if stat.st_size > SMALL_FILE:
        return file.name, stat.st_size, stat.st_mtime_ns
    return file.name, hashlib.sha256(file.read_bytes()).hexdigest()


def identity_of(model: EngineConfig) -> str:
    """What the completions of a model are known by, wherever it is."""
    if model.endpoint:
        return endpoint_identity(model)
    return model_identity(expand(model.model), model.revision)


def starting(model: EngineConfig) -> str:
    """What is done before the first completion comes."""
    if model.recording:
        return f"reading completions of {model.model} in {', '.join(model.recording)}"
    return (
        f"asking {model.model} at {model.endpoint.base_url}" if model.endpoint else f"starting engine for {model.model}"
    )


def architecture(model: str) -> str | None:
    """A hash of what must be equal for weights to be exchanged in a running engine; None if it cannot be told."""
    config, tokenizer = Path(model, "config.json"), Path(model, "tokenizer.json")
    if not config.is_file() or not tokenizer.is_file():
        return None
    settings = json.loads(config.read_text(encoding="utf-8"))
    kept = {key: value for key, value in settings.items() if key not in NOT_ARCHITECTURE}
    return content_hash(kept, tokenizer.read_text(encoding="utf-8"), _chat_template(Path(model)))


def _chat_template(folder: Path) -> str:
    """The template that an engine would keep from the model that it was started with."""
    own, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    return str(json.loads(settings.read_text(encoding="utf-8")).get("chat_template")) if settings.is_file() else ""


def _settings(config: EngineConfig) -> dict[str, Any]:
    """What an engine is started with, without what a subclass adds about sampling."""
    return config.model_dump(include=set(EngineConfig.model_fields))


class Engines:
    """Keeps one pool of engines running, for whichever model is asked next."""

    def __init__(self, name: str, ledger: str) -> None:
        self._name, self._ledger = name, ledger
        self._pool: Pool | None = None
        self._config: dict[str, Any] | None = None

    def use(self, config: EngineConfig) -> PoolClient:
        """A client of running engines with the model of `config`.

        Engines that run a model of the same architecture take the new weights; others are replaced.
        Raises UsageError for a model that is neither here nor on the hub.
        """
        if config.engine == "vllm":
            check_hub(config.model, config.revision)
        if self._pool is None or not self._exchangeable(config):
            self.release()
            self._pool, self._config = engine_pool(self._name, config, self._ledger), _settings(config)
        self._pool.start(weights=local_path(config.model))
        return self.client

    @property
    def client(self) -> PoolClient:
        """A client of the engines, whether they run or not."""
        return PoolClient(self._name)

    def runs(self, config: EngineConfig) -> bool:
        """Whether engines are up that can answer for `config` without a cold start."""
        return self.running and self._exchangeable(config)

    @property
    def running(self) -> bool:
        """Whether engines are up, of whatever model."""
        return self._pool is not None and self._pool.running

    def notes(self) -> list[str]:
        """What a model behind a URL was found not to take; nothing of other engines, and of those that do not run."""
        if not self.running or self._config is None or self._config["engine"] != "openai":
            return []
        told = asyncio.run(self.client.call("describe"))
        return list(told["notes"])

    def _exchangeable(self, config: EngineConfig) -> bool:
        assert self._config is not None
        changing = {"model": "", "adapter": None, "prices": None}  # an adapter comes with each request
        if _settings(config) | changing != self._config | changing:
            return False
        running = self._config["model"]
        if config.model == running or config.engine != "vllm":
            return config.model == running
        known = architecture(config.model)
        return known is not None and known == architecture(running)

    def release(self, *, wait: bool = True) -> None:
        """Stop the engines and give their resources back."""
        if self._pool is not None:
            self._pool.release(wait=wait)
        self._pool = self._config = None
