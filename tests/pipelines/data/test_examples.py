"""Examples survive a round trip, and other tools open what is written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from raydistill.actors.errors import UsageError
from raydistill.actors.segments import SegmentWriter
from raydistill.pipelines.data.examples import (
    example_schema,
    examples_digest,
    export_chat,
    read_examples,
    sort_examples,
    to_row,
    write_examples,
)
from raydistill.pipelines.data.records import Consistency, Example, Policy, SoftTargets, TokenIds, WeightedText
from tests.pipelines.training.training_examples import sums

FULL = Example(
    "full",
    "q1",
    ({"role": "system", "content": "Sei knapp."}, {"role": "user", "content": "Wie viele?\n"}),
    (WeightedText("zwölf", 0.1), WeightedText("", 1.5)),
    group="g",
    answer="12",
    source="gold",
    meta={"row": 4, "tags": ["a", None]},
    consistency=Consistency(0.1, 1.3),
    prompt_weight=0.5,
)


def test_round_trip(tmp_path):
    assert write_examples([FULL, *sums(3)], str(tmp_path)) == 4
    assert list(read_examples(str(tmp_path))) == [FULL, *sums(3)]
    assert list(read_examples(f"file://{tmp_path}/examples.parquet")) == [FULL, *sums(3)]


def test_token_scores_survive_and_are_part_of_the_digest(tmp_path):
    scored = replace(
        FULL,
        tokens=TokenIds((1, 9), (4, 2)),
        policy=Policy((0.5, -1.25), (-0.125, -2.0), (-0.5, -3.0), clip=(0.1, 0.25)),
        soft_targets=SoftTargets(((7, 3), (2, 5)), ((-0.125, -2.5), (-0.0, -5.0)), temperature=2.0, beta=0.5),
    )
    write_examples([scored, FULL], str(tmp_path))
    assert list(read_examples(str(tmp_path))) == [scored, FULL]
    digests = set()
    for other in (scored, replace(scored, tokens=None), replace(scored, policy=None), FULL):
        write_examples([other], str(tmp_path))
        digests.add(examples_digest(str(tmp_path)))
    assert len(digests) == 4


def test_datasets_and_pyarrow_see_plain_values(tmp_path):
    import pyarrow.parquet as pq
    from datasets import Dataset

    write_examples([FULL], str(tmp_path))
    row = pq.read_table(tmp_path / "examples.parquet").to_pylist()[0]
    assert row == Dataset.from_parquet(str(tmp_path / "examples.parquet"), cache_dir=str(tmp_path / "cache"))[0]
    assert row["messages"][1] == {"role": "user", "content": "Wie viele?\n"}
    assert row["completion"][1] == {"text": "", "weight": 1.5}


def test_no_examples_are_a_file_all_the_same(tmp_path):
    assert write_examples([], str(tmp_path)) == 0
    assert examples_digest(str(tmp_path))[0] == 0
    assert sort_examples(str(tmp_path / "nothing"), str(tmp_path / "sorted")) == 0
    assert examples_digest(str(tmp_path / "sorted"))[0] == 0


@pytest.mark.parametrize("at_a_time", [1, 4, 100])
def test_parts_are_sorted_by_id_however_few_fit_into_memory(tmp_path, monkeypatch, at_a_time):
    monkeypatch.setattr("raydistill.pipelines.data.examples.EXAMPLES_TO_SORT", at_a_time)
    examples = [FULL, *sums(9)]
    parts = [SegmentWriter(str(tmp_path / "parts"), example_schema()) for _ in range(3)]
    for place, example in enumerate(examples):
        parts[place % 3].append([to_row(example)])
    for part in parts:
        part.flush()
    assert sort_examples(str(tmp_path / "parts"), str(tmp_path / "sorted")) == 10
    assert list(read_examples(str(tmp_path / "sorted"))) == sorted(examples, key=lambda example: example.id)


@pytest.mark.parametrize("at_a_time", [1, 4, 100])
def test_an_example_in_two_parts_is_one(tmp_path, monkeypatch, at_a_time):
    monkeypatch.setattr("raydistill.pipelines.data.examples.EXAMPLES_TO_SORT", at_a_time)
    for examples in (sums(9), sums(5)):
        part = SegmentWriter(str(tmp_path / "parts"), example_schema())
        part.append([*map(to_row, examples)])
        part.flush()
    assert sort_examples(str(tmp_path / "parts"), str(tmp_path / "sorted")) == 9
    assert list(read_examples(str(tmp_path / "sorted"))) == sorted(sums(9), key=lambda example: example.id)


def test_digest_is_of_the_content(tmp_path):
    write_examples(sums(4), str(tmp_path / "one"))
    write_examples(iter(sums(4)), str(tmp_path / "same"))
    write_examples(sums(4)[::-1], str(tmp_path / "other"))
    one, same, other = (examples_digest(str(tmp_path / name)) for name in ("one", "same", "other"))
    assert one == same
    assert one[0] == other[0] == 4
    assert one != other


def test_digest_sees_what_training_sees(tmp_path):
    stronger = replace(FULL, consistency=Consistency(1.0, 1.3))
    plain = replace(FULL, consistency=None)
    variants = [FULL, stronger, replace(FULL, answer="13"), plain, replace(plain, answer="13")]
    variants.append(replace(plain, prompt_weight=0.0))
    digests = []
    for number, example in enumerate(variants):
        write_examples([example], str(tmp_path / str(number)))
        digests.append(examples_digest(str(tmp_path / str(number))))
    assert len({*digests}) == 5
    assert digests[3] == digests[4]  # without consistency training the answer is not looked at


def test_files_without_the_column_of_consistency_are_read(tmp_path):
    import pyarrow.parquet as pq

    write_examples(sums(3), str(tmp_path))
    path = tmp_path / "examples.parquet"
    pq.write_table(pq.read_table(path).drop_columns("consistency"), path)
    assert list(read_examples(str(tmp_path))) == sums(3)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 no Parquet"])
def test_what_is_no_examples_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "examples.parquet").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        list(read_examples(str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_chat_export_names_its_columns(tmp_path):
    assert export_chat([FULL], str(tmp_path)) == 1
    row = json.loads((tmp_path / "examples.jsonl").read_text())
    assert row["messages"][-1] == {"role": "assistant", "content": "zwölf"}
    info = json.loads((tmp_path / "dataset_info.json").read_text())["raydistill"]
    assert info["columns"]["messages"] in row
    assert (tmp_path / info["file_name"]).exists()
