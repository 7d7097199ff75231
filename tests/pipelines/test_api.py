"""What notebooks and scripts import: runs, sandbox, grading; a run is the command line's own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import raydistill
from raydistill.actors.errors import UsageError
from raydistill.pipelines.run_config import Run
from tests import ROOT


def test_a_sandbox_runs_programs_that_nobody_has_to_trust() -> None:
    with raydistill.Sandbox(cpu_s=1) as sandbox:
        right, hostile = sandbox.run(["def solution():\n    return 6 * 7", "import os\nos.system('true')"])
        [printed] = sandbox.run(["print(2 ** 10)"], mode="stdout")
        assert sandbox.grade <= "B"
    assert (right.status, right.value) == ("passed", 42)
    assert hostile.status == "failed"
    assert printed.status == "passed" and "1024" in str(printed.value)


@pytest.mark.parametrize(
    ("answer", "gold", "kind", "status"),
    [
        ("It costs $1,080.", "1080", "auto", "passed"),
        ("Therefore, the answer is (B).", "B", "choice", "passed"),
        (7, "8", "auto", "failed"),
    ],
)
def test_answers_are_graded_as_in_a_run(answer: Any, gold: str, kind: Any, status: str) -> None:
    assert raydistill.grade(answer, gold, kind).status == status


def test_a_run_is_made_told_of_and_found_again(cluster: None, questions_file: Path, tmp_path: Path) -> None:
    rows = [
        {"question": f"What is {n} plus {n}?", "completion": f"def solution():\n    return {n} + {n}"}
        for n in range(12)
    ]
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "run_dir": str(tmp_path / "run"),
        "questions": {"task": "table", "path": str(questions_file)},
        "teacher": {"engine": "recorded", "model": str(recorded)},
    }
    file, heard = tmp_path / "run.yaml", list[dict[str, Any]]()
    file.write_text(json.dumps(settings))  # JSON is YAML
    report = raydistill.run(file, "recipe.max_programs=1", on_event=heard.append)
    assert report["verification"]["passed"] == 12 and report["examples"] == 12
    assert {event["event"] for event in heard} >= {"message"}
    assert Path(report.page).is_file() and "nothing measured" in repr(report)
    again = raydistill.load_run(tmp_path / "run")
    assert [example.question_id for example in again.examples()] == [e.question_id for e in report.examples()]
    assert len([*again.examples()]) == 12
    with pytest.raises(UsageError, match="student was not measured in .*; expected one of: none"):
        again.accuracy()

    async def notebook() -> raydistill.Report:
        return raydistill.run(Run.model_validate(settings))

    whole = asyncio.run(notebook())
    assert whole["resumed"]["new_samples"] == 0
    with pytest.raises(UsageError, match="a Run is taken as it is"):
        raydistill.run(Run.model_validate(settings), "teacher.n=2")
    with pytest.raises(UsageError, match="no run there"):
        raydistill.load_run(tmp_path)


def test_importing_it_imports_nothing_else() -> None:
    program = (
        "import sys, raydistill; dir(raydistill); print(sorted(n for n in sys.modules if n.startswith('raydistill.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        raydistill.Nothing  # noqa: B018
