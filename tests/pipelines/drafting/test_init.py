"""`raydistill init`: a configuration for each kind of file that people have, which loads as it stands."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raydistill.pipelines.cli.app import main
from raydistill.pipelines.run_config import Run, load_config
from raydistill.pipelines.tasks import load_questions
from tests.rows import write_rows

TEXTS = ("the Nile", "Rome", "Ada Lovelace", "a kind of fish")
PROGRAM = "def solution():\n    return {i} + 1"


def numbers(i: int) -> dict[str, Any]:
    return {"question": f"What is {i} plus 1?", "answer": i + 1}


KINDS: dict[str, tuple[Any, str]] = {
    "number": (numbers, "program"),
    "expression": (lambda i: {"problem": f"Expand {i}(x + 1).", "solution": f"$ {i}x + {i} $"}, "program"),
    "option": (
        lambda i: {"question": f"Which is {i}?", "choices": [f"not {i}", f"{i}!"], "answer": i % 2},
        "rationale",
    ),
    "yes or no": (lambda i: {"input": f"Is {i} even?", "output": ("yes", "no")[i % 2]}, "rationale"),
    "text": (lambda i: {"question": f"Riddle {i}?", "answer": f"{TEXTS[i % 4]} {'abcdefghij'[i % 10]}"}, "rationale"),
    "program": (lambda i: {"question": f"Write {i}.", "answer": PROGRAM.format(i=i)}, "program"),
    "several": (lambda i: {"question": f"{i}?", "answer": str(i) if i % 3 else TEXTS[i % 4]}, "program"),
}


def init(*arguments: str) -> None:
    sys.argv = ["raydistill", "init", *arguments]
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0


def written(folder: Path, rows: list[dict[str, Any]], *arguments: str, name: str = "mine.jsonl") -> Run:
    write_rows(folder / name, rows)
    init(name, *arguments)
    return load_config(folder / "mine.yaml")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_gold_gets_a_configuration_that_loads(
    here: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    make, target = KINDS[kind]
    config = written(here, [make(i) for i in range(40)])
    assert config.recipe.model_dump()["target"] == target and config.run_dir == "runs/mine"
    assert config.questions and len(load_questions(config.questions).questions) == 40
    said = capsys.readouterr().out
    assert kind in said or kind == "several" and "number" in said and "text" in said
    for command in ("doctor", "plan", "run"):
        assert f"raydistill {command} mine.yaml" in said
    if kind == "program":
        assert config.teacher.completion_column == "answer" and config.evaluation is None
    else:
        assert config.evaluation and config.evaluation.questions.size == 20 and config.budget.money == 5


def test_worked_solutions_are_read_as_gsm8k(here: Path) -> None:
    rows = [{"question": f"{i} + 1?", "answer": f"It is {i} + 1.\n#### {i + 1}"} for i in range(30)]
    config = written(here, rows)
    assert config.questions and config.questions.task == "gsm8k"
    assert [one.answer for one in load_questions(config.questions).questions][:3] == ["1", "2", "3"]


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_any_file_of_rows_will_do(here: Path, suffix: str) -> None:
    rows = [numbers(i) for i in range(30)]
    path = here / f"mine.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps(rows))
    elif suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, ["question", "answer"])
            table.writeheader()
            table.writerows(rows)
    init(path.name)
    config = load_config("mine.yaml")
    assert config.questions and load_questions(config.questions).task.grader == "numeric"


def test_completions_stand_in_for_a_teacher(here: Path) -> None:
    rows = [{"question": f"{i}?", "completion": "1"} for i in range(3)]
    write_rows(here / "said.jsonl", rows)
    config = written(here, [numbers(i) for i in range(30)], "--recording", "said.jsonl", "--student", "gpt/x")
    assert config.teacher.engine == "recorded" and config.teacher.completion_column == "completion"
    assert config.train and config.train.student == "gpt/x" and config.budget.money is None


def test_columns_may_be_named(here: Path) -> None:
    rows = [{"frage": f"{i} + 1?", "loesung": i + 1} for i in range(30)]
    config = written(here, rows, "--question-column", "frage", "--answer-column", "loesung")
    assert config.questions and config.questions.question_column == "frage"


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        ([{"frage": "1?", "answer": "1"}], [], "which column holds the question? It has frage, answer"),
        ([{"question": "1?", "b": "1"}], [], "say --answer-column NAME"),
        ([{"question": "1?", "answer": "1"}], ["--answer-column", "x"], "--answer-column x: mine.jsonl has no such"),
        ([{"question": "1?", "answer": ""}], [], "mine.jsonl:1: no answer in it"),
        ([{"question": "1?", "answer": "1"}], ["--out", "there.yaml"], "there.yaml is there already"),
        ([{"question": "1?", "answer": "1"}], ["--recording", "none.jsonl"], "none.jsonl: no such file"),
        ([{"question": "1?", "answer": "1"}], ["--recording", "mine.jsonl"], "which columns hold questions and"),
        ([], [], "mine.jsonl: no rows in it"),
    ],
)
def test_what_cannot_be_told_is_one_line_and_nothing_is_written(
    here: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], arguments: list[str], message: str
) -> None:
    (here / "there.yaml").write_text("kept: true\n")
    write_rows(here / "mine.jsonl", rows)
    sys.argv = ["raydistill", "init", "mine.jsonl", *arguments]
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1, said
    assert not (here / "mine.yaml").exists() and (here / "there.yaml").read_text() == "kept: true\n"
