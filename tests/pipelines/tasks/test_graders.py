"""The tasks that ReBase was evaluated on: extractive questions (SQuAD), inference (MNLI), BIG-Bench Hard."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.tasks import LoadedQuestions, load_questions
from raydistill.pipelines.tasks.families.bbh import target_kind
from raydistill.pipelines.tasks.families.extractive_qa import ExtractiveTask, exact_match, f1, normalise
from raydistill.pipelines.tasks.families.nli import stated_label

DATA = os.environ.get("RAYDISTILL_DATA", "")
needs_data = pytest.mark.skipif(not DATA, reason="needs RAYDISTILL_DATA")


def load(task: str, path: Path | str, **settings: object) -> LoadedQuestions:
    return load_questions(Questions(task=task, path=str(path), **settings))


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


# Extractive question answering


@pytest.mark.parametrize(
    ("answer", "golds", "match", "overlap"),
    [
        ("The Denver Broncos!", ["Denver Broncos"], True, 1.0),
        ("the broncos of Denver", ["Denver Broncos"], False, 0.8),
        ("Denver", ["Carolina Panthers", "Denver Broncos"], False, 2 / 3),
        ("Anna's theatre", ["annas theatre"], True, 1.0),  # punctuation leaves no blank; articles are whole words
        ("24–10", ["24-10"], False, 0.0),  # only ASCII punctuation is removed
        ("to to to", ["to be"], False, 0.4),
        ("a the", ["!"], True, 1.0),
        ("a the", ["Denver"], False, 0.0),
    ],
)
def test_squad_scores_are_the_official_ones(answer: str, golds: list[str], match: bool, overlap: float) -> None:
    assert exact_match(answer, golds) is match
    assert f1(answer, golds) == pytest.approx(overlap)


def test_squad_normal_form() -> None:
    assert normalise(" The  U.S. and an  Other\tone ") == "us and other one"


@pytest.mark.parametrize(
    "answers",
    [{"answers": {"text": ["Denver", "Denver", "in Denver"], "answer_start": [1, 1, 2]}}, {"answer": "Denver"}],
)
def test_squad_rows_as_published_and_with_one_answer(tmp_path: Path, answers: dict) -> None:
    loaded = load(
        "extractive_qa", write(tmp_path / "a.jsonl", {"context": "In Denver.", "question": "Where?"} | answers)
    )
    [question], task = loaded.questions, loaded.task
    assert question.text == "In Denver.\n\nQuestion: Where?" and question.answer == "Denver"
    assert task.grade("It says so, so the answer is the Denver.", question).status == "passed"
    assert task.grade("Carolina", question).reason == "wrong_answer"
    assert task.grade("", question).reason == task.grade(None, question).reason == "no_answer"
    assert task.grade("in Denver", question).status == ("passed" if "answers" in answers else "failed")
    assert isinstance(task, ExtractiveTask)
    assert task.f1("The answer is downtown Denver.", question) == pytest.approx(2 / 3)
    assert task.f1(None, question) == 0


def test_squad_without_an_answer_in_the_text(tmp_path: Path) -> None:
    row = {"context": "In Denver.", "question": "Who?", "answers": {"text": [], "answer_start": []}}
    loaded = load("extractive_qa", write(tmp_path / "a.jsonl", row))
    assert loaded.task.grade("Unanswerable.", loaded.questions[0]).status == "passed"
    with pytest.raises(UsageError, match="a.jsonl:1: no context in it"):
        load("extractive_qa", write(tmp_path / "a.jsonl", row | {"context": ""}))


@needs_data
def test_xquad_answers_pass_and_other_questions_answers_do_not() -> None:
    loaded = load("extractive_qa", "${RAYDISTILL_DATA}/xquad_en/part.jsonl")
    questions = loaded.questions
    assert len(questions) + len(loaded.duplicates) == 700
    assert all(loaded.task.grade(question.answer, question).status == "passed" for question in questions)
    others = [loaded.task.grade(questions[i - 1].answer, question) for i, question in enumerate(questions)]
    assert sum(grade.status == "passed" for grade in others) < 7


# Inference


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("neutral", "neutral"),
        ("The premise says nothing of it, so the answer is Neutral.", "neutral"),
        ("It could be entailment or neutral. Therefore, the answer is entailment.", "entailment"),
        ("The hypothesis contradicts the premise.", "contradiction"),
        ("not neutral but entailed", "entailment"),
        ("Either entailment or neutral.", None),
        ("I do not know.", None),
    ],
)
def test_the_label_that_a_text_states(text: str, label: str | None) -> None:
    assert stated_label(text) == label


def test_inference_rows_by_name_and_by_id(tmp_path: Path) -> None:
    pair = {"premise": "A man eats.", "hypothesis": "Someone eats."}
    labels = ["entailment", 0, 1, "Contradiction", -1, "-"]
    path = write(
        tmp_path / "a.jsonl", *({**pair, "premise": f"{i} men eat.", "label": x} for i, x in enumerate(labels))
    )
    loaded = load("nli", path)
    assert [question.answer for question in loaded.questions] == [
        "entailment",
        "entailment",
        "neutral",
        "contradiction",
    ]
    assert loaded.task.grade("Entailment", loaded.questions[0]).status == "passed"
    assert loaded.task.grade("neutral", loaded.questions[0]).reason == "wrong_answer"
    assert loaded.task.grade("maybe", loaded.questions[0]).reason == "no_answer"
    with pytest.raises(UsageError, match="label 'maybe'; expected entailment"):
        load("nli", write(tmp_path / "b.jsonl", pair | {"label": "maybe"}))


@needs_data
def test_mnli_is_read() -> None:
    labels = [question.answer for question in load("nli", "${RAYDISTILL_DATA}/mnli/part.jsonl").questions]
    assert len(labels) > 4_900 and set(labels) == {"entailment", "neutral", "contradiction"}


# BIG-Bench Hard


@pytest.mark.parametrize(
    ("target", "kind", "right", "wrong"),
    [
        ("(B)", "choice", "So the answer is (B).", "So the answer is (A)."),
        ("24", "numeric", "The answer is 24.0", "The answer is 42"),
        ("] ) >", "text", "So the answer is ] ) >.", "So the answer is ] >."),
        ("the barn damp", "text", "the barn damp", "barn the damp"),
        ("the barn damp", "text", "The answer is the barn damp.", "The answer is barn damp."),
        ("Yes", "text", "So the answer is yes.", "No"),
    ],
)
def test_bbh_judges_by_the_form_of_the_target(tmp_path: Path, target: str, kind: str, right: str, wrong: str) -> None:
    loaded = load("bbh", write(tmp_path / "a.jsonl", {"input": "What?\nOptions:\n(A) x\n(B) y", "target": target}))
    assert target_kind(target) == kind
    assert loaded.task.grade(right, loaded.questions[0]).status == "passed"
    assert loaded.task.grade(wrong, loaded.questions[0]).reason == "wrong_answer"
    assert loaded.task.grade(None, loaded.questions[0]).reason == "no_answer"


def test_bbh_reads_the_repositorys_own_files(tmp_path: Path) -> None:
    published = {
        "canary": "...",
        "examples": [{"input": "1 + 1 =", "target": "2"}, {"input": "1 + 2 =", "target": "3"}],
    }
    (tmp_path / "task.json").write_text(json.dumps(published, indent=2))
    assert [question.answer for question in load("bbh", tmp_path / "task.json").questions] == ["2", "3"]
    assert len(load("bbh", tmp_path / "task.json", size=1).questions) == 1
    with pytest.raises(UsageError, match="questions.path is missing"):
        load_questions(Questions(task="bbh"))


@needs_data
@pytest.mark.parametrize("name", ["word_sorting", "date_understanding", "multistep_arithmetic_two"])
def test_bbh_targets_pass(name: str) -> None:
    loaded = load("bbh", f"${{RAYDISTILL_DATA}}/bbh/{name}.jsonl")
    assert loaded.questions
    for question in loaded.questions:
        assert loaded.task.grade(f"So the answer is {question.answer}.", question).status == "passed", question
