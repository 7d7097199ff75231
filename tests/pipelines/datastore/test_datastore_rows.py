"""Reading the datastore's sources: which rows a file or data set gives, as columns of text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.datastore.flattening import cut, flatten
from raydistill.pipelines.datastore.reading import read_rows
from raydistill.pipelines.datastore.settings import Datastore, SourceSettings
from raydistill.pipelines.datastore.staging import text_rows
from tests.rows import write_rows


def test_nested_fields_become_columns_of_text() -> None:
    row = {
        "question": {"stem": " Where? ", "choices": [{"label": "A", "text": "here"}, {"label": "B", "text": "there"}]},
        "answers": {"text": ["here", "in here"], "start": [3, 9]},
        "label": 1,
        "id": None,
        "image": b"\x89PNG",
        "right": True,
        "size": 3.0,
        "empty": "",
    }
    assert flatten(row, {"label": ("yes", "no")}) == {
        "question.stem": "Where?",
        "question.choices": "A: here; B: there",
        "answers.text": "here; in here",
        "answers.start": "3; 9",
        "label": "no",
        "right": "true",
        "size": "3",
    }
    assert flatten(row, columns=("question.stem", "label")) == {"question.stem": "Where?", "label": "1"}


@pytest.mark.parametrize(("label", "name"), [(0, "yes"), ("1", "no"), ("no", "no"), (-1, None), (7, None)])
def test_label_ids_get_names_or_are_left_out(label: Any, name: str | None) -> None:
    assert flatten({"label": label}, {"label": ("yes", "no")}).get("label") == name


def test_long_values_are_cut_at_a_blank() -> None:
    assert cut("how many apples", 20) == "how many apples"
    assert cut("how many apples", 10) == "how many"
    assert cut("a " + "b" * 30, 10) == "a bbbbbbbb"  # a word of its own length is divided


def test_what_cannot_be_read_is_counted_and_the_rest_is_there(tmp_path: Path) -> None:
    lines = [
        b'{"question": "how many apples", "answer": 3}',
        b'{"question": "caf\xe9"}',  # Latin-1
        b'{"question": "\\ud800"}',  # half of a surrogate pair
        b"not JSON",
        b"[1, 2]",
        b'{"question": "how many apples", "answer": "3"}',  # the same content
        b'{"question": null}',
        json.dumps({str(number): "x" for number in range(65)}).encode(),
        json.dumps({"question": "many " * 2_000_000}).encode(),  # 10 MB
        '{"question": "caf\u00e9"}'.encode(),
    ]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    source = SourceSettings(name="rows", description="rows", path=str(tmp_path / "rows.jsonl"))
    rows, summary = text_rows(source, Datastore(index="i", sources=(source,)).limits)
    assert [row.number for row in rows] == [1, 9, 10]
    assert rows[0].values == {"question": "how many apples", "answer": "3"}
    assert len(rows[1].values["question"]) <= 2_000 and summary.cut == 1
    assert summary.dropped == {
        "not_utf8": 2,
        "malformed": 2,
        "duplicate": 1,
        "no_values": 1,
        "too_many_columns": 1,
    }
    assert sum(summary.dropped.values()) + summary.rows == len(lines)


def test_csv_and_parquet_rows(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    long = "many " * 100_000
    (tmp_path / "a.csv").write_bytes(b'text,label\n"one, two",1\nx,2,3\ncaf\xe9,1\n' + f"{long},0\n".encode())
    raw = pa.array([b"how", b"caf\xe9", b"many"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())  # Parquet written by a careless program
    pq.write_table(pa.table({"text": text, "label": [0, 1, 2]}), tmp_path / "a.parquet")
    found = {}
    for name in ("a.csv", "a.parquet"):
        dropped: Counter[str] = Counter()
        source = SourceSettings(name=name, description="rows", path=str(tmp_path / name))
        found[name] = ([(number, row["text"].strip()) for number, row in read_rows(source, dropped)], dropped)
    assert found["a.csv"] == ([(1, "one, two"), (4, long.strip())], {"malformed": 1, "not_utf8": 1})
    assert found["a.parquet"] == ([(1, "how"), (3, "many")], {"not_utf8": 1})
    (tmp_path / "b.parquet").write_bytes(b"PAR")
    source = SourceSettings(name="b", description="rows", path=str(tmp_path / "b.parquet"))
    with pytest.raises(UsageError, match="not a Parquet file"):
        list(read_rows(source, Counter()))


def test_a_hub_dataset_gives_names_for_its_label_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "kind": datasets.ClassLabel(names=["sum", "fruit"])}
    )
    made = datasets.Dataset.from_dict({"text": ["3 = 3", "apples"], "kind": [0, -1]}, features=features)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    made.to_parquet(tmp_path / "owner" / "name" / "train.parquet")
    monkeypatch.chdir(tmp_path)
    source = SourceSettings(name="x", description="x", hub="owner/name")
    rows = [flatten(row) for _, row in read_rows(source, Counter())]
    assert rows == [{"text": "3 = 3", "kind": "sum"}, {"text": "apples"}]


def test_the_sample_is_seeded_and_has_the_size_asked_for(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{"question": f"how many {number}"} for number in range(500)])
    source = SourceSettings(name="rows", description="rows", path=str(path))

    def numbers(seed: int) -> list[int]:
        limits = Datastore(index="i", sources=(source,), limits={"rows_per_source": 50, "seed": seed}).limits
        return [row.number for row in text_rows(source, limits)[0]]

    assert numbers(0) == numbers(0) != numbers(1)
    assert len(set(numbers(0))) == 50 and numbers(0) == sorted(numbers(0))
    assert max(numbers(0)) > 250 > min(numbers(0))
