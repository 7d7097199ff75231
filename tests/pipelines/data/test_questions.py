"""Questions in Arrow columns: the same sequence as a list of them."""

import pickle

import pytest

from raydistill.pipelines.data import questions as question_table
from raydistill.pipelines.data.questions import QuestionTable
from raydistill.pipelines.data.records import Question


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    monkeypatch.setattr(question_table, "QUESTIONS_PER_CHUNK", 3)
    made = [Question.make("sums", f"{n} and 1?", str(n + 1), row=n) for n in range(10)]
    return [*made, Question.make("odd", "Wie süß? \ud800 \x00", "", choices={"A": "ja"}), Question("bare", "", "")]


def test_a_table_is_the_sequence_that_it_was_made_of(questions: list[Question]) -> None:
    table = QuestionTable(iter(questions))
    assert [*table] == questions and len(table) == 12
    assert [*pickle.loads(pickle.dumps(table))] == questions


@pytest.mark.parametrize("at", [0, 4, 11, -1, slice(2, 7), slice(9, 40), slice(None), slice(5, 5), slice(1, 9, 3)])
def test_places_and_slices_are_those_of_a_list(questions: list[Question], at: int | slice) -> None:
    assert QuestionTable(questions)[at] == questions[at]


def test_an_empty_table_is_false_and_a_place_behind_the_end_an_error(questions: list[Question]) -> None:
    assert not QuestionTable() and [*QuestionTable()] == []
    with pytest.raises(IndexError):
        QuestionTable(questions)[12]
