"""The demo's requests through vLLM's own `run-batch`: its completions are the run's, and the rest is asked again."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.endpoint_faults.proxy import cpu_environment
from raydistill.pipelines.cli.export_requests import export_requests
from raydistill.pipelines.run_config import Run, load_config
from tests import ROOT
from tests.pipelines.cli.test_export_requests import read_from, texts
from tests.pipelines.test_run_remote import rows, synthesized
from tests.rows import write_rows

pytestmark = pytest.mark.slow

TEACHER = ROOT / "demo/models/teacher"
QUESTIONS, SAMPLES, LOST = 100, 2, 7


def run_batch(requests: Path) -> list[dict[str, Any]]:
    """The lines that vLLM answers with, in another order."""
    out = requests.with_suffix(".out.jsonl")
    command = [sys.executable, "-m", "vllm.entrypoints.openai.run_batch", "-i", str(requests), "-o", str(out)]
    command += ["--model", str(TEACHER), "--served-model-name", "teacher", "--dtype", "float32"]
    command += ["--max-model-len", "1024", "--no-enable-chunked-prefill", "--enforce-eager"]
    done = subprocess.run(command, env=cpu_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = rows(out)
    random.Random(0).shuffle(lines)
    return lines


def said(lines: list[dict[str, Any]]) -> dict[str, str]:
    """Texts by sample id, of answers to runs of samples that begin at the first."""
    return {
        f"{line['custom_id'].rpartition('/')[0]}/{choice['index']}": choice["message"]["content"]
        for line in lines
        for choice in line["response"]["body"]["choices"]
    }


def test_the_demos_completions_come_back(cluster: None, tmp_path: Path) -> None:
    changes = [f"questions.size={QUESTIONS}", f"teacher.n={SAMPLES}", "train=null", "evaluation=null"]
    run: Run = load_config(ROOT / "configs/demo-url.yaml", [*changes, f"run_dir={tmp_path / 'run'}"])
    export_requests(run, tmp_path / "requests.jsonl", None)
    answers = run_batch(tmp_path / "requests.jsonl")
    assert len(answers) == QUESTIONS and all(line["error"] is None for line in answers)
    kept, lost = answers[LOST:], answers[:LOST]
    errors = [line | {"response": None, "error": {"message": "expired"}} for line in lost]
    first, second = write_rows(tmp_path / "a.jsonl", kept), write_rows(tmp_path / "errors.jsonl", errors)
    report, _ = synthesized(read_from(run, first, second))
    assert texts(tmp_path / "run") == said(kept) and report["verification"]["unknown"] == LOST * SAMPLES
    usage = [line["response"]["body"]["usage"] for line in kept]
    assert report["teacher"]["generated_tokens"] == sum(one["completion_tokens"] for one in usage)
    assert report["teacher"]["prompt_tokens"] == sum(one["prompt_tokens"] for one in usage)

    export_requests(run, tmp_path / "rest.jsonl", None)
    rest = rows(tmp_path / "rest.jsonl")
    assert {line["custom_id"] for line in rest} == {line["custom_id"] for line in lost}
    again = run_batch(tmp_path / "rest.jsonl")
    report, _ = synthesized(read_from(run, write_rows(tmp_path / "b.jsonl", again)))
    assert texts(tmp_path / "run") == said(kept) | said(again)
    assert report["verification"]["unknown"] == 0 and report["verification"]["passed"] > QUESTIONS * SAMPLES / 2
    same = sum(said(again)[sample] == text for sample, text in said(lost).items())
    print(json.dumps({"asked again": LOST * SAMPLES, "same text": same, "passed": report["verification"]["passed"]}))
