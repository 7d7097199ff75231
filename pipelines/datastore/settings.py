"""What an index is made of: its sources, how many rows of each, and the encoder of their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from raydistill.actors.errors import UsageError
from raydistill.actors.retrieval.encoder import DEFAULT_MODEL
from raydistill.actors.retrieval.row_index import EncoderId
from raydistill.pipelines.config.base import Strict
from raydistill.pipelines.config.files import Settings, expand, read_settings, validated
from raydistill.pipelines.data.records import content_hash


class RetrieverConfig(Strict):
    """The pool of retrievers, which look rows up."""

    replicas: tuple[int, int] = Field((1, 1), description="(min, max) retrievers")
    cpus: float = Field(1, gt=0, description="CPUs reserved per retriever")
    node_labels: dict[str, str] = Field(default_factory=dict, description="of nodes that may host one")


class TargetTask(Strict):
    """The task that an expert is to be trained for; ``{instruction: ..., examples: [{input: ..., output: ...}]}``."""

    instruction: str = Field(min_length=1, description="what the task asks for")
    examples: tuple[dict[str, str], ...] = Field(min_length=1, description="each with input, output, maybe reasoning")
    banned: tuple[str, ...] = Field((), description="sources whose rows must not be used: the task's own data sets")


class SourceSettings(Strict):
    """One dataset: a local file, or a configuration of a dataset on the hub."""

    name: str = Field(min_length=1, description="unique in the index, e.g. gsm8k or glue/mnli")
    description: str = Field(min_length=1, description="what the dataset is, in a sentence or two: S_ds compares it")
    path: str | None = Field(None, description="local .jsonl, .csv or .parquet file; ${VAR} is expanded")
    hub: str | None = Field(None, description="id of a hub dataset, instead of a path")
    config: str | None = Field(None, description="configuration of the hub dataset")
    split: str = "train"
    columns: tuple[str, ...] = Field((), description="only these (flattened names); default: all")
    labels: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="names of label ids, by column")

    @model_validator(mode="after")
    def _one_origin(self) -> SourceSettings:
        if (self.path is None) == (self.hub is None):
            raise ValueError(f"source {self.name} needs either a path or a hub id")
        return self

    def file(self) -> Path | None:
        """The local file; None for a hub dataset. Raises UsageError if it is missing."""
        if self.path is None:
            return None
        path = Path(expand(self.path))
        if not path.is_file():
            raise UsageError(f"source {self.name}: {path}: no such file")
        return path


class RowLimits(Strict):
    """How much of each source is taken. The paper (arXiv 2407.05463) takes at most 1,000 rows per configuration."""

    rows_per_source: int = Field(1000, ge=1, description="drawn with `seed` where a source has more")
    value_characters: int = Field(2000, ge=16, description="longer values are cut at a blank before this")
    columns_per_row: int = Field(64, ge=1, description="rows with more are dropped and counted")
    seed: int = 0


class Datastore(Strict):
    """A whole index: where it lies, its encoder, and its sources."""

    index: str = Field(description="folder, or URI of an object store")
    encoder: str = Field(DEFAULT_MODEL, description="sentence-transformers model: name, folder or hub id")
    encoders: tuple[int, int] = Field((1, 1), description="(min, max) encoder actors")
    limits: RowLimits = RowLimits()
    sources: tuple[SourceSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names(self) -> Datastore:
        names = [source.name for source in self.sources]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"sources named twice: {', '.join(twice)}")
        return self


def source_key(source: SourceSettings, limits: RowLimits, encoder: EncoderId) -> str:
    """A hash of everything that the records of `source` depend on; a file counts by its size and date."""
    file = source.file()
    stat = file.stat() if file else None
    state = (stat.st_size, stat.st_mtime_ns) if stat else None
    return content_hash(_plain(source), _plain(limits), encoder.name, encoder.version, encoder.dimension, state)


def _plain(settings: Strict) -> dict[str, Any]:
    return settings.model_dump(mode="json")


def load_settings(path: str | Path, kind: type[Settings], overrides: Sequence[str] = ()) -> Settings:
    """Read a YAML file of this kind and apply ``key.path=value`` overrides.

    Raises UsageError with one line for a missing file, an error of YAML, an unknown key, a bad value.
    """
    return validated(kind, read_settings(Path(path), overrides), str(path))
