"""kill -9 in each part of a round, and the same command again: a real driver with its own Ray and engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests import ROOT
from tests.pipelines.recipes.opd.test_rounds import sections
from tests.waiting import wait_until

PATIENCE_S = 600
PARTS = {"samples": "completions/*/*.parquet", "scores": "scores/*/*/*.parquet", "training": "training/*/result.json"}


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "raydistill", "run", str(config), "--quiet"]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": ""})


def rows(folder: Path, pattern: str) -> dict[Path, list[dict[str, Any]]]:
    return {path: pq.read_table(path).to_pylist() for path in folder.glob(pattern)}


@pytest.mark.slow
@pytest.mark.parametrize(("part", "overlap"), [*((part, False) for part in PARTS), ("training", True)])
def test_nothing_is_sampled_or_scored_twice_and_no_finished_round_is_repeated(
    part: str, overlap: bool, tmp_path: Path, tiny_model: str, other_weights: str, questions_file: Path
) -> None:
    root, config = tmp_path / "run", tmp_path / "config.yaml"
    settings = sections(root, other_weights, tiny_model, questions_file, rounds=2, error_weight=0.5, overlap=overlap)
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    driver = start(config)
    wait_until(lambda: any(root.glob(PARTS[part])) or driver.poll() is not None, PATIENCE_S, part)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert not (root / "report.json").exists()
    before = rows(root, PARTS["samples"]) | rows(root, PARTS["scores"])
    trained = {path: path.read_bytes() for path in root.glob(PARTS["training"])}

    assert start(config).wait() == 0
    after = {name: rows(root, PARTS[name]) for name in ("samples", "scores")}
    assert {path: (after["samples"] | after["scores"])[path] for path in before} == before
    assert {path: path.read_bytes() for path in trained} == trained
    for name, column in (("samples", "sample_id"), ("scores", "key")):
        paid = [(path.parent, row[column]) for path, told in after[name].items() for row in told]
        assert len(paid) == len(set(paid)) and paid
    report = json.loads((root / "report.json").read_text())
    assert [told["round"] for told in report["rounds"]] == [1, 2] and len(list(root.glob(PARTS["training"]))) == 2
    assert all(told["samples"] == 24 for told in report["rounds"])
