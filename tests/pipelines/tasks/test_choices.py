"""Gold labels of multiple choice as tables have them: letters, indices of either base, texts; options in every form."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.tasks import LoadedQuestions, load_questions
from raydistill.pipelines.tasks.choices import IndexedGolds, gold_option, read_choices
from raydistill.pipelines.tasks.golds import overview

RED = ["red", "blue", "green"]


def load(tmp_path: Path, *rows: dict[str, Any], **options: Any) -> LoadedQuestions:
    path = tmp_path / "rows.jsonl"
    numbered = [{"question": f"Question {number}?", **row} for number, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in numbered), encoding="utf-8")
    if any("choices" in row for row in rows):
        options = {"choices": "choices", **options}
    return load_questions(Questions(task="table", path=str(path), options=options))


def golds(loaded: LoadedQuestions) -> list[str]:
    return [question.answer for question in loaded.questions]


@pytest.mark.parametrize(
    ("answers", "letters"),
    [
        ((0, 1, 2), "ABC"),
        (("0", "2"), "AC"),
        (("3", "1"), "CA"),
        ((3, 1), "CA"),
        ((1, 2), "BC"),  # JSON integers alone, as every hub has them
        (("B", "a", "(c)"), "BAC"),
    ],
)
def test_the_table_tells_what_indices_count_from(tmp_path: Path, answers: tuple[Any, ...], letters: str) -> None:
    loaded = load(tmp_path, *({"choices": RED, "answer": answer} for answer in answers))
    assert golds(loaded) == list(letters) or [gold.strip("()").upper() for gold in golds(loaded)] == list(letters)
    assert loaded.task.grader == "choice"
    for question, letter in zip(loaded.questions, letters, strict=True):
        right = RED["ABC".index(letter)]
        assert (
            loaded.task.grade(right, question).status == loaded.task.grade(f"({letter})", question).status == "passed"
        )
        assert loaded.task.grade(RED["ABC".index(letter) - 1], question).status == "failed"


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([(RED, "0"), (RED, "3")], "counts options from 0"),
        ([(RED, "1"), (RED, "2")], "nothing tells"),
        ([(["1", "2", "3"], "2")], "may be an option's text or its index"),
        ([(RED, "7")], "no option and no index"),
    ],
)
def test_what_the_table_does_not_tell_is_asked_for(tmp_path: Path, rows: list[Any], complaint: str) -> None:
    made = [{"choices": choices, "answer": answer} for choices, answer in rows]
    with pytest.raises(UsageError, match=rf"rows.jsonl:\d: .*{complaint}|rows.jsonl:\d {complaint}") as failure:
        load(tmp_path, *made)
    assert "questions.options.index_base" in str(failure.value) and "\n" not in str(failure.value)


def test_the_setting_decides(tmp_path: Path) -> None:
    digits = {"choices": ["1", "2", "3"], "answer": "2"}
    assert golds(load(tmp_path, digits, index_base=0)) == ["C"]
    assert golds(load(tmp_path, digits, index_base=1)) == ["B"]
    loaded = load(tmp_path, digits, index_base="text")
    assert loaded.task.grade(2, loaded.questions[0]).status == "passed"
    with pytest.raises(UsageError, match="index_base is 2; expected 0, 1, or text"):
        load(tmp_path, digits, index_base=2)
    with pytest.raises(UsageError, match="the gold label 0 is no index of its 3 options from 1 on"):
        load(tmp_path, digits | {"answer": "0"}, index_base=1)


def test_numbers_that_only_texts_can_be_are_texts(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"choices": ["21", "22", "23"], "answer": "22"})
    assert loaded.task.grade("B", loaded.questions[0]).status == "passed"
    assert loaded.task.grade(22.0, loaded.questions[0]).status == "passed"


@pytest.mark.parametrize(
    "choices",
    [
        ["red", "blue"],
        ["A)red", "B)blue"],
        ["A. red", "B. blue"],
        ["(a) red", "(b) blue"],
        ["1) red", "2) blue"],
        {"label": ["A", "B"], "text": ["red", "blue"]},
        {"label": ["a", "b"], "text": ["red", "blue"]},
        {"label": ["1", "2"], "text": ["red", "blue"]},
        {"label": [1, 2], "text": ["red", "blue"]},
        [{"label": "A", "text": "red"}, {"label": "B", "text": "blue"}],
    ],
)
def test_options_in_every_form(tmp_path: Path, choices: Any) -> None:
    read, labels = read_choices(choices, "row 1")
    assert read == {"A": "red", "B": "blue"}
    label = [*labels][1] if labels else "B"
    loaded = load(
        tmp_path, {"choices": choices, "answer": label}, {"choices": choices, "answer": "A" if "A" in labels else "red"}
    )
    assert "(B) blue" in loaded.questions[0].text
    assert [loaded.task.grade(value, loaded.questions[0]).status for value in ("blue", "B", "(b)", "red")] == [
        "passed", "passed", "passed", "failed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "choices", [[], "a ) 3 , b ) 4", {"label": ["A"]}, None, 3, {"label": ["A"], "text": ["x", "y"]}]
)
def test_what_is_no_list_of_options_is_refused(choices: Any) -> None:
    with pytest.raises(UsageError, match="row 1: the choices are no list of texts or of label and text"):
        read_choices(choices, "row 1")


@given(st.integers(2, 10), st.integers(0, 1), st.lists(st.integers(0, 9), min_size=1, max_size=20), st.booleans())
@settings(deadline=None)
def test_any_table_with_its_first_and_last_index_is_read_by_its_base(
    size: int, base: int, places: list[int], text: bool
) -> None:
    choices = {"ABCDEFGHIJ"[place]: f"option {'xyzuvwrstq'[place]}" for place in range(size)}
    places = [place % size for place in places] + [0, size - 1]
    indices, labels = IndexedGolds(), dict[str, str]()
    written = [str(place + base) if text else place + base for place in places]
    for number, gold in enumerate(written):
        indices.note(gold, choices, labels, f"row {number}")
    read = [gold_option(gold, choices, labels, indices.base(), "row") for gold in written]
    assert read == ["ABCDEFGHIJ"[place] for place in places]


@pytest.mark.parametrize(
    ("answers", "read"),
    [
        (("29,50 €", "1.234"), ["29,50 €", "1,234"]),  # so that 1.234 is a thousand
        (("1.234.567", "2,500"), ["1.234.567", "2.500"]),
        (("1,234", "5"), ["1,234", "5"]),
        (("1,234", "5.25"), ["1,234", "5.25"]),
    ],
)
def test_separators_that_fit_two_conventions_are_read_as_the_others_are(
    tmp_path: Path, answers: tuple[str, ...], read: list[str]
) -> None:
    assert golds(load(tmp_path, *({"answer": answer} for answer in answers))) == read


def test_two_conventions_in_one_table_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"rows.jsonl:1 writes a number with a decimal comma, .*:2 one with a decimal point"
    ):
        load(tmp_path, {"answer": "29,50"}, {"answer": "3.5"})


def test_one_odd_gold_label_changes_nothing_and_is_told(tmp_path: Path) -> None:
    answers = ["0.5", 1, "1.5", 2.0, "$3", "12:30", "4 km", "5", "red"]
    loaded = load(tmp_path, *({"answer": answer} for answer in answers))
    assert loaded.task.grader == "numeric"
    values: list[Any] = [0.5, 1.0, 1.5, 2, 3.0, "12:30", 4.0, 5.0, "Red."]
    assert {loaded.task.grade(v, q).status for v, q in zip(values, loaded.questions, strict=True)} == {"passed"}
    assert overview(loaded) == (
        "judged as numeric; gold labels: 7 number, 1 time, 1 words; by their own form: '12:30' (row 6), 'red' (row 9)"
    )


def test_no_gold_label_at_all_is_named_by_its_row(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rows.jsonl:1: no gold answer, but 'nan'"):
        load(tmp_path, {"answer": math.nan}, {"answer": 5})


def test_expressions_are_judged_by_algebra(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"answer": "x + 1"}, {"answer": "$2x$"}, {"answer": 7})
    assert loaded.task.grader == "symbolic"
    assert loaded.task.grade("1 + x", loaded.questions[0]).status == "passed"
    assert loaded.task.grade(7.0, loaded.questions[2]).status == "passed"
