"""The page of all claims: its rows are there, and the page is the one that they make."""

from __future__ import annotations

import json

from benchmarks.replications.cells import RESULTS
from benchmarks.replications.claims import COLUMNS
from benchmarks.replications.overview import PAPERS, page

ROWS = {row["id"]: row for row in json.loads((RESULTS / "claims.json").read_text(encoding="utf-8"))}


def test_each_claim_was_measured_on_the_demo_models() -> None:
    claims = [claim for paper in PAPERS for claim in paper.claims]
    assert len(PAPERS) == 7 and all(paper.claims for paper in PAPERS)
    for claim in claims:
        assert {claim.toy, claim.control or claim.toy} <= ROWS.keys()
        told = ROWS[claim.toy]["ci95"][0] > 0
        assert told or claim.control or claim.real, f"{claim.text}: neither measured clearly, nor with a control"


def test_the_page_is_that_of_the_rows() -> None:
    written = (RESULTS / "real.md").read_text(encoding="utf-8")
    assert page(ROWS).splitlines()[3:] == written.splitlines()[3:]  # without the command, which is this process's


def test_rows_have_all_columns_and_shares_that_are_shares() -> None:
    for row in ROWS.values():
        assert tuple(row) == COLUMNS
        if "KL" not in row["claim"]:
            assert 0 <= row["ours"] <= 1 and 0 <= row["other"] <= 1
            assert abs(row["ours"] - row["other"] - row["gain"]) < 1e-3
            assert row["ci95"][0] <= row["gain"] <= row["ci95"][1]


def test_what_is_measured_on_pretrained_weights_stands_beside_it() -> None:
    measured = ROWS["mixed-sampled"] | {"id": "pad-over-cot-svamp", "gain": 0.154, "ci95": [0.1, 0.2], "seeds": 3}
    [line] = [line for line in page(ROWS | {measured["id"]: measured}).splitlines() if "same questions" in line]
    assert "**+15.4 (+10.0 to +20.0), 3 seeds** (the demo's)" in line
