"""The judge's version changes with its verdicts: the code that decides them is known by a digest beside the version.

Only code counts: docstrings and comments may change freely.
"""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

from raydistill.pipelines.tasks.families.bbh import BigBenchTask
from raydistill.pipelines.tasks.families.extractive_qa import ExtractiveTask
from raydistill.pipelines.tasks.families.nli import InferenceTask
from raydistill.pipelines.tasks.families.reasoning_gym import ScoredTask
from raydistill.pipelines.tasks.families.stepwise import StepwiseQuestions
from raydistill.pipelines.tasks.judging import JUDGE_VERSION
from raydistill.pipelines.tasks.stepwise.table import TASKS
from tests import ROOT

KNOWN = ROOT / "tests" / "data" / "judge.json"
ANSWERS = ROOT / "pipelines" / "tasks" / "answers"
STEPWISE = ("arithmetic", "base", "dates", "deduction", "sorting", "steps")
RULES = {  # version's name -> its value, and the files that it stands for
    "JUDGE_VERSION": (
        JUDGE_VERSION,
        [
            "base.py",
            "choices.py",
            "code_blocks.py",
            "definitions.py",
            "extract.py",
            "judging.py",
            "marks.py",
            "separators.py",
            *sorted(f"answers/{file.name}" for file in ANSWERS.glob("*.py")),
        ],
    ),
    "BigBenchTask.version": (BigBenchTask("").version, ["families/bbh.py"]),
    "ExtractiveTask.version": (ExtractiveTask("").version, ["families/extractive_qa.py"]),
    "InferenceTask.version": (InferenceTask("").version, ["families/nli.py"]),
    "ScoredTask.version": (ScoredTask("", None).version, ["families/reasoning_gym.py"]),
    "StepwiseQuestions.version": (
        StepwiseQuestions(TASKS["word_sorting"]).version,
        ["families/stepwise.py", *(f"stepwise/{name}.py" for name in STEPWISE)],
    ),
}
ANEW = "python -m tests.pipelines.tasks.test_judge_version"


def shape(node: Any) -> Any:
    """A syntax tree without docstrings and places, the same for all versions of Python."""
    if isinstance(node, list):
        return [shape(item) for item in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node):
        fields["body"] = node.body[1:]
    return [type(node).__name__, {name: shape(value) for name, value in fields.items()}]


def digest(code: str) -> str:
    return hashlib.sha256(json.dumps(shape(ast.parse(code)), sort_keys=True).encode()).hexdigest()[:16]


def found() -> dict[str, dict[str, Any]]:
    """Each version with the digests of its files."""
    folder = ROOT / "pipelines" / "tasks"
    return {
        name: {"version": version, "files": {file: digest((folder / file).read_text("utf-8")) for file in files}}
        for name, (version, files) in RULES.items()
    }


def complaint(name: str, now: dict[str, Any], known: dict[str, Any]) -> str:
    """What to do where files have changed since their digests were written."""
    changed = [file for file, hashed in now["files"].items() if hashed != known["files"].get(file)]
    raised = f"raise {name} if any verdict can change" if now["version"] == known["version"] else f"{name} is raised"
    return f"{', '.join(changed) or name} changed: {raised}; then write the digest anew: {ANEW}"


def test_the_digest_of_the_code_that_judges_is_known() -> None:
    known = json.loads(KNOWN.read_text("utf-8"))
    for name, now in found().items():
        assert now == known[name], complaint(name, now, known[name])


def test_only_code_counts() -> None:
    code = 'def f(x):\n    """Says."""\n    return x\n'
    assert digest(code) == digest("def f(x):  # says\n\n    return (x)")
    assert digest(code) != digest("def f(x):\n    return -x")


def test_a_change_is_told_in_one_line() -> None:
    now, known = {"version": "1", "files": {"a.py": "1", "b.py": "2"}}, {"version": "1", "files": {"a.py": "1"}}
    assert complaint("JUDGE_VERSION", now, known) == (
        "b.py changed: raise JUDGE_VERSION if any verdict can change; then write the digest anew: "
        "python -m tests.pipelines.tasks.test_judge_version"
    )


if __name__ == "__main__":
    Path(KNOWN).write_text(json.dumps(found(), indent=1) + "\n", encoding="utf-8")
