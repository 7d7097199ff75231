"""Files as people have them: one reader, by content, with a line for everything that is wrong."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.actors.engine.recording import Recording, read_columns, read_recording
from raydistill.actors.engine.remote.batches import Said
from raydistill.actors.errors import UsageError
from raydistill.actors.rows import folder_rows, read_file

ROWS = [{"question": "q1", "answer": "5"}, {"question": "q\n2", "answer": "6"}]
VALUES = st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.none(), st.lists(st.booleans()))
TABLES = st.lists(st.dictionaries(st.text("abc", min_size=1), VALUES, min_size=1), min_size=1, max_size=5)


def rows(path: Path) -> list[dict[str, Any]]:
    return [dict(row.data) for row in read_file(str(path))]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


JSON_FORMS = [
    lambda table: "".join(json.dumps(row) + "\n" for row in table),
    lambda table: "\n\n".join(json.dumps(row, ensure_ascii=False) for row in table),
    lambda table: "".join(json.dumps(row) + "\r\n" for row in table),
    lambda table: json.dumps(table),
    lambda table: json.dumps(table, indent=2),
    lambda table: "\ufeff" + json.dumps(table, ensure_ascii=False) + "\n",
    lambda table: "\n".join(json.dumps(row, indent=1) for row in table),
    lambda table: "".join("\ufeff" + json.dumps(row) + "\n" for row in table),
]


@given(TABLES, st.sampled_from(JSON_FORMS), st.sampled_from(["a.json", "a.jsonl", "a.ndjson", "a.csv", "a", "a.JSON"]))
@settings(max_examples=150, deadline=None)
def test_json_is_read_in_every_form_under_every_name(tmp_path_factory, table, form, name: str) -> None:
    path = write(tmp_path_factory.mktemp("rows"), name, form(table))
    assert rows(path) == table


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("question,,answer\nq1,x,5\n", [{"question": "q1", "answer": "5"}]),
        ("question,answer,\nq1,5,\n", [{"question": "q1", "answer": "5"}]),
        (",question,answer\n0,q1,5\n1,q2,6\n", [{"question": "q1", "answer": "5"}, {"question": "q2", "answer": "6"}]),
        ("question;answer\nq, 1;5\n", [{"question": "q, 1", "answer": "5"}]),
        ("\ufeffquestion,answer\r\nq1,5\r\n\r\n", [{"question": "q1", "answer": "5"}]),
        ("question,answer\nq1,5,\n", [{"question": "q1", "answer": "5"}]),
        (f"question,answer\n{'q' * 200_000},5\n", [{"question": "q" * 200_000, "answer": "5"}]),
        ('question,answer\n"q\n1",5\n', [{"question": "q\n1", "answer": "5"}]),
    ],
)
def test_csv_as_people_have_it(tmp_path: Path, content: str, expected: list[dict[str, str]]) -> None:
    assert rows(write(tmp_path, "a.csv", content)) == expected


def test_other_tables(tmp_path: Path) -> None:
    assert rows(write(tmp_path, "a.tsv", "question\tanswer\nq1\t5\n")) == ROWS[:1]
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    assert rows(write(tmp_path, "a.jsonl.gz", gzip.compress(lines.encode()))) == ROWS
    assert rows(write(tmp_path, "b.json", lines.encode("utf-16"))) == ROWS
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "c.jsonl")
    assert rows(tmp_path / "c.jsonl") == ROWS
    long = {"question": "q", "answer": "x" * 3_000_000}
    assert rows(write(tmp_path, "d.jsonl", f"{json.dumps(ROWS[0])}\n{json.dumps(long)}\n")) == [ROWS[0], long]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '[{"a": 1}, {"a": 2}', "a.json:1: not valid JSON: the array has no end"),
        ("a.json", '[\n{"a": 1},\n7]', "a.json:3: expected a JSON object, got int"),
        ("a.json", '[\n{"a": 1},\n{"a": }]', "a.json:3: not valid JSON"),
        ("a.jsonl", '{"a": 1}\n"text"\n', "a.jsonl:2: expected a JSON object, got str"),
        ("a.jsonl", '{"a": 1}\n{"a"\n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", "{broken\n", "a.jsonl:1: not valid JSON"),
        ("a.csv", "a,b\n1\n", "a.csv:2: expected 2 columns, got 1"),
        ("a.parquet", "PAR1 and no more", "not a Parquet file"),
        ("a.txt", "words", "unknown kind of file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(UsageError, match="^[^\n]+$") as error:
        rows(path)
    assert message in str(error.value)
    dropped: Counter[str] = Counter()
    if name.endswith((".json", ".jsonl", ".csv")):
        list(read_file(str(path), dropped))
        assert dropped["malformed"] == 1


def test_fields_are_found_by_path_and_text_that_is_none_is_named(tmp_path: Path) -> None:
    said = {"choices": [{"message": {"content": "4"}}], "a.b": 1, "bad": "\ud83d", "nul": "\0", "none": None}
    (row,) = read_file(str(write(tmp_path, "a.jsonl", json.dumps(said))))
    assert row.field("choices.0.message.content") == "4" and row.field("a.b") == 1 and row.field("none") is None
    assert row.get("choices.1.message") is None and row.as_it_is("bad") == "\ud83d"
    for name, message in (("bad", r"a.jsonl:1: the field 'bad' holds half .*d83d"), ("nul", "character NUL")):
        with pytest.raises(UsageError, match=message):
            row.field(name)
    with pytest.raises(UsageError, match="the fields there are: choices.0.message.content, a.b, bad"):
        row.field("choices.1.message")


def test_a_folder_is_read_as_a_hub_dataset_is(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, row in enumerate(ROWS):
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "data" / f"train-0000{number}-of-00002.parquet")
    write(
        tmp_path, "data/test-00000-of-00001.jsonl", '{"question": "t", "answer": {}}\n{"question": "t", "answer": []}\n'
    )
    assert [(row.number, dict(row.data)) for row in folder_rows(str(tmp_path), "train", {})] == [
        (1, ROWS[0]),
        (2, ROWS[1]),
    ]
    assert len(list(folder_rows(str(tmp_path), "test", {}))) == 2
    with pytest.raises(UsageError, match="no split 'dev' in this folder; it has"):
        list(folder_rows(str(tmp_path), "dev", {}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="^[^\n]*no data files in this folder[^\n]*$"):
        list(folder_rows(str(tmp_path / "empty"), "train", {}))


@pytest.mark.parametrize(
    ("lines", "samples"),
    [
        ([{"question": "q1", "completion": None}, {"question": "q1", "completion": "c"}], [("q1", "c", "stop")]),
        ([{"question": "q1", "completion": "c", "meta": {}}, {"question": "q2", "completion": "c", "meta": []}],
         [("q1", "c", "stop"), ("q2", "c", "stop")]),
        ([{"question": "q1", "completion": "2021-05-01"}], [("q1", "2021-05-01", "stop")]),
        ([{"question": "q1", "completion": ["a", None, "b"]}], [("q1", "a", "stop"), ("q1", "b", "stop")]),
        ([{"question": "q1", "completion": "a", "finish_reason": "length"}], [("q1", "a", "length")]),
        ([{"question": "q1", "completion": "a", "finish_reason": "MAX_TOKENS"}], [("q1", "a", "length")]),
        ([{"question": "q1", "completion": ["a", "b"], "finish_reason": ["stop", "length"]}],
         [("q1", "a", "stop"), ("q1", "b", "length")]),
        ([{"question": None, "completion": "a"}, {"question": 3, "completion": 4}], [("3", "4", "stop")]),
        ([{"question": "q", "completion": "a", "other": "\ud83d"}], [("q", "a", "stop")]),
    ],
)  # fmt: skip
def test_recordings(tmp_path: Path, lines: list[dict[str, Any]], samples: list[tuple[str, ...]]) -> None:
    path = write(tmp_path, "said.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert list(read_columns(str(path), "question", "completion", "finish_reason")) == samples
    assert list(read_columns(str(path), "question", "completion")) == [sample[:2] for sample in samples]


def test_recordings_of_a_chat_api(tmp_path: Path) -> None:
    line = {
        "messages": [{"role": "user", "content": "q"}],
        "choices": [{"finish_reason": "length", "message": {"content": "cut"}}],
    }
    path = write(tmp_path, "said.ndjson", json.dumps(line) + "\n")
    asked = "messages.0.content", "choices.0.message.content"
    assert read_recording([str(path)], *asked, "finish_reason").said == {"q": [Said("cut", "length")]}
    with pytest.raises(UsageError, match="the field 'choices' is no text but list|'choices.0' is no text but dict"):
        read_recording([str(path)], "messages.0.content", "choices.0", "finish_reason")
    with pytest.raises(UsageError, match="no column 'answer'; it has messages, choices"):
        read_recording([str(path)], "messages.0.content", "answer", "finish_reason")


def test_duplicate_keys_are_read_as_json_does(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"question":"q1","completion":"a","completion":"b"}')
    assert list(read_columns(str(path), "question", "completion")) == [("q1", "b")]


def test_a_question_with_options_is_found_without_them() -> None:
    recording = Recording("said.jsonl")
    recording.said["Which?"] = [Said("(B)")]
    assert recording.find("q/x", "Which?\nOptions:\n(A) the sea\n(B) the desert", 0) == Said("(B)")
    assert recording.find("q/x", "Which?", 1) is None and recording.find("q/x", "Who?\nOptions:\n(A) he", 0) is None
