"""Answer spans: exactly the answer's tokens, the same ones in both rationales, whatever the tokenizer."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import pytest

from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.losses.consistency import Consistency, PairCounts, answer_window, common_segment
from raydistill.pipelines.training.losses.cross_entropy import CrossEntropy
from raydistill.pipelines.training.tokens import TokenTable, tokenise, write_tokens
from tests.pipelines.training.answer_tokenizers import ANSWERS, FUSED, KINDS, build, rationale


def make_term(path: str, kind: str, examples: list[Example]) -> Consistency:
    write_tokens(tokenise(build(kind), examples), path, max_length=2000, vocabulary=10**6)
    return Consistency(TokenTable(path))


def test_the_tokenizers_cut_numbers_differently():
    cuts = {kind: build(kind).tokenize("is 1080.") for kind in KINDS}
    assert cuts["digits_split"][-5:] == ["1", "0", "8", "0", "."]
    assert any("1080" in token for token in cuts["digits_merged"])
    assert "▁1080" in "".join(cuts["leading_space"])
    assert len(cuts["bytes"]) == 8
    assert cuts["words"] == ["is", "1080", "."]
    assert len({*map(tuple, cuts.values())}) == len(KINDS)


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("kind", KINDS)
def test_span_is_the_answer_in_both_rationales(tmp_path, kind, answer):
    tokenizer = build(kind)
    term = make_term(f"{tmp_path}/tokens.parquet", kind, [rationale(i, 0, answer) for i in range(3)])
    weights = CrossEntropy(term.table).weights
    for left, right in itertools.combinations(range(3), 2):
        shared = term.shared_answer(left, right)
        assert shared is not None
        ends = []
        for row, start in ((left, shared.left_start), (right, shared.right_start)):
            ids = term.table.ids[row].tolist()
            span = ids[start : start + shared.length]
            assert tokenizer.decode(span).strip(" ").replace(" ", "") == answer.replace(" ", "")
            assert tokenizer.convert_tokens_to_ids("<|end|>") not in span
            assert weights[row][start : start + shared.length].all()
            ends.append((span, ids[start + shared.length :]))
        assert ends[0] == ends[1]  # the same answer, and the same end after it


def test_span_of_an_answer_that_occurs_before_is_the_last_one(tmp_path):
    term = make_term(f"{tmp_path}/tokens.parquet", "digits_split", [rationale(0, 0, "7"), rationale(3, 0, "7")])
    starts, ends = term.windows.T
    assert (ends - starts == 1).all()
    assert (ends == term.table.lengths - 2).all()  # the full stop and the stop token follow


def test_a_token_that_fuses_answer_and_full_stop_belongs_to_the_span(tmp_path):
    term = make_term(f"{tmp_path}/tokens.parquet", FUSED, [rationale(i, 0, "18") for i in range(2)])
    shared = term.shared_answer(0, 1)
    assert shared is not None and shared.length == 1
    assert build(FUSED).decode(term.table.ids[0][shared.left_start : shared.left_start + 1]).strip() == "18."


def test_window_by_hand():
    offsets = [(0, 3), (3, 6), (6, 6), (6, 7), (7, 9)]
    assert answer_window(offsets, 4, 7) == (1, 4)
    assert answer_window(offsets, 6, 7) == (3, 4)
    assert answer_window(offsets, 9, 12) == (0, 0)
    assert answer_window([(0, 1), (1, 3), (1, 3), (3, 4)], 2, 3) == (1, 3)  # a character of two tokens


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ([5, 6, 7], [5, 6, 7], (0, 0, 3)),
        ([1, 8], [9, 1, 8], (0, 1, 2)),
        ([1, 2, 3, 4], [0, 2, 3, 9, 2], (1, 1, 2)),
        ([1], [2], (0, 0, 0)),
        ([], [2], (0, 0, 0)),
        ([4, 4, 4], [4, 4], (0, 0, 2)),
    ],
)
def test_common_segment_by_hand(left, right, found):
    assert common_segment(np.array(left), np.array(right)) == found


def test_common_segment_against_brute_force():
    rng = Random(0)
    for _ in range(200):
        left, right = (rng.choices(range(3), k=rng.randrange(7)) for _ in range(2))
        runs = [
            n
            for i, j in itertools.product(range(len(left)), range(len(right)))
            for n in range(1, 8)
            if i + n <= len(left) and j + n <= len(right) and left[i : i + n] == right[j : j + n]
        ]
        i, j, length = common_segment(np.array(left), np.array(right))
        assert length == max(runs, default=0)
        assert left[i : i + length] == right[j : j + length]


def test_pairs_are_counted_with_and_without_a_common_span(tmp_path):
    rows = [rationale(i, 0, "18") for i in range(3)]  # 3 pairs
    rows += [rationale(0, 1, "18"), rationale(1, 1, "B")]  # a pair without a common token
    rows += [rationale(0, 2, "18")]  # alone
    term = make_term(f"{tmp_path}/tokens.parquet", "bytes", rows)
    assert term.count_pairs() == PairCounts(questions=2, pairs=4, with_span=3)
    assert term.shared_answer(3, 4) is None


def test_an_answer_that_the_completion_does_not_hold_has_no_span(tmp_path):
    rows = [rationale(0, 0, "18"), rationale(1, 0, "18")]
    lost = Example(**{name: getattr(rows[1], name) for name in Example.__slots__} | {"answer": "99"})
    term = make_term(f"{tmp_path}/tokens.parquet", "bytes", [rows[0], lost])
    assert term.shared_answer(0, 1) is None
