"""Training examples on disk: one Parquet file with an explicit schema, and the chat form that other trainers read.

Plain pyarrow and `datasets` open the Parquet; `export_chat` writes `examples.jsonl` with a LLaMA-Factory
`dataset_info.json`, which TRL and ms-swift read as well.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from raydistill.actors.errors import UsageError
from raydistill.actors.segments import list_segments, read_segments
from raydistill.actors.storage import is_uri, resolve, write_atomic
from raydistill.pipelines.data.records import (
    Consistency,
    Example,
    Policy,
    SoftTargets,
    TokenIds,
    WeightedText,
    content_hash,
)

if TYPE_CHECKING:
    import pyarrow as pa

OF_TOKENS = {"tokens": TokenIds, "policy": Policy, "soft_targets": SoftTargets}
ROWS_PER_GROUP = 5000
ROWS_AT_ONCE = 1000  # as Python objects, which take ten times the room
EXAMPLES_TO_SORT, ONE_IN = 25_000, 100  # at a time; found by looking at one id in so many


def example_schema() -> pa.Schema:
    """Arrow schema of an example; `meta` is JSON text, everything else plain values, structs and lists."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    segment = pa.struct([("text", pa.string()), ("weight", pa.float64())])
    consistency = pa.struct([("weight", pa.float64()), ("temperature", pa.float64())])
    ids, values, number = pa.list_(pa.int32()), pa.list_(pa.float32()), pa.float64()
    scores = [("advantages", values), ("behaviour", values), ("teacher", values)]
    policy = pa.struct([*scores, ("weight", number), ("clip", pa.list_(number))])
    top = [("ids", pa.list_(ids)), ("logprobs", pa.list_(values))]
    soft_targets = pa.struct([*top, ("weight", number), ("temperature", number), ("beta", number)])
    return pa.schema(
        [
            ("id", pa.string()),
            ("question_id", pa.string()),
            ("messages", pa.list_(message)),
            ("completion", pa.list_(segment)),
            ("group", pa.string()),
            ("answer", pa.string()),
            ("source", pa.string()),
            ("meta", pa.string()),
            ("consistency", consistency),
            ("prompt_weight", pa.float64()),
            ("tokens", pa.struct([("prompt", ids), ("completion", ids)])),
            ("policy", policy),
            ("soft_targets", soft_targets),
        ]
    )


def write_examples(examples: Iterable[Example], folder: str) -> int:
    """Write `folder`/examples.parquet (any pyarrow filesystem), replacing it; returns how many there were.

    Streams: at most `ROWS_PER_GROUP` examples are in memory. The file appears under its name when complete.
    """
    import pyarrow as pa

    rows = _chunks(map(to_row, examples), ROWS_PER_GROUP)
    return _write((pa.Table.from_pylist(chunk, schema=example_schema()) for chunk in rows), folder)


def write_by_content(examples: Iterable[Example], parent: str) -> str:
    """Write examples into a folder of `parent` that is named by their content; returns its name."""
    unnamed = f"{parent}/unnamed"
    write_examples(examples, unnamed)
    key = content_hash(*examples_digest(unnamed))
    filesystem, root = resolve(parent)
    filesystem.create_dir(f"{root}/{key}", recursive=True)
    filesystem.move(f"{root}/unnamed/examples.parquet", f"{root}/{key}/examples.parquet")
    filesystem.delete_dir(f"{root}/unnamed")
    return key


def _write(tables: Iterable[pa.Table], folder: str) -> int:
    import pyarrow.parquet as pq

    filesystem, root = resolve(folder.rstrip("/"))
    filesystem.create_dir(root, recursive=True)
    count, part = 0, f"{root}/examples.parquet.tmp"
    with pq.ParquetWriter(part, example_schema(), filesystem=filesystem) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            count += table.num_rows
    filesystem.move(part, f"{root}/examples.parquet")
    return count


def sort_examples(parts: str, folder: str) -> int:
    """Write the examples of the segments in `parts` into `folder`, by id, each once; returns how many there were.

    In memory are about `EXAMPLES_TO_SORT` examples at a time: `parts` is read again for each so many.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    some = sorted(i for table in read_segments(parts, ["id"]) for i in table["id"].to_pylist()[::ONE_IN])
    bounds = [None, *some[:: max(1, EXAMPLES_TO_SORT // ONE_IN)][1:], None] if some else []

    def tables() -> Iterator[pa.Table]:
        for first, end in itertools.pairwise(bounds):
            inside = pc.scalar(True)
            if first is not None:
                inside &= pc.field("id") >= first
            if end is not None:
                inside &= pc.field("id") < end
            rows = pa.concat_tables(table.filter(inside) for table in read_segments(parts)).sort_by("id")
            ids = rows["id"].to_numpy()
            first = np.ones(len(ids), bool)  # of its id: a worker lost after it wrote has had another write it again
            first[1:] = ids[1:] != ids[:-1]
            yield rows.filter(pa.array(first))

    return _write(tables(), folder)


def read_examples(path: str) -> Iterator[Example]:
    """The examples of a Parquet file, or of the Parquet files in a folder in the order of their names.

    Raises UsageError if there is no such file or folder, or if it does not hold examples.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    filesystem, root = resolve(path.rstrip("/"))
    files = [root] if root.endswith(".parquet") else list_segments(path.rstrip("/"))
    if not files:
        raise UsageError(f"{path}: no Parquet file with examples there")
    for file in files:
        try:
            with filesystem.open_input_file(file) as stream:
                for batch in pq.ParquetFile(stream, pre_buffer=False).iter_batches(
                    ROWS_AT_ONCE, columns=example_schema().names
                ):
                    yield from map(_from_row, batch.to_pylist())
        except (FileNotFoundError, pa.ArrowInvalid, KeyError) as error:
            raise UsageError(f"{file}: not a Parquet file of examples: {' '.join(str(error).split())}") from None


def examples_digest(path: str) -> tuple[int, str]:
    """How many examples `path` holds, and a hash of all that training sees of them, in order."""
    count, digest = 0, hashlib.sha256()
    for count, example in enumerate(read_examples(path), start=1):  # noqa: B007
        completion = [(segment.text, segment.weight) for segment in example.completion]
        pairing = (example.answer, asdict(example.consistency)) if example.consistency else ()
        weighted = (example.prompt_weight,) if example.prompt_weight else ()
        parts = (example.id, example.question_id, [*map(dict, example.messages)], completion, example.group)
        of_tokens = [(name, asdict(value)) for name in OF_TOKENS if (value := getattr(example, name))]
        digest.update(content_hash(*parts, *pairing, *weighted, *of_tokens).encode())
    return count, digest.hexdigest()[:16]


def export_chat(examples: Iterable[Example], folder: str) -> int:
    """Write `examples.jsonl` (chat `messages`) and `dataset_info.json` (LLaMA-Factory) into a folder, never a URI."""
    if is_uri(folder):
        return 0
    os.makedirs(folder, exist_ok=True)
    count, part = 0, os.path.join(folder, "examples.jsonl.tmp")
    with open(part, "w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(example.to_chat(), ensure_ascii=False) + "\n")
            count += 1
    os.replace(part, os.path.join(folder, "examples.jsonl"))
    told = json.dumps(dataset_info("examples.jsonl"), indent=2)
    write_atomic(os.path.join(folder, "dataset_info.json"), told.encode())
    return count


def dataset_info(file: str) -> dict[str, Any]:
    """What LLaMA-Factory wants to know of a file of chats, as the content of its dataset_info.json."""
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    return {
        "raydistill": {
            "file_name": file,
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {**tags, "system_tag": "system"},
        }
    }


def to_row(example: Example) -> dict[str, Any]:
    return {
        "id": example.id,
        "question_id": example.question_id,
        "messages": [{"role": message["role"], "content": message["content"]} for message in example.messages],
        "completion": [{"text": segment.text, "weight": segment.weight} for segment in example.completion],
        "group": example.group,
        "answer": example.answer,
        "source": example.source,
        "meta": json.dumps(dict(example.meta), ensure_ascii=False),
        "consistency": asdict(example.consistency) if example.consistency else None,
        "prompt_weight": example.prompt_weight,
        **{name: asdict(value) if (value := getattr(example, name)) else None for name in OF_TOKENS},
    }


def _from_row(row: dict[str, Any]) -> Example:
    completion = tuple(WeightedText(segment["text"], segment["weight"]) for segment in row["completion"])
    values = {**row, "messages": tuple(row["messages"]), "completion": completion, "meta": json.loads(row["meta"])}
    if consistency := row.get("consistency"):  # files of earlier versions have no such column, nor prompt weights
        values["consistency"] = Consistency(**consistency)
    for name, kind in OF_TOKENS.items():
        if fields := row.get(name):
            values[name] = kind(**{field: _tuples(value) for field, value in fields.items()})
    return Example(**values)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _chunks(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
