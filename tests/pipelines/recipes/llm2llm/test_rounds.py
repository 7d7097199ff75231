"""Runs with recorded answers and a student that knows two of six seeds: what rounds ask, and what is learned."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from raydistill.pipelines.data.examples import read_examples
from raydistill.pipelines.planning.walk import walk
from raydistill.pipelines.recipes.llm2llm.recipe import IterativeEnhancement
from raydistill.pipelines.run import run
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.views.run_folder import RunFolder
from tests import ROOT
from tests.rows import write_rows
from tests.tiny import teach
from tests.waiting import wait_until

HELD_OUT = "What is 50 plus 60?"
WORDING = "Write a question like this: {examples}"
SEEDS = {f"What is {i} plus {i}?": 2 * i for i in range(6)}
KNOWN = [*SEEDS][:2]


def program(value: object) -> str:
    return f"```python\ndef solution():\n    return {value}\n```"


def demand(seed: str, *right: str) -> str:
    return WORDING.format(examples="\n".join(json.dumps({"input": text}) for text in (*right, seed)))


WRITTEN = {  # about the seeds that the student fails
    "What is 2 plus 2?": ["What is 20 plus 21?", "What is 20 plus 21?"],
    "What is 3 plus 3?": [None, "What is 30 plus 31 plus 1?"],
    "What is 4 plus 4?": [HELD_OUT, "What is 3 plus 3?"],
    "What is 5 plus 5?": ["What is 40 plus 41?", ""],
}
PROGRAMS = {
    "What is 20 plus 21?": ["20 + 21", "42", "41"],
    "What is 30 plus 31 plus 1?": ["1", "2", "3"],
    "What is 40 plus 41?": ["40 + x", "81", "40 +"],
}
DROPPED = {"duplicate": 2, "not_json": 1, "evaluation_copy": 1, "empty_field": 1, "no_agreement": 1, "no_program": 1}


@pytest.fixture(scope="module")
def student(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = Path(copytree(tiny_model, tmp_path_factory.mktemp("taught") / "student"))
    return str(teach(folder, {seed: program(SEEDS[seed]) for seed in KNOWN}, steps=1000))


def sections(root: Path, student: str, **recipe: Any) -> dict[str, Any]:
    """A run of recorded answers; its student learns so little that it goes on as it is."""
    data = root.parent
    said = [(seed, program(total)) for seed, total in SEEDS.items()]
    said += [(question, program(value)) for question, values in PROGRAMS.items() for value in values]
    said += [
        (demand(seed), "Sure!" if text is None else json.dumps({"input": text}))
        for seed, texts in WRITTEN.items()
        for text in texts
    ]
    recorded = write_rows(data / "recorded.jsonl", [{"question": q, "completion": c} for q, c in said])
    seeds = write_rows(data / "seeds.jsonl", [{"question": q, "answer": str(a)} for q, a in SEEDS.items()])
    held_out = write_rows(data / "held_out.jsonl", [{"question": HELD_OUT, "answer": "110"}])
    settings = {"rounds": 3, "similar": 2, "wording": WORDING, "votes": 3, "agree": 2}
    return {
        "run_dir": str(root),
        "questions": {"task": "table", "path": str(seeds), "grader": "numeric"},
        "teacher": {"engine": "recorded", "model": str(recorded), "max_error_share": 1},
        "student": {"dtype": "float32", "max_model_len": 256, "kv_cache_gb": 0.25, "max_tokens": 60},
        "execution": {"cpus": 0.5},
        "recipe": {"recipe": "llm2llm", **settings, **recipe},
        "train": {"student": student, "learning_rate": 1e-9, "epochs": 1, "validation_fraction": 0},
        "evaluation": {"questions": {"task": "table", "path": str(held_out)}, "models": ["student"], "max_tokens": 40},
    }


def stored(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*.parquet")}


@pytest.mark.slow
def test_failed_seeds_alone_are_written_about_and_agreeing_programs_answer(
    cluster: None, student: str, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    config = Run.model_validate(sections(root, student))
    assert [one.title for one in walk(config)][0] == "synthesis" and not root.exists()
    report = run(config)
    first, second = report["rounds"]
    assert (first["seeds"], first["right"], first["failed"], first["unknown"]) == (6, 2, 4, 0)
    assert (first["written"], first["added"], first["examples"], first["programs"]) == (8, 1, 7, 9)
    assert first["dropped"] == DROPPED and first["written"] == sum(DROPPED.values()) + first["added"]
    # The recording says the same again, so that the second round adds nothing and is the last.
    assert second["added"] == 0 and second["dropped"]["duplicate"] == 3 and "student" not in second
    assert {"seeds alone", "round 1", "student"} == {*report["evaluation"]}
    [made] = [one for one in read_examples(str(root / "examples" / _last(root))) if "seed" in one.meta]
    assert (made.answer, made.text, made.meta["votes"], made.meta["round"]) == ("41", program("20 + 21"), 2, 1)
    assert made.messages[-1]["content"].endswith("Question: What is 20 plus 21?") and report["examples"] == 7

    before = stored(root)
    again = run(config)
    assert stored(root) == before and again["rounds"] == report["rounds"]
    shown = str(IterativeEnhancement(config.recipe).tell(RunFolder.open(str(root))))
    for text in ("What is 2 plus 2?", "Round 1: What is 20 plus 21?", "Answer of 2 programs", "no_agreement"):
        assert text in shown


def _last(root: Path) -> str:
    """The folder of examples that were learned last."""
    return RunFolder.open(str(root)).example_folders()[-1].rpartition("/")[2]


@pytest.mark.slow
def test_with_contrast_right_seeds_are_shown(cluster: None, student: str, tmp_path: Path) -> None:
    """The recording answers demands with a right seed alone; its programs do not agree on what comes of them."""
    settings = sections(tmp_path / "run", student, contrast=1, rounds=1, similar=1)
    with open(tmp_path / "recorded.jsonl", "a", encoding="utf-8") as file:
        for seed in [*SEEDS][2:]:
            new = f"After {seed} I ask how much it is in all."
            said = [(demand(seed, right), json.dumps({"input": new})) for right in KNOWN]  # both are as near
            said += [(new, program(value)) for value in (1, 2, 3)]
            file.writelines(json.dumps({"question": asked, "completion": text}) + "\n" for asked, text in said)
    [told] = run(Run.model_validate(settings))["rounds"]
    assert (told["failed"], told["written"], told["added"]) == (4, 4, 0) and told["dropped"] == {"no_agreement": 4}


@pytest.mark.slow
@pytest.mark.parametrize("folders", [2, 3, 4])
def test_nothing_is_sampled_twice_and_no_finished_round_is_repeated(folders: int, student: str, tmp_path: Path) -> None:
    """kill -9 when attempts, new questions or their programs have begun to be stored, and the same command again."""
    root, config = tmp_path / "run", tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(sections(root, student)), encoding="utf-8")

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "raydistill", "run", str(config), "--quiet"]
        return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": ""})

    def rows() -> dict[Path, list[dict[str, Any]]]:
        return {path: pq.read_table(path).to_pylist() for path in root.glob("completions/*/*.parquet")}

    driver = start()
    wait_until(
        lambda: len({path.parent for path in rows()}) >= folders or driver.poll() is not None, 600, "completions"
    )
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert not (root / "report.json").exists()
    before, trained = rows(), {path: path.read_bytes() for path in root.glob("training/*/result.json")}
    assert start().wait() == 0
    after = rows()
    assert {path: after[path] for path in before} == before
    assert {path: path.read_bytes() for path in trained} == trained
    paid = [(path.parent, row["sample_id"]) for path, told in after.items() for row in told]
    assert len(paid) == len(set(paid))
    report = json.loads((root / "report.json").read_text())
    assert [told["added"] for told in report["rounds"]] == [1, 0]
