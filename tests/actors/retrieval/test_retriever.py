"""The retriever: its scores against a double loop, its levels, and what it says to bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raydistill.actors.errors import UsageError
from raydistill.actors.retrieval import scoring
from raydistill.actors.retrieval.retriever import Lookup, RetrievedRow, Retriever, encoder_id
from raydistill.actors.retrieval.row_index import EncoderId, RowIndex, Source, record_schema
from raydistill.actors.retrieval.row_matrix import open_matrix
from raydistill.actors.retrieval.scoring import BLOCK, Query, Values, best_rows
from tests.tiny import write_tiny_encoder

DIMENSION, DATASETS = 48, 5


def unit(rng: np.random.Generator, *shape: int) -> np.ndarray:
    vectors = rng.standard_normal((*shape, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def random_values(rng: np.random.Generator, rows: int) -> Values:
    starts = np.concatenate([[0], np.cumsum(rng.integers(1, 7, rows))])
    dataset = np.sort(rng.integers(0, DATASETS, rows)).astype(np.int32)
    return Values(unit(rng, int(starts[-1])), starts, dataset, unit(rng, DATASETS))


def random_query(rng: np.random.Generator, examples: int = 3) -> Query:
    return Query(unit(rng, examples), unit(rng, examples), unit(rng), np.ones(DATASETS, bool))


def double_loop(values: Values, query: Query, row: int) -> tuple[float, float, float, int, int]:
    """S_in, S_out, S_ds and the winning values, by the definition and in double precision."""
    parts, won = [], []
    for examples in (query.inputs, query.outputs):
        best, best_value = -2.0, -1
        for value in range(values.starts[row], values.starts[row + 1]):
            vector = values.vectors[value].astype(np.float64)
            cosines = [
                float(e.astype(np.float64) @ vector / np.linalg.norm(e) / np.linalg.norm(vector)) for e in examples
            ]
            if (mean := sum(cosines) / len(cosines)) > best:
                best, best_value = mean, value
        parts.append(best)
        won.append(best_value)
    described = values.descriptions[values.dataset[row]].astype(np.float64)
    return parts[0], parts[1], float(described @ query.instruction.astype(np.float64)), won[0], won[1]


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_a_double_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, query = random_values(rng, BLOCK), random_query(rng)  # more than one block of values
    hits = best_rows(values, query, values.rows)
    assert sorted(hits.rows) == list(range(values.rows))
    for place in range(0, values.rows, 31):
        s_in, s_out, s_ds, won_in, won_out = double_loop(values, query, hits.rows[place])
        assert hits.s_in[place] == pytest.approx(s_in, abs=1e-5)
        assert hits.s_out[place] == pytest.approx(s_out, abs=1e-5)
        assert hits.s_ds[place] == pytest.approx(s_ds, abs=1e-5)
        assert hits.s[place] == pytest.approx((s_in + s_out + s_ds) / 3, abs=1e-5)
        assert (hits.value_in[place], hits.value_out[place]) == (won_in, won_out)
    assert (np.diff(hits.s) <= 0).all()


def test_the_maximum_is_over_columns_of_means_over_examples() -> None:
    # Column 0 is like example 0 alone, column 1 somewhat like both: the mean of maxima would choose otherwise.
    e = np.eye(DIMENSION, dtype=np.float32)
    both = (e[0] + e[1]) / np.float32(np.sqrt(2))
    values = Values(np.stack([e[0], e[1], both]), np.array([0, 2, 3]), np.array([0, 0], np.int32), e[:1])
    query = Query(e[:2], e[:2], e[5], np.ones(1, bool))
    hits = best_rows(values, query, 2)
    assert list(hits.rows) == [1, 0]
    assert hits.s_in == pytest.approx([2**-0.5, 0.5], abs=1e-5)


@pytest.mark.parametrize("fold", [1, 700, scoring.FOLD])
def test_the_top_is_the_head_of_the_whole_ranking_and_bans_hold(monkeypatch: pytest.MonkeyPatch, fold: int) -> None:
    monkeypatch.setattr(scoring, "FOLD", fold)
    rng = np.random.default_rng(0)
    values = random_values(rng, 2_000)
    query = random_query(rng, examples=1)
    everything, top = best_rows(values, query, 2_000), best_rows(values, query, 30)
    assert list(top.rows) == list(everything.rows[:30])
    allowed = np.array([True, False, True, True, False])
    hits = best_rows(values, Query(query.inputs, query.outputs, query.instruction, allowed), 2_000)
    assert set(values.dataset[hits.rows]) == {0, 2, 3} and len(hits.rows) == allowed[values.dataset].sum()
    assert list(hits.rows) == [row for row in everything.rows if allowed[values.dataset[row]]]


def test_equal_rows_keep_the_order_of_the_index() -> None:
    e = np.eye(DIMENSION, dtype=np.float32)
    values = Values(np.stack([e[0]] * 9), np.arange(10), np.zeros(9, np.int32), e[:1])
    hits = best_rows(values, Query(e[:1], e[:1], e[0], np.ones(1, bool)), 4)
    assert list(hits.rows) == [0, 1, 2, 3]


def test_near_ties_keep_the_order_of_the_index_whatever_the_last_bits() -> None:
    rng = np.random.default_rng(0)
    one, query = unit(rng), random_query(rng)
    noise = rng.uniform(-1, 1, (2 * BLOCK, DIMENSION)) * 1e-7  # as much as processors differ by
    starts = np.arange(0, 2 * BLOCK + 1, 2)  # two equal columns per row
    values = Values((one + noise).astype(np.float32), starts, np.zeros(BLOCK, np.int32), unit(rng, DATASETS))
    hits = best_rows(values, query, 300)
    assert list(hits.rows) == [*range(300)] and list(hits.value_in) == [*range(0, 600, 2)] == list(hits.value_out)


# On an index


ROWS = {
    "sums": [{"question": "how many apples", "answer": "3"}, {"question": "how many pears", "answer": "= 3"}],
    "fruit": [{"text": "apples pears", "label": "apples"}, {"text": "pears"}, {"text": "many many apples"}],
}


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


def fill(index: RowIndex, name: str, rows: list[dict[str, str]], retriever_encoder: object) -> None:
    from raydistill.actors.retrieval.encoder import SentenceEncoder

    assert isinstance(retriever_encoder, SentenceEncoder)
    records = [
        {"source": name, "row": number, "row_id": f"{name}{number}", "column": column, "value": value}
        for number, row in enumerate(rows)
        for column, value in row.items()
    ]
    vectors = retriever_encoder.encode([record["value"] for record in records])
    for record, vector in zip(records, vectors, strict=True):
        record["vector"] = vector
    index.add_records([pa.RecordBatch.from_pylist(records, schema=record_schema(index.encoder))])
    source = Source(name, name, f"how many {name}", len(rows), len(records))
    index.finish([source], retriever_encoder.encode([source.description]).tolist())


@pytest.fixture(scope="module")
def small_index(encoder_folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    from raydistill.actors.retrieval.encoder import SentenceEncoder

    encoder = SentenceEncoder(encoder_folder)
    uri = str(tmp_path_factory.mktemp("index") / "rows")
    index = RowIndex.create(uri, encoder_id(encoder))
    for name, rows in ROWS.items():
        fill(index, name, rows, encoder)
    return uri


LOOKUP = Lookup("how many sums", ({"input": "how many apples", "output": "3"},), count=5)


def test_rows_come_back_whole_with_scores_and_winning_columns(small_index: str) -> None:
    rows = Retriever(small_index).retrieve(LOOKUP)
    first = rows[0]
    assert (first.source, first.row, first.row_id) == ("sums", 0, "sums0")
    assert first.values == ROWS["sums"][0]
    assert (first.column_in, first.column_out) == ("question", "answer")
    assert first.s_in == pytest.approx(1, abs=1e-5) and first.s_out == pytest.approx(1, abs=1e-5)
    for row in rows:
        assert row.values == ROWS[row.source][row.row]
        assert row.s == pytest.approx((row.s_in + row.s_out + row.s_ds) / 3, abs=1e-6)
    assert len(rows) == 5


def same(found: list[RetrievedRow], expected: list[RetrievedRow]) -> bool:
    """Whether these are the same rows in the same order, with scores that differ by less than 2e-5."""

    def scores(rows: list[RetrievedRow]) -> list[float]:
        return [score for row in rows for score in (row.s, row.s_in, row.s_out, row.s_ds)]

    ids = [[(row.row_id, row.column_in, row.column_out) for row in rows] for rows in (found, expected)]
    return ids[0] == ids[1] and scores(found) == pytest.approx(scores(expected), abs=2e-5)


def test_lookups_of_all_kinds(small_index: str) -> None:
    from dataclasses import replace

    retriever = Retriever(small_index)
    whole = retriever.retrieve(LOOKUP)
    assert same(retriever.retrieve(replace(LOOKUP, count=2)), whole[:2])
    assert {row.source for row in retriever.retrieve(replace(LOOKUP, banned=("sums",)))} == {"fruit"}
    dataset = retriever.retrieve(replace(LOOKUP, level="dataset", count=2))
    assert {row.source for row in dataset} == {"sums"}  # its description is the instruction
    random = [retriever.retrieve(replace(LOOKUP, level="random", count=2, seed=seed)) for seed in range(8)]
    drawn = {tuple(row.row_id for row in rows) for rows in random}
    assert len(drawn) > 2 and {len(rows) for rows in random} == {2}
    by_id = {row.row_id: row for row in whole}
    assert same(random[0], [by_id[row.row_id] for row in random[0]])  # with the scores that row level gives them


def test_an_index_under_a_uri_has_its_matrix_in_the_nodes_cache(
    encoder_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raydistill.actors.retrieval.encoder import SentenceEncoder

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encoder = SentenceEncoder(encoder_folder)
    index = RowIndex.create(f"file://{tmp_path}/rows", encoder_id(encoder))
    fill(index, "sums", ROWS["sums"], encoder)
    rows = Retriever(index.uri).retrieve(LOOKUP)
    assert [row.values for row in rows] == ROWS["sums"]
    assert list((tmp_path / "cache" / "raydistill").glob("*/*/vectors.f32")) and not (tmp_path / "rows/matrix").exists()


@pytest.mark.parametrize("broken", [None, '{"format": 0, "sources": []}'])
def test_a_matrix_of_another_format_is_derived_anew(small_index: str, tmp_path: Path, broken: str | None) -> None:
    import shutil

    uri = str(shutil.copytree(small_index, tmp_path / "copy"))
    before = open_matrix(RowIndex.open(uri))
    about = tmp_path / "copy" / "matrix" / before.version / "matrix.json"
    about.write_text(broken) if broken else about.unlink()
    about.with_name("starts.npy").unlink()
    after = open_matrix(RowIndex.open(uri))
    assert np.array_equal(before.values.vectors, after.values.vectors) and about.is_file()


def test_records_of_an_unfinished_source_are_not_found(small_index: str, tmp_path: Path) -> None:
    import shutil

    uri = str(shutil.copytree(small_index, tmp_path / "copy"))
    index = RowIndex.open(uri)
    half = {"source": "half", "row": 0, "row_id": "x", "column": "c", "value": "v", "vector": [0.0] * 32}
    index.add_records([pa.RecordBatch.from_pylist([half], schema=record_schema(index.encoder))])
    matrix = open_matrix(index)
    assert matrix.values.rows == 5 and index.holds("half")


def test_what_is_wrong_with_an_index_is_said_in_one_line(
    small_index: str, encoder_folder: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(UsageError, match="no index there; build one with"):
        Retriever(str(tmp_path / "nowhere"))
    empty = RowIndex.create(str(tmp_path / "empty"), RowIndex.open(small_index).encoder)
    with pytest.raises(UsageError, match="it is empty; add rows with"):
        Retriever(empty.uri)
    other = write_tiny_encoder(tmp_path_factory.mktemp("other"), seed=1)
    with pytest.raises(UsageError, match="built with encoder .*asked with .*ask with the first") as error:
        Retriever(small_index, other)
    assert "\n" not in str(error.value)


def test_replacing_the_encoder_empties_the_index(tmp_path: Path) -> None:
    first, second = EncoderId("a", "1", 4), EncoderId("a", "2", 8)
    RowIndex.create(str(tmp_path / "i"), first)
    assert RowIndex.create(str(tmp_path / "i"), second).encoder == RowIndex.open(str(tmp_path / "i")).encoder == second


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"examples": ()}, "no examples"),
        ({"examples": ({"input": "x"},)}, "example 1 has no output"),
        ({"examples": ({"input": "x", "output": "y"}, {"input": " ", "output": "y"})}, "example 2 has no input"),
        ({"instruction": " "}, "the instruction is empty"),
        ({"count": 0}, "0 rows asked for"),
    ],
)
def test_lookups_that_cannot_be_answered(settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Lookup(**{"instruction": "Add.", "examples": ({"input": "1 + 1", "output": "2"},), **settings})
