"""What a published student says of itself: the task that judged in its run judges in the service, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.models import publish_student
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks import load_questions, task_for
from raydistill.serve.engines.config import ends_of_turns
from raydistill.serve.student import Student, find_student

ROWS = {"numbers": "1,080", "letters": "(B)", "words": "the desert"}


def published(folder: Path, questions: dict[str, Any], *, resolved: bool = True) -> Path:
    """A run directory with a student that was trained on these questions."""
    config = Run.model_validate(
        {"run_dir": str(folder), "questions": questions, "teacher": {"engine": "recorded", "model": "x"}}
    )
    trained = folder / "trained"
    trained.mkdir()
    (trained / "config.json").write_text("{}")
    given = Questions.model_validate(questions)
    task = load_questions(given).task if resolved else task_for("table", "text")
    publish_student(config, given, task, str(trained), str(folder))
    if not resolved:  # as students were published before
        noted = json.loads((folder / "student" / "raydistill.json").read_text())
        del noted["judge"]
        (folder / "student" / "raydistill.json").write_text(json.dumps(noted))
    return folder


@pytest.mark.parametrize("name", ROWS)
def test_the_grader_that_a_table_is_given_is_published(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"question": "What?", "answer": ROWS[name]}) + "\n")
    questions = {"task": "table", "path": str(path)}
    run = published(tmp_path, questions)
    noted = json.loads((run / "student" / "raydistill.json").read_text())
    kind = {"numbers": "numeric", "letters": "choice", "words": "text"}[name]
    assert noted["judge"] == {"task": "table", "grader": kind} and noted["questions"]["grader"] == "auto"
    assert find_student(str(run)).task == load_questions(Questions.model_validate(questions)).task


@pytest.mark.parametrize("name", ["stepwise:word_sorting", "reasoning_gym:gsm_symbolic", "reasoning_gym:chain_sum"])
def test_tasks_are_made_again_without_their_questions(tmp_path: Path, name: str) -> None:
    questions = {"task": name, "size": 2}
    task = load_questions(Questions.model_validate(questions)).task
    found = find_student(str(published(tmp_path, questions))).task
    assert (type(found), found.name, found.grader) == (type(task), task.name, task.grader)
    assert found.read("So the answer is 5.") == "5"


@pytest.mark.parametrize(
    ("questions", "grader"),
    [
        ({"task": "table", "path": "x.jsonl"}, "text"),
        ({"task": "table", "path": "x.jsonl", "grader": "numeric"}, "numeric"),
        ({"task": "gsm8k"}, "numeric"),
        ({"task": "commonsenseqa"}, "choice"),
        ({"task": "extractive_qa"}, "squad"),
        ({"task": "reasoning_gym:gsm_symbolic"}, "numeric"),
    ],
)
def test_students_published_without_it_are_judged_by_their_configuration(
    tmp_path: Path, questions: dict[str, Any], grader: str
) -> None:
    run = published(tmp_path, questions, resolved=False)
    assert find_student(str(run)).task.grader == grader


def test_an_unknown_grader_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match="^task table: unknown grader 'form'; expected one of numeric[^\n]+$"):
        task_for("table", "form")


def test_an_adapter_is_served_with_the_ends_of_turns_that_it_came_with(tmp_path: Path) -> None:
    bare = Student("student", "base", str(tmp_path), adapter=str(tmp_path))
    assert ends_of_turns(bare) == "vllm"
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 5]}')
    assert ends_of_turns(bare) == str(tmp_path)
    assert ends_of_turns(Student("student", str(tmp_path), str(tmp_path))) == "vllm"
