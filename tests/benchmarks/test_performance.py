"""The speeds: rows that are whole, the page that they make, and benchmarks that print such rows at tiny sizes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import performance
from benchmarks.performance import BENCHMARKS, commands, page, with_reason
from tests import ROOT

WRITTEN = json.loads(performance.ROWS.read_text(encoding="utf-8"))
FIELDS = {"name", "ours", "other", "ratio", "reach", "at_most", "holds", "n", "spread", "versions", "command"}
TINY = {
    "starts": "--rounds 2",
    "executor": "--seconds 0.1 --rounds 1",
    "retriever": "--values 6000 --top 100 --rounds 1",
    "grader": "--seconds 1 --rounds 1",
    "synthesis.overlap": "--questions 20 --turns 1 --balance 0.6",
    "synthesis.resume": "--questions 60 --rounds 1",
    "synthesis.generates": "--questions 400 --turns 1",
    "from_nothing": "--turns 1",
    "synthesis.scale": "--sizes 50 100 --out FOLDER",
    "training.loss_terms": "--questions 10 --batch-tokens 400 --steps 1 --warm-up 1",
    "training.trainer": "--questions 16 --batch-tokens 400 --steps 2 --rounds 1",
    "training.rounds": "--questions 6 --rounds 2",
    "training.trl": "--questions 30 --batch-tokens 1500 --steps 2 --rounds 1",
    "scoring": "--questions 2 --new-tokens 8 --rounds 1",
    "engines": "--questions 4 --new-tokens 16 --rounds 1",
    "ray_data_llm": "--questions 4 --new-tokens 16 --turns 1",
    "service.solving": "--questions 4 --clients 2 --rounds 1",
    "service.serving": "--clients 2 --requests 2 --rounds 1 --idle-s 1",
    "service.soak": "--clients 2 --minutes 0.2",
}
AT_ONCE = ("starts", "retriever", "grader", "training.loss_terms")


def row(**changes: Any) -> dict[str, Any]:
    told = {"name": "a", "ours": 12.5, "other": 10, "ratio": 1.25, "reach": 1, "at_most": False, "holds": True}
    return told | {"n": 5, "spread": [1.1, 1.3], "versions": {}, "command": "c"} | changes


def test_rows_are_whole_and_those_that_fall_short_say_why() -> None:
    for told in WRITTEN:
        assert told.keys() >= FIELDS
        assert told["holds"] or len(told["reason"]) > 40, told["name"]


def test_the_page_is_that_of_the_rows() -> None:
    written = performance.PAGE.read_text(encoding="utf-8").splitlines()
    made = page(WRITTEN).splitlines()
    assert [line for line in made if "python -m" not in line] == [line for line in written if "python -m" not in line]


def test_a_reason_stays_until_the_row_holds() -> None:
    before = row(holds=False, reason="it is slow")
    assert with_reason(row(holds=False), before)["reason"] == "it is slow"
    assert "reason" not in with_reason(row(), before)
    assert "- **a**: it is slow" in page([before]) and "1 of 1 hold" in page([row()])


def test_what_is_measured_at_this_commit_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performance, "ROWS", tmp_path / "rows.json")
    monkeypatch.setattr(performance, "PAGE", tmp_path / "page.md")
    asked: list[list[str]] = []
    [only] = commands(["starts"])

    def run(words: list[str]) -> list[dict[str, Any]]:
        asked.append(words)
        return [row(name="started", command=only, commit=performance.environment()["commit"])]

    monkeypatch.setattr(performance, "run", run)
    monkeypatch.setattr(performance, "BENCHMARKS", {"starts": [""]})
    monkeypatch.setattr(sys, "argv", ["performance"])
    performance.main()
    performance.main()
    assert len(asked) == 1 and "started" in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize(
    "name", [name if name in AT_ONCE else pytest.param(name, marks=pytest.mark.slow) for name in TINY]
)
def test_a_benchmark_prints_rows(name: str, tmp_path: Path) -> None:
    assert TINY.keys() == BENCHMARKS.keys()
    command = [sys.executable, "-m", f"benchmarks.{name}", *TINY[name].replace("FOLDER", str(tmp_path)).split()]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": ""}, stdout=subprocess.PIPE, text=True, check=True
    )
    rows = json.loads(done.stdout.splitlines()[-1])
    assert rows and all(told.keys() >= FIELDS and told["ours"] > 0 for told in rows)
