"""Four small runs, one of each recipe, give today what they gave when their results were written down.

Questions, samples, examples and token tables are compared byte by byte, numbers of the report one by one. A change that
means to change them writes them anew: `python -m tests.test_golden`, and says so in the changelog.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from raydistill.actors.retrieval.row_index import RowIndex
from raydistill.pipelines.run import run
from raydistill.pipelines.run_config import Run
from tests import ROOT
from tests.pipelines.recipes.rebase.test_rebase import TARGET
from tests.pipelines.recipes.rebase.test_rebase_run import CANDIDATES, HELD_OUT, ROWS
from tests.pipelines.recipes.tripost.test_tripost import QUESTIONS, recorded
from tests.pipelines.test_run import PROGRAMS
from tests.tiny import write_tiny_encoder, write_tiny_model

GOLDEN = ROOT / "tests" / "data" / "golden.json"
TIMES = {"wall_s", "synthesis_s", "tokens_per_s", "programs_per_s", "grade"}  # what depends on the machine
TRAIN = {"learning_rate": 1e-3, "epochs": 1, "validation_fraction": 0, "max_length": 512, "precision": "float32"}
WAYS = ("Twice {i} is {n}.\nTherefore, the answer is {n}.", "{i} + {i} = {n}\n#### {n}", "None.\nA: 99")


def write_lines(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def teacher(folder: Path, said: list[tuple[str, str]], n: int = 1) -> dict[str, Any]:
    """A teacher that gives these answers to these questions."""
    path = write_lines(folder / "recorded.jsonl", [{"question": q, "completion": c} for q, c in said])
    return {"engine": "recorded", "model": path, "n": n}


def sums(folder: Path, count: int = 12) -> dict[str, Any]:
    rows = [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in range(count)]
    return {"task": "table", "path": write_lines(folder / "questions.jsonl", rows)}


def pad(folder: Path) -> dict[str, Any]:
    """Programs, right and wrong in several ways; repairs of injected faults; what the teacher scores."""
    said = [(f"What is {i} plus {i}?", program.format(i=i)) for i in range(12) for program, _ in PROGRAMS.values()]
    (folder / "held-out").mkdir()
    questions = sums(folder / "held-out", count=3)
    return {
        "questions": sums(folder),
        "teacher": teacher(folder, said, len(PROGRAMS)),
        "recipe": {"recipe": "pad", "max_programs": 2, "refine": {"faults_per_program": 2}},
        "evaluation": {"questions": questions, "models": ["teacher"]},
    }


def mcc_kd(folder: Path) -> dict[str, Any]:
    """Two right rationales and a wrong one; trained in pairs."""
    said = [(f"What is {i} plus {i}?", way.format(i=i, n=2 * i)) for i in range(12) for way in WAYS]
    recipe = {"recipe": "mcc_kd", "rationales": 2, "alpha": 0.5}
    return {"questions": sums(folder), "teacher": teacher(folder, said, len(WAYS)), "recipe": recipe}


def rebase(folder: Path) -> dict[str, Any]:
    """Rows drawn at random, whose order depends on no score; candidates accepted and dropped for every reason."""
    from raydistill.actors.retrieval.encoder import SentenceEncoder
    from raydistill.actors.retrieval.retriever import encoder_id
    from tests.actors.retrieval.test_retriever import fill

    encoder = SentenceEncoder(write_tiny_encoder(folder / "encoder"))
    index = RowIndex.create(str(folder / "rows"), encoder_id(encoder))
    fill(index, "sums", [{"question": asked, "answer": answer} for asked, answer in ROWS.items()], encoder)
    asked = [json.dumps({"question": row, "answer": answer}) for row, answer in ROWS.items()]
    said = [(row, text) for row, texts in zip(asked, CANDIDATES, strict=True) for text in texts]
    held_out = write_lines(folder / "held_out.jsonl", [{"question": HELD_OUT, "answer": "110"}])
    recipe = {
        "recipe": "rebase",
        "target": TARGET,
        "datastore": index.uri,
        "check": "raydistill.demo.target_task:solve",
    }
    return {
        "teacher": teacher(folder, said, 3),
        "recipe": recipe | {"retrieval": "random"},
        "evaluation": {"questions": {"task": "table", "path": held_out}, "models": []},
    }


def tripost(folder: Path) -> dict[str, Any]:
    """One iteration on a recorded model's attempts."""
    from raydistill.pipelines.config.sections import Questions
    from raydistill.pipelines.tasks import load_questions

    said = list(recorded(load_questions(Questions.model_validate(QUESTIONS))))
    recipe = {"recipe": "tripost", "attempts": "teacher", "iterations": 1, "feedback": "both"}
    return {"questions": QUESTIONS, "teacher": teacher(folder, said), "recipe": recipe}


RUNS: dict[str, Callable[[Path], dict[str, Any]]] = {"pad": pad, "mcc_kd": mcc_kd, "rebase": rebase, "tripost": tripost}


def results(name: str, folder: Path) -> dict[str, Any]:
    """What the run of a recipe gives; it is run a second time, which must cost nothing."""
    train = TRAIN | {"student": str(write_tiny_model(folder / "model", seed=0))}
    config = Run.model_validate({"run_dir": str(folder / "run"), "train": train, **RUNS[name](folder)})
    report = run(config)
    again = run(config)
    assert again["resumed"]["new_samples"] == again["resumed"]["new_verdicts"] == 0
    assert again["examples"] == report["examples"] and again["training"] == report["training"]
    root = folder / "run"
    assert "<h2" in (root / "report.html").read_text(encoding="utf-8")
    return {
        "questions": ids(root, "completions", "question_id"),
        "samples": ids(root, "completions", "sample_id"),
        "verdicts": ids(root, "verdicts", "sample_id", "status", "reason", "value"),
        "examples": ids(root, "examples", "id"),
        "example_bytes": digests(root, "examples/*/examples.parquet"),
        "token_bytes": digests(root, "training/*/tokens.parquet"),
        "report": numbers(report, str(folder)),
    }


def ids(root: Path, folder: str, *columns: str) -> list[Any]:
    """How many rows there are under `folder`, and a digest of these columns of all of them."""
    rows = sorted(
        [str(row[column]) for column in columns]
        for path in (root / folder).rglob("*.parquet")
        for row in pq.read_table(path, columns=list(columns)).to_pylist()
    )
    return [len(rows), hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]]


def digests(root: Path, pattern: str) -> list[str]:
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in root.glob(pattern))


def numbers(value: Any, folder: str) -> Any:
    """A report without what depends on the machine and on where the run was."""
    if isinstance(value, Mapping):
        told = {str(key): numbers(item, folder) for key, item in value.items() if key not in TIMES}
        return {"a path" if folder in key else key: item for key, item in told.items()}
    if isinstance(value, list | tuple):
        return [numbers(item, folder) for item in value]
    if isinstance(value, str) and folder in value:
        return "a path"
    return value


def flat(value: Any, place: str = "") -> dict[str, Any]:
    """Every number and text of a nested report by its place in it."""
    if isinstance(value, Mapping | list):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return {key: found for name, item in items for key, found in flat(item, f"{place}.{name}").items()}
    return {place: value}


@pytest.mark.locked
@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_what_it_gave(cluster: None, tmp_path: Path, name: str) -> None:
    found, expected = json.loads(json.dumps(results(name, tmp_path))), json.loads(GOLDEN.read_text())[name]
    report, known = flat(found.pop("report")), flat(expected.pop("report"))
    assert found == expected
    assert report.keys() == known.keys()
    for place, value in known.items():
        near = pytest.approx(value, rel=1e-3) if isinstance(value, float) else value  # losses differ by processor
        assert report[place] == near, place


if __name__ == "__main__":
    from raydistill.pipelines.runtime.pools import connect

    connect(4)
    written = {}
    for recipe in RUNS:
        with tempfile.TemporaryDirectory() as made:
            written[recipe] = results(recipe, Path(made))
    GOLDEN.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
