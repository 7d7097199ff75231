"""Decontamination in a run: on by default, off by name alone, and old folders are found again where nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from raydistill.actors.errors import UsageError
from raydistill.pipelines.context import ExampleSet
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from tests.pipelines.data.test_gate import LONG

PROGRAM = "def solution():\n    # {note}\n    return {i} + {i}"
NOTES = {3: LONG, 4: "What is 40 + 4?"}  # what the teacher says beside the program; the rest of it has no reason to


def write_lines(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def sections(tmp_path: Path) -> dict[str, Any]:
    asked = [f"What is {i} plus {i}?" for i in range(8)]
    rows = [{"question": text, "answer": str(2 * i)} for i, text in enumerate(asked)]
    said = [PROGRAM.format(note=NOTES.get(i, "plain"), i=i) for i in range(8)]
    recorded = [{"question": text, "completion": one} for text, one in zip(asked, said, strict=True)]
    held_out = [{"question": text, "answer": "1"} for text in ("what is 0 plus 0", "Who?", LONG)]
    return {
        "run_dir": str(tmp_path / "run"),
        "questions": {"task": "table", "path": write_lines(tmp_path / "questions.jsonl", rows)},
        "teacher": {"engine": "recorded", "model": write_lines(tmp_path / "recorded.jsonl", recorded)},
        "evaluation": {"questions": {"task": "table", "path": write_lines(tmp_path / "held_out.jsonl", held_out)}},
    }


def synthesized(sections: dict[str, Any], **evaluation: Any) -> tuple[ExampleSet, dict[str, Any]]:
    runner = Runner(Run.model_validate(sections | {"evaluation": sections["evaluation"] | evaluation}))
    try:
        return runner.start().synthesize(), runner.report
    finally:
        runner.close()


def test_what_stands_in_the_evaluation_set_is_not_learned(cluster: None, sections: dict[str, Any]) -> None:
    everything, report = synthesized(sections, decontamination=yaml.safe_load("off"))
    assert everything.count == 8 and report["decontamination"] == "off" and report["resumed"]["new_samples"] == 8

    fewer, report = synthesized(sections)
    assert report["decontamination"] == {
        "questions": {"evaluation_copy": 1},
        "demonstrations": {},
        "examples": {"evaluation_overlap": 1},
    }
    assert fewer.count == report["examples"] == 6 and report["questions"]["used"] == 7
    assert report["resumed"] | {"new_samples": 0, "new_verdicts": 0} == report["resumed"]  # nothing is paid for again
    chats = (Path(sections["run_dir"]) / "examples.jsonl").read_text()
    assert len(chats.splitlines()) == 6 and "farmer" not in chats
    assert synthesized(sections)[0].key == fewer.key

    copies, report = synthesized(sections, decontamination="questions")
    assert copies.count == 7 and report["decontamination"]["examples"] == {}


def test_a_run_that_loses_nothing_is_found_again(cluster: None, sections: dict[str, Any], tmp_path: Path) -> None:
    clean = write_lines(tmp_path / "clean.jsonl", [{"question": "Who?", "answer": "1"}])
    sections["evaluation"] = {"questions": {"task": "table", "path": clean}}
    before, _ = synthesized(sections, decontamination="off")
    after, report = synthesized(sections)
    assert (after.folder, after.key, after.count) == (before.folder, before.key, before.count)
    assert report["decontamination"] == {"questions": {}, "demonstrations": {}, "examples": {}}


def test_a_demonstration_that_is_held_out_is_told_before_anything_is_asked(
    sections: dict[str, Any], tmp_path: Path
) -> None:
    shown = [{"question": q, "answer": "def solution():\n    return 1", "value": 1} for q in ("A?", LONG, "B?", "C?")]
    (tmp_path / "own.yaml").write_text(json.dumps({"style": "plain", "demonstrations": shown}))
    sections["recipe"] = {"recipe": "pad", "contexts": [str(tmp_path / "own.yaml")]}
    with pytest.raises(UsageError, match="1 demonstrations in the prompts are evaluation questions"):
        synthesized(sections)
    assert not (tmp_path / "run" / "completions").exists()
