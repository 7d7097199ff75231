"""A run's folder as reports, comparisons and exports read it, whether the run has ended, failed or was killed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml

from raydistill.actors.errors import UsageError
from raydistill.actors.segments import list_segments
from raydistill.actors.storage import absolute, read_bytes, resolve, scheme
from raydistill.pipelines.evaluation.answers import evaluation_names, read_answers
from raydistill.pipelines.runtime.stages import read_stages

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Sampling:
    """A sampling job of a run: who was asked what, and where the rows lie. `result` is None where it did not end."""

    title: str
    model: str
    completions: str  # folders
    verdicts: str
    questions: str  # a Parquet file
    result: Mapping[str, Any] | None
    told: Mapping[str, Any] = field(repr=False)  # the whole record

    @property
    def evaluates(self) -> bool:
        """Whether it was made to measure a model."""
        return self.title.startswith("evaluating ")


@dataclass(frozen=True, eq=False)
class RunFolder:
    """What lies in a run's folder. ``RunFolder.open("runs/demo")``"""

    root: str
    config: Mapping[str, Any]

    @classmethod
    def open(cls, path: str) -> RunFolder:
        """Raises UsageError where there is no run."""
        root = absolute(path)
        told = read_bytes(f"{root}/config.yaml")
        if told is None:
            raise UsageError(f"{path}: no run there (no config.yaml in it); expected the folder of `raydistill run`")
        return cls(root, yaml.safe_load(told))

    @property
    def name(self) -> str:
        return self.root.rpartition("/")[2]

    @cached_property
    def environment(self) -> dict[str, Any]:
        return json.loads(read_bytes(f"{self.root}/environment.json") or b"{}")

    @cached_property
    def report(self) -> dict[str, Any]:
        """The content of report.json; {} as long as no life of the run has come to its end."""
        return json.loads(read_bytes(f"{self.root}/report.json") or b"{}")

    @cached_property
    def stages(self) -> list[dict[str, Any]]:
        return read_stages(self.root)

    @property
    def life(self) -> Mapping[str, Any]:
        """The record of the last command that ran here; {} of an earlier version's run."""
        return next((stage for stage in reversed(self.stages) if stage["kind"] == "run"), {})

    @cached_property
    def samplings(self) -> list[Sampling]:
        """The sampling jobs in the order in which they first began; of one that was run again the last record."""
        last = {told["title"]: told for told in self.stages if told["kind"] == "sampling"}
        return [self._sampling(told) for told in last.values()]

    def _sampling(self, told: Mapping[str, Any]) -> Sampling:
        completions, verdicts, questions = (
            f"{self.root}/{kind}/{told[kind]}" for kind in ("completions", "verdicts", "questions")
        )
        return Sampling(told["title"], told["model"], completions, verdicts, questions, told.get("result"), told)

    @cached_property
    def evaluation(self) -> Mapping[str, Mapping[str, Any]]:
        """The scores by the names of models; of a run without a report those that are stored so far."""
        if self.report:
            return self.report.get("evaluation") or {}
        files = {name: f"{self.root}/evaluation/{key}.json" for name, key in evaluation_names(self.root).items()}
        return {name: json.loads(told) for name, file in files.items() if (told := read_bytes(file))}

    def answers(self, name: str) -> list[dict[str, Any]] | None:
        """What the model `name` answered to the held-out questions; None where that is not stored."""
        key = evaluation_names(self.root).get(name)
        return read_answers(self.root, key) if key else None

    def example_folders(self) -> list[str]:
        """The folders of examples that the last command made or learned from, else any did, in their order."""
        begins = max((at for at, told in enumerate(self.stages) if told["kind"] == "run"), default=0)
        for stages in (self.stages[begins:], self.stages):
            if found := [told["examples"] for told in stages if told["kind"] in ("examples", "training")]:
                return [f"{self.root}/examples/{name}" for name in dict.fromkeys(found)]
        return [f"{self.root}/examples/{name}" for name in self.folders("examples")]

    def first_rows(self, folder: str, most: int, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The first rows of a folder of the run (``trajectories/<key>/finished``) that holds Parquet files."""
        rows = (row for batch in batches_of(f"{self.root}/{folder}", columns) for row in batch.to_pylist())
        return list(itertools.islice(rows, most))

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder of the run."""
        from pyarrow.fs import FileSelector, FileType

        filesystem, path = resolve(f"{self.root}/{folder}")
        infos = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
        return sorted(info.base_name for info in infos if info.type == FileType.Directory)

    def batches(self, folder: str) -> Iterator[pa.RecordBatch]:
        """All rows of a folder of the run that holds Parquet files."""
        return batches_of(f"{self.root}/{folder}")

    def first_examples(self, most: int) -> list[dict[str, Any]]:
        """The first rows of the examples that were learned last."""
        folders = self.example_folders()
        return self.first_rows(folders[-1].removeprefix(f"{self.root}/"), most) if folders else []

    def newest_json(self, folder: str) -> Any:
        """The content of the JSON file of a folder of the run that was written last; None without any."""
        from pyarrow.fs import FileSelector

        filesystem, path = resolve(f"{self.root}/{folder}")
        infos = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
        files = sorted((info.mtime_ns or 0, info.path) for info in infos if info.path.endswith(".json"))
        return json.loads(read_bytes(scheme(self.root) + files[-1][1]) or b"null") if files else None

    def questions(self, ids: Collection[str]) -> dict[str, str]:
        """The texts of questions by their ids, those that were asked in any job."""
        asked = dict.fromkeys(sampling.questions for sampling in self.samplings)
        return {row["question_id"]: row["text"] for uri in asked for row in rows_where(uri, "question_id", ids)}

    def trainings(self) -> Iterator[str]:
        """The folders of the trainings, each once, in the order in which they began; of earlier versions by name."""
        began = dict.fromkeys(told["folder"] for told in self.stages if told["kind"] == "training")
        yield from (f"{self.root}/training/{name}" for name in began or self.folders("training"))


def seconds_between(started: str, ended: str) -> float:
    """Of two moments as `runtime.stages.now` writes them."""
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()


def rows_where(
    uri: str, key: str, values: Collection[str], columns: Sequence[str] | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, or of those in a folder, whose `key` is among `values`; read in batches."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(list(values), pa.string())
    for batch in batches_of(uri, columns):
        yield from batch.filter(pc.is_in(batch[key], value_set=wanted)).to_pylist()


def batches_of(uri: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of a Parquet file, or of those in a folder."""
    import pyarrow.parquet as pq

    filesystem, _ = resolve(uri)
    for file in files_of(uri):
        with filesystem.open_input_file(file) as stream:
            yield from pq.ParquetFile(stream).iter_batches(2000, columns=list(columns) if columns else None)


def files_of(uri: str) -> list[str]:
    """The paths on its filesystem of a Parquet file, or of those in a folder."""
    _, path = resolve(uri)
    return [path] if path.endswith(".parquet") else list_segments(uri)
