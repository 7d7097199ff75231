"""Tasks: loading questions from every kind of source, and grading answers to them."""

import json
import os
import pickle
import re
from pathlib import Path
from statistics import median

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.families import reasoning_gym

ROWS = [{"question": "How many eggs?", "answer": 18.0}, {"question": "And bears?", "answer": "1,080"}]


def questions(**settings) -> Questions:
    return Questions(**{"path": None, **settings})


def write_lines(path: Path, rows: list) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Sources


def write_csv(path: Path) -> None:
    path.write_text('question,answer\nHow many eggs?,18\nAnd bears?,"1,080"\n')


def write_parquet(path: Path) -> None:
    import pyarrow
    from pyarrow.parquet import write_table

    write_table(pyarrow.table({"question": ["How many eggs?", "And bears?"], "answer": ["18", "1,080"]}), path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("rows.jsonl", lambda path: write_lines(path, ROWS)),
        ("rows.csv", write_csv),
        ("rows.parquet", write_parquet),
    ],
)
def test_table_reads_each_format_alike(tmp_path: Path, name: str, write):
    write(tmp_path / name)
    loaded = load_questions(questions(task="table", path=str(tmp_path / name)))
    assert [(question.text, question.answer) for question in loaded.questions] == [
        ("How many eggs?", "18"),
        ("And bears?", "1,080"),
    ]
    assert loaded.task.grader == "numeric"
    assert loaded.task.grade("It makes $18.", loaded.questions[0]).status == "passed"


def test_a_dataset_is_loaded_by_its_id(tmp_path: Path, monkeypatch):
    (tmp_path / "owner" / "name").mkdir(parents=True)
    write_lines(tmp_path / "owner" / "name" / "test.jsonl", ROWS[1:])
    monkeypatch.chdir(tmp_path)
    options = {"cache_dir": str(tmp_path / "cache")}
    loaded = load_questions(questions(task="table", path="owner/name", split="test", options=options))
    assert [question.text for question in loaded.questions] == ["And bears?"]
    with pytest.raises(UsageError, match="^owner/name: no split 'train' in this folder; it has test$"):
        load_questions(questions(task="table", path="owner/name", split="train", options=options))


def test_size_takes_the_first_rows_and_variables_in_the_path_are_expanded(tmp_path: Path, monkeypatch):
    write_lines(tmp_path / "rows.jsonl", ROWS)
    monkeypatch.setenv("HERE", str(tmp_path))
    loaded = load_questions(questions(task="table", path="${HERE}/rows.jsonl", size=1))
    assert [question.text for question in loaded.questions] == ["How many eggs?"]


def test_repeated_rows_are_merged_and_reported(tmp_path: Path):
    path = write_lines(tmp_path / "rows.jsonl", [*ROWS, ROWS[0]])
    loaded = load_questions(questions(task="table", path=str(path)))
    assert len({question.id for question in loaded.questions}) == 2
    assert loaded.duplicates == [{"row": 3, "duplicate_of": loaded.questions[0].id}]


@pytest.mark.parametrize(
    "choices",
    [
        [{"label": "A", "text": "ignore"}, {"label": "B", "text": "enforce"}],
        {"label": ["A", "B"], "text": ["ignore", "enforce"]},
        ["ignore", "enforce"],
    ],
)
@pytest.mark.parametrize("gold", ["B", "enforce"])
def test_choices_enter_the_question_and_the_grading(tmp_path: Path, choices, gold: str):
    row = {"question": {"stem": "Punish?", "choices": choices}, "answerKey": gold}
    settings = {"question_column": "question.stem", "answer_column": "answerKey"}
    options = {"choices": "question.choices"}
    path = str(write_lines(tmp_path / "rows.jsonl", [row]))
    loaded = load_questions(questions(task="table", path=path, options=options, **settings))
    question = loaded.questions[0]
    assert question.text == "Punish?\nOptions:\n(A) ignore\n(B) enforce"
    assert loaded.task.grader == "choice"
    for text, status in [("So (B).", "passed"), ("The answer is enforce.", "passed"), ("A", "failed")]:
        assert loaded.task.grade(text, question).status == status


@pytest.mark.parametrize(
    "row",
    [
        {"question": {"stem": "Punish?", "choices": [{"label": "A", "text": "ignore"}, {"label": "B", "text": "end"}]}},
        {"question": "Punish?", "choices": {"label": ["A", "B"], "text": ["ignore", "end"]}},
    ],
)
def test_commonsenseqa_as_published_and_as_on_the_hub(tmp_path: Path, row: dict):
    path = str(write_lines(tmp_path / "rows.jsonl", [row | {"answerKey": "B"}]))
    loaded = load_questions(questions(task="commonsenseqa", path=path))
    question = loaded.questions[0]
    assert question.text == "Punish?\nOptions:\n(A) ignore\n(B) end"
    assert question.meta["choices"] == {"A": "ignore", "B": "end"}
    assert loaded.task.grade("Therefore, the answer is B.", question).status == "passed"
    assert loaded.task.grade("Therefore, the answer is A.", question).parsed == "A"


@pytest.mark.parametrize(
    "row",
    [
        {"Body": "Each pack costs 76 dollars", "Question": "How much are two?", "Answer": "152.0", "ID": "chal-1"},
        {"Body": "Each pack costs 76 dollars.", "Question": "How much are two?", "Answer": 152},
        {"question": "Each pack costs 76 dollars. How much are two?", "answer": 152.0},
    ],
)
def test_svamp_joins_body_and_question(tmp_path: Path, row: dict):
    loaded = load_questions(questions(task="svamp", path=str(write_lines(tmp_path / "rows.jsonl", [row]))))
    question = loaded.questions[0]
    assert (question.text, question.answer) == ("Each pack costs 76 dollars. How much are two?", "152")
    assert loaded.task.grade("Two cost 152.", question).status == "passed"


def test_gsm8k_takes_the_label_and_keeps_the_rationale(tmp_path: Path):
    rows = [
        {"question": "Clips?", "answer": "48/2 = <<48/2=24>>24\nIn all 72.\n#### 72"},
        {"question": "Ducks?", "answer": "She sells 9.\nA: 18"},
    ]
    loaded = load_questions(questions(task="gsm8k", path=str(write_lines(tmp_path / "rows.jsonl", rows))))
    assert [question.answer for question in loaded.questions] == ["72", "18"]
    assert loaded.questions[0].meta == {"row": 1, "rationale": "48/2 = <<48/2=24>>24\nIn all 72."}


@pytest.mark.parametrize(
    ("value", "status", "reason", "parsed"),
    [
        (72, "passed", "ok", "72"),
        (72.0, "passed", "ok", "72"),
        ("72 clips", "passed", "ok", "72"),
        ("The answer is 72.", "passed", "ok", "72"),
        ("The answer is 71.", "failed", "wrong_answer", "71"),
        (True, "failed", "wrong_answer", "True"),
        (float("nan"), "failed", "wrong_answer", "nan"),
        ([72], "failed", "wrong_answer", "[72]"),
        ("I do not know", "failed", "no_answer", ""),
        ("", "failed", "no_answer", ""),
        (None, "failed", "no_answer", ""),
    ],
)
def test_grades_of_values_and_texts(tmp_path: Path, value, status: str, reason: str, parsed: str):
    path = write_lines(tmp_path / "rows.jsonl", [{"question": "Clips?", "answer": "#### 72"}])
    loaded = load_questions(questions(task="gsm8k", path=str(path)))
    grade = loaded.task.grade(value, loaded.questions[0])
    assert (grade.status, grade.reason, grade.parsed) == (status, reason, parsed)


# reasoning-gym


def test_gsm_symbolic_questions_are_reproducible_and_know_their_template():
    first = load_questions(questions(task="reasoning_gym:gsm_symbolic", size=40, seed=11))
    again = load_questions(questions(task="reasoning_gym:gsm_symbolic", size=20, seed=11))
    assert [question.id for question in again.questions] == [question.id for question in first.questions[:20]]
    assert first.task.grader == "numeric"
    assert len({question.meta["template"] for question in first.questions}) > 20
    for question in first.questions:
        assert "final answer" not in question.text
        assert (
            first.task.grade(question.meta["rationale"] + f"\nThe answer is {question.answer}.", question).reason
            == "ok"
        )
    json.dumps([question.meta for question in first.questions])


@pytest.mark.parametrize(
    ("task", "grader"),
    [
        ("gcd", "numeric"),
        ("caesar_cipher", "text"),
        ("chain_sum", "reasoning_gym"),
        ("spiral_matrix", "text"),
        ("game_of_life_halting", "text"),
        ("coin_flip", "numeric"),
        ("sudoku", "reasoning_gym"),
    ],
)
def test_each_family_accepts_its_own_gold_answer(task: str, grader: str):
    loaded = load_questions(questions(task=f"reasoning_gym:{task}", size=3, seed=5))
    assert loaded.task.grader == grader
    for question in loaded.questions:
        for text in (question.answer, f"<think>hm</think>So:\n<answer>{question.answer}</answer>"):
            assert loaded.task.grade(text, question).status == "passed"
        assert loaded.task.grade("The answer is never.", question).status == "failed"


def test_own_scorer_takes_numbers_and_travels_to_workers():
    loaded = load_questions(questions(task="reasoning_gym:chain_sum", size=2))
    task, question = pickle.loads(pickle.dumps((loaded.task, loaded.questions[1])))
    assert task.grade(float(question.answer), question).status == "passed"
    assert task.grade(float(question.answer) + 1, question).status == "failed"


def test_several_right_answers_pass_where_the_family_has_them():
    loaded = load_questions(questions(task="reasoning_gym:graph_color", size=1))
    question = loaded.questions[0]
    coloring = loaded.task.dataset[0]["metadata"]["possible_answer"]
    swapped = {vertex: {1: 2, 2: 1}.get(color, color) for vertex, color in coloring.items()}
    for answer in (coloring, swapped):
        assert loaded.task.grade(json.dumps(answer), question).status == "passed"


def test_no_scorer_in_use_runs_or_accepts_hostile_text(monkeypatch):
    from reasoning_gym.factory import DATASETS

    monkeypatch.delenv("RAYDISTILL_ESCAPED", raising=False)
    attack = "__import__('os').environ.setdefault('RAYDISTILL_ESCAPED', 'yes')"
    slow = {"arc_agi", "group_anagrams", "knight_swap", "quantum_lock"}  # up to a second for an entry
    names = [f"reasoning_gym:{family}" for family in DATASETS.keys() - reasoning_gym.REFUSED - slow]
    scored = [name for name in names if reasoning_gym.grader_of(name) == "reasoning_gym"]
    for name in scored:
        task = reasoning_gym.ScoredTask(name, reasoning_gym.open_dataset(name, size=1))
        entry = task.dataset[0]
        for text in (attack, f"[{attack}]", f"<answer>[[{attack}]]</answer>", f"{{'a': {attack}}}"):
            assert task.grade_entry(text, entry).status == "failed", name
    assert len(scored) > 50
    assert "RAYDISTILL_ESCAPED" not in os.environ


def test_templates_of_gsm_symbolic_can_be_held_out():
    def load(templates: list[int] | None, size: int = 60) -> list:
        options = {"templates": templates} if templates else {}
        return load_questions(
            questions(task="reasoning_gym:gsm_symbolic", size=size, seed=7, options=options)
        ).questions

    known, held_out = load([0, 69]), load([70, 99])
    assert len(known) == len(held_out) == 60
    numbers = {question.meta["template"]: int(question.meta["template"].partition("/")[2]) for question in [*known]}
    assert max(numbers.values()) <= 69
    assert min(int(question.meta["template"].partition("/")[2]) for question in held_out) >= 70
    everything = {question.id for question in load(None, size=90)}
    assert {question.id for question in known[:40]} < everything


def test_gsm_symbolic_has_larger_numbers_at_a_higher_difficulty():
    def load(difficulty: float) -> list:
        options = {"templates": [0, 69], "difficulty": difficulty}
        return load_questions(questions(task="reasoning_gym:gsm_symbolic", size=80, seed=7, options=options)).questions

    def largest(asked: list) -> float:
        return median(max(float(number) for number in re.findall(r"\d+", question.text)) for question in asked)

    plain, harder = load(1), load(2)
    assert len(harder) == 80 and largest(harder) > 1.4 * largest(plain)
    assert {question.meta["template"] for question in harder} <= {f"gsm_symbolic/{number}" for number in range(70)}
    assert all(str(question.answer) in question.meta["rationale"].replace(",", "") for question in harder)


# Real data, found by the environment variable RAYDISTILL_DATA

DATA = Path(os.environ.get("RAYDISTILL_DATA", "."))
needs_data = pytest.mark.skipif("RAYDISTILL_DATA" not in os.environ, reason="RAYDISTILL_DATA is not set")


@needs_data
@pytest.mark.parametrize(
    ("task", "file", "grader", "count", "duplicates"),
    [
        ("gsm8k", "gsm8k/train.jsonl", "numeric", 7473, 0),
        ("svamp", "svamp/train.jsonl", "numeric", 700, 0),
        ("table", "multiarith/all.jsonl", "numeric", 580, 20),
        ("table", "strategyqa/train.jsonl", "text", 2060, 1),
        ("table", "bbh/word_sorting.jsonl", "text", 125, 0),
        ("table", "bbh/multistep_arithmetic_two.jsonl", "numeric", 125, 0),
        ("table", "bbh/object_counting.jsonl", "numeric", 125, 0),
        ("table", "bbh/date_understanding.jsonl", "choice", 125, 0),
        ("table", "bbh/logical_deduction_three_objects.jsonl", "choice", 125, 0),
        ("table", "bbh/logical_deduction_five_objects.jsonl", "choice", 125, 0),
    ],
)
def test_real_questions_load_and_accept_their_gold_answers(task, file, grader, count, duplicates):
    loaded = load_questions(questions(task=task, path=str(DATA / file)))
    assert (loaded.task.grader, len(loaded.questions), len(loaded.duplicates)) == (grader, count, duplicates)
    for question in loaded.questions[:200]:
        assert loaded.task.grade(f"I think.\nThe answer is {question.answer}.", question).status == "passed"


@needs_data
def test_commonsenseqa_is_multiple_choice():
    loaded = load_questions(questions(task="commonsenseqa", path=str(DATA / "commonsenseqa/train.jsonl")))
    assert (loaded.task.grader, len(loaded.questions)) == ("choice", 9741)
    question = loaded.questions[0]
    assert loaded.task.grade(question.meta["choices"][question.answer], question).status == "passed"
