"""Grading a file of answers: one verdict per line, and nothing written where the input is bad."""

from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.cli.grade import grade_file
from tests.pipelines.tasks.test_tasks import DATA, needs_data, read_lines, write_lines


def test_grade_file_gives_one_verdict_per_line_in_order(tmp_path: Path):
    rows = [
        {"id": "a", "gold": "18", "model": {"solution": "Hm.\nA: 18"}},
        {"id": "b", "gold": "18", "model": {"solution": "A: 17"}},
        {"gold": 18, "model": {"solution": None}},
        {"gold": "Work.\n#### 18", "model": {"solution": 18.0}},
        {"gold": "18", "model": {"solution": {"\ud800": 18}}},
    ]
    source = write_lines(tmp_path / "in.jsonl", rows)
    counts = grade_file(source, "gsm8k", "model.solution", "gold", tmp_path / "new" / "out.jsonl")
    assert counts == {"rows": 5, "passed": 2, "failed": 3, "no_answer": 1}
    verdicts = read_lines(tmp_path / "new" / "out.jsonl")
    assert [verdict["status"] for verdict in verdicts] == ["passed", "failed", "failed", "passed", "failed"]
    assert verdicts[1] == {
        "line": 2,
        "id": "b",
        "status": "failed",
        "reason": "wrong_answer",
        "parsed": "17",
        "gold": "18",
    }
    assert verdicts[2]["reason"] == "no_answer"


@pytest.mark.parametrize(
    ("task", "answer", "gold"),
    [
        ("numeric", "so $5", 5),
        ("text", "The answer is Paris.", "paris"),
        ("choice", "(B)", "B"),
        ("reasoning_gym:gsm_symbolic", "The answer is 1,080.", "1080"),
        ("reasoning_gym:gcd", "4", "4"),
        ("reasoning_gym:chain_sum", "The answer is 4.", "4"),
        ("bbh", "So the answer is (B).", "(B)"),
        ("bbh", "The answer is [ ] ( ).", "[ ] ( )"),
        ("extractive_qa", "The answer is the Black Sea.", "Black Sea"),
        ("extractive_qa", "Sea", {"text": ["Black Sea", "sea"], "answer_start": [1, 2]}),
        ("extractive_qa", "unanswerable", []),
        ("nli", "It follows, so the answer is Entailment.", 0),
        ("nli", "neutral", "neutral"),
    ],
)
def test_grade_file_knows_the_tasks(tmp_path: Path, task: str, answer, gold):
    source = write_lines(tmp_path / "in.jsonl", [{"answer": answer, "gold": gold, "metadata": {}}])
    assert grade_file(source, task, "answer", "gold", tmp_path / "out.jsonl")["passed"] == 1


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("gsm9k", {"answer": "1", "gold": "1"}, "unknown task 'gsm9k'"),
        ("numeric", {"answer": "1", "gold": ""}, "in.jsonl:1: no gold answer"),
        ("numeric", {"answer": "1", "gold": "x"}, "in.jsonl:1: the gold answer 'x' is no number"),
        ("numeric", {"gold": "1"}, "in.jsonl:1: no field 'answer'"),
        ("reasoning_gym:chain_sum", {"answer": "1", "gold": "1"}, "in.jsonl:1: no field 'metadata'"),
        ("nli", {"answer": "1", "gold": "maybe"}, "in.jsonl:1: label 'maybe'; expected entailment"),
        ("bbh", {"answer": "1", "gold": ""}, "in.jsonl:1: no gold answer"),
        ("extractive_qa", {"answer": "1", "gold": " "}, "in.jsonl:1: no gold answer"),
    ],
)
def test_grade_file_writes_nothing_for_bad_input(tmp_path: Path, task: str, row: dict, message: str):
    source = write_lines(tmp_path / "in.jsonl", [row])
    with pytest.raises(UsageError, match="^[^\n]+$") as error:
        grade_file(source, task, "answer", "gold", tmp_path / "out.jsonl")
    assert message in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@needs_data
@pytest.mark.parametrize("model", ["6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"])
def test_grading_agrees_with_the_published_labels(tmp_path: Path, model: str):
    source = DATA / "gsm8k_model_solutions/part.jsonl"
    counts = grade_file(source, "gsm8k", f"{model}.solution", "ground_truth", tmp_path / "out.jsonl")
    labels = [row[model]["is_correct"] for row in read_lines(source)]
    assert [verdict["status"] == "passed" for verdict in read_lines(tmp_path / "out.jsonl")] == labels
    assert counts["rows"] == 660
