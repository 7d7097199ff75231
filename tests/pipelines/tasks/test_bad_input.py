"""Bad input of tasks: one line that names the place, what came, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.tasks import load_questions
from tests.pipelines.tasks.test_tasks import questions


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"task": "reasoning_gym:gsm_symbolic", "options": {"templates": [200, 300]}, "size": 2},
            "templates is [200, 300]",
        ),
        ({"task": "reasoning_gym:gsm_symbolic", "options": {"templates": 3}, "size": 2}, "templates is 3; expected"),
        ({"task": "reasoning_gym:gsm_symbolic", "options": {"difficulty": 9}, "size": 2}, "difficulty is 9; expected"),
        ({"task": "gsm9k"}, "unknown task 'gsm9k'; expected"),
        ({"task": "reasoning_gym:gsm_symbolc"}, "did you mean gsm_symbolic"),
        ({"task": "reasoning_gym:gcd", "options": {"size_": 3}}, "size_"),
        ({"task": "reasoning_gym:gcd", "options": {"min_numbers": -1}}, "min_numbers"),
        ({"task": "reasoning_gym:countdown"}, "evaluates the answer as Python"),
        ({"task": "reasoning_gym:rush_hour", "size": 1, "grader": "text"}, "row 0: no gold answer"),
        ({"task": "table"}, "questions.path is missing"),
        ({"task": "table", "path": "/nowhere/rows.jsonl"}, "/nowhere/rows.jsonl: no such file"),
        ({"task": "table", "path": "${NO_SUCH_VARIABLE}/rows.jsonl"}, "NO_SUCH_VARIABLE is not set"),
    ],
)
def test_bad_settings_are_one_clear_line(settings: dict, message: str):
    with pytest.raises(UsageError, match="^[^\n]+$") as error:
        load_questions(questions(**settings))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("", {}, "no rows in it"),
        ('{"question": "a", "answer": "1"}\n{"question": ', {}, "rows.jsonl:2: not valid JSON"),
        ("[" * 100_000, {}, "rows.jsonl:1: not valid JSON"),
        ("[1]\n", {}, "rows.jsonl:1: expected a JSON object, got int"),
        ('\n{"question": "a", "answer": null}', {}, "rows.jsonl:2: no answer in it"),
        ('{"question": " ", "answer": "1"}', {}, "rows.jsonl:1: no question in it"),
        (
            '{"q": {"stem": "a"}, "answer": "1"}',
            {"question_column": "q.text"},
            "rows.jsonl:1: no field 'q.text'; the fields there are: q.stem, answer",
        ),
        ('{"question": "a", "answer": "b"}', {"grader": "numeric"}, "row 1: the gold answer 'b' is no number"),
        ('{"question": "a", "answer": "dog"}', {"grader": "choice"}, "row 1: the gold answer 'dog' names no option"),
        ('{"question": "a", "answer": "72"}', {"task": "gsm8k"}, "rows.jsonl:1: no answer in it; expected a last"),
        (
            '{"question": "a", "choices": ["b"], "answerKey": ""}',
            {"task": "commonsenseqa"},
            "rows.jsonl:1: no gold answer",
        ),
        ('{"question": "a", "answer": ""}', {"task": "svamp"}, "rows.jsonl:1: no answer in it"),
        ('{"question": "a", "answer": "A"}', {"options": {"choices": "answer"}, "grader": "text"}, "no list of texts"),
        ('{"question": "a", "answer": "A", "c": [1, {}]}', {"options": {"choices": "c"}}, None),
        ('{"question": "a", "answer": "A", "c": {"label": ["A"]}}', {"options": {"choices": "c"}}, "no list of texts"),
    ],
)
def test_bad_rows_are_one_clear_line(tmp_path: Path, content: str, settings: dict, message: str | None):
    (tmp_path / "rows.jsonl").write_text(content)
    config = questions(**{"task": "table", "path": str(tmp_path / "rows.jsonl"), **settings})
    if message is None:
        assert load_questions(config).questions
        return
    with pytest.raises(UsageError, match="^[^\n]+$") as error:
        load_questions(config)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.csv", b"question,answer\na,1\nb\n", "rows.csv:3: expected 2 columns"),
        ("rows.csv", b'question,answer\na,"1', "not valid CSV"),
        ("rows.parquet", b"not parquet", "not a Parquet file"),
        ("rows.jsonl", b'{"question": "\xff"}', "cannot be read"),
        ("rows.xlsx", b"?", "unknown kind of file"),
    ],
)
def test_unreadable_files_are_one_clear_line(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match="^[^\n]+$") as error:
        load_questions(questions(task="table", path=str(tmp_path / name)))
    assert message in str(error.value)
