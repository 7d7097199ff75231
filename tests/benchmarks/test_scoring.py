"""The benchmark of scoring on a tiny model: its rows, and that both arms do the same work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import Namespace

import pytest

from benchmarks.scoring import forward, rows_of
from raydistill.pipelines.config.sections import Train
from raydistill.pipelines.data.records import TokenIds
from raydistill.pipelines.scoring.preflight import _forward
from tests import ROOT


def test_the_forward_pass_is_that_of_each_row_alone(tiny_model: str) -> None:
    from transformers import AutoModelForCausalLM

    rows = [TokenIds(tuple(range(5, 5 + n)), tuple(range(9, 9 + n + 2))) for n in (1, 7, 3, 12)] * 3
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    alone = _forward(Train(student=tiny_model), rows, None)
    for one, other in zip(forward(model, rows), alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_ratios_are_of_rounds_and_the_middle_one_counts() -> None:
    costs = {"scored": [1.0, 2.0, 1.2], "forward": [1.0, 1.0, 1.1], "generated": [10.0, 10.0, 10.0]}
    plain, generated = rows_of(Namespace(model="models/m"), costs)
    assert (plain["ratio"], plain["spread"], plain["holds"], plain["n"]) == (1.091, [1.0, 2.0], True, 3)
    assert generated["ratio"] == 0.12 and generated["name"] == "scoring tokens by m, beside generating as many"


@pytest.mark.slow
def test_one_line_of_rows(tiny_model: str) -> None:
    sizes = ["--questions=2", "--new-tokens=8", "--rounds=2"]
    command = [sys.executable, "-m", "benchmarks.scoring", f"--model={tiny_model}", *sizes]
    environment = {**os.environ, "RAY_ADDRESS": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    plain, generated = json.loads(done.stdout.splitlines()[-1])
    for row in (plain, generated):
        assert row["n"] == 2 and row["ours"] > 0 and row["other"] > 0 and row["command"].endswith("--rounds=2")
    assert plain["reach"] == 1.15 and plain["ratio"] > 0
