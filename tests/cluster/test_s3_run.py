"""A run whose directory is a bucket: everything it stores goes through pyarrow's S3, and it resumes from there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from raydistill.actors.segments import list_segments, read_segments
from raydistill.actors.storage import read_bytes
from tests import ROOT
from tests.cluster.test_s3 import bucket
from tests.rows import recorded_run, write_rows

__all__ = ["bucket"]

pytestmark = pytest.mark.cluster


def synthesise(config: dict[str, Any], run_dir: str, tmp_path: Path) -> dict[str, Any]:
    """The report of `raydistill synth` with that configuration."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "raydistill", "synth", str(path), "--run-dir", run_dir, "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    report = read_bytes(f"{run_dir}/report.json")
    assert report
    return json.loads(report)


def test_a_run_lives_in_a_bucket_and_resumes_there(bucket: str, tmp_path: Path) -> None:
    rows = [
        {"question": f"What is {n} plus 1?", "answer": str(n + 1), "program": f"def solution():\n    return {n} + 1\n"}
        for n in range(20)
    ]
    config = recorded_run(write_rows(tmp_path / "recorded.jsonl", rows))
    run_dir = f"{bucket}/run"
    report = synthesise(config | {"questions": config["questions"] | {"size": 12}}, run_dir, tmp_path)
    assert report["verification"]["passed"] == 12
    report = synthesise(config, run_dir, tmp_path)
    assert report["verification"]["passed"] == 20
    assert report["resumed"] == {"new_samples": 8, "new_verdicts": 8, "samples": 12, "verdicts": 12}
    folder = f"{run_dir}/verdicts/{key(f'{run_dir}/verdicts')}"
    ids = [sample for table in read_segments(folder) for sample in table["sample_id"].to_pylist()]
    assert len(ids) == len(set(ids)) == 20
    assert list_segments(folder)


def key(folder: str) -> str:
    """The one folder in `folder`."""
    from pyarrow.fs import FileSelector, FileSystem

    filesystem, path = FileSystem.from_uri(folder)
    [found] = filesystem.get_file_info(FileSelector(path))
    return found.base_name
