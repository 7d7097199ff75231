"""kill -9 while the teacher rewrites, and the same command again: a real driver, its own Ray, a recorded teacher."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests import ROOT
from tests.pipelines.recipes.rebase.test_rebase import TARGET
from tests.pipelines.recipes.rebase.test_rebase_run import written
from tests.waiting import wait_until

ROWS, PATIENCE_S = 3000, 600


def start(config: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "raydistill", "synth", str(config), "--quiet"]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": ""})


def completions(run: Path) -> list[dict[str, Any]]:
    return [row for path in (run / "completions").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]


@pytest.mark.slow
def test_what_was_written_before_a_kill_is_neither_lost_nor_written_again(tmp_path: Path) -> None:
    said = [
        {"question": str(n), "completion": written(n % 900 + 10, n // 900 + 1, n if n % 3 == 0 else None)}
        for n in range(ROWS)
    ]
    recorded, config, run = tmp_path / "recorded.jsonl", tmp_path / "run.yaml", tmp_path / "run"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    recipe = {
        "recipe": "rebase",
        "target": TARGET,
        "retrieval": "none",
        "rows": ROWS,
        "check": "raydistill.demo.target_task:solve",
    }
    teacher = {"engine": "recorded", "model": str(recorded)}
    config.write_text(yaml.safe_dump({"run_dir": str(run), "teacher": teacher, "recipe": recipe}), encoding="utf-8")

    driver = start(config)
    wait_until(lambda: completions(run) or driver.poll() is not None, PATIENCE_S, "the first completions")
    driver.kill()
    driver.wait()
    before = {row["sample_id"]: row for row in completions(run)}
    assert 0 < len(before) < ROWS and not (run / "report.json").exists()

    assert start(config).wait() == 0
    after = completions(run)
    assert len(after) == len({row["sample_id"] for row in after}) == ROWS
    assert before.items() <= {row["sample_id"]: row for row in after}.items()
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    # the killed driver's actors may have stored some more before they ended
    assert len(before) <= report["resumed"]["samples"] == ROWS - report["resumed"]["new_samples"] < ROWS
    told = report["verification"]["reasons"] | report["selection"]["dropped"]
    assert sum(told.values()) + report["examples"] == ROWS and told["wrong_answer"] == ROWS // 3
