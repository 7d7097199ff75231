"""Guards: what must not become a training example is found, and nothing else is."""

from __future__ import annotations

import os

import pytest

from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.data.decontamination import GRAM, Guards, words
from raydistill.pipelines.tasks import load_questions

LONG = "A farmer has 12 cows and 30 sheep and sells 5 of the cows to his neighbour on Monday. How many are left?"
EXAMPLE = "Mia has 3 apples. Then 2 are bought. How many apples are there now?"


def guards() -> Guards:
    return Guards(evaluation=[LONG, "What is 2 + 2?"], examples=[EXAMPLE], banned=["glue", "SQuAD"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("what is 2 + 2", "evaluation_copy"),
        ("What is 2 + 3?", None),
        (LONG.upper().replace(".", " ;"), "evaluation_copy"),
        ("Yesterday: " + LONG.replace("How many are left", "What remains"), "evaluation_overlap"),
        (" ".join(LONG.split()[: GRAM - 1]), None),
        (" ".join(LONG.split()[3 : 3 + GRAM]), "evaluation_overlap"),
        (EXAMPLE, "example_copy"),
        (EXAMPLE.replace("Mia has", "mia  HAS,"), "example_copy"),
        (EXAMPLE.replace("Mia", "Noah"), "example_copy"),  # all but one word
        (EXAMPLE.replace("3 apples", "4 pears"), None),
        ("", None),
    ],
)
def test_inputs_are_refused_for_their_reason(text: str, reason: str | None) -> None:
    assert guards().check_input(text) == reason


def test_a_long_example_is_known_by_a_part_of_it() -> None:
    checked = Guards(examples=[LONG])
    assert checked.check_input(LONG.replace("How many are left", "What is the answer now")) == "example_copy"
    assert checked.check_input(LONG.replace("30 sheep", "31 sheep").replace("neighbour", "son")) is None


def test_the_length_of_an_overlap_is_a_setting() -> None:
    part = " ".join(LONG.split()[:8])
    assert Guards(evaluation=[LONG]).check_input(part) is None
    assert Guards(evaluation=[LONG], ngram=8).check_input(part) == "evaluation_overlap"


def test_an_input_is_accepted_once() -> None:
    checked = guards()
    assert [checked.check_input(text) for text in ("How many?", "how MANY", "+ -", "- +", "+ -")] == [
        None,
        "duplicate",
        None,
        None,
        "duplicate",
    ]


def test_a_refused_input_does_not_count_as_accepted() -> None:
    checked = guards()
    assert [checked.check_input(EXAMPLE) for _ in range(2)] == ["example_copy"] * 2


@pytest.mark.parametrize(
    ("source", "values", "reason"),
    [
        ("glue/mnli", {"premise": "x"}, "banned_source"),
        ("squad", {"context": "x"}, "banned_source"),
        ("squad_v2", {"context": "x"}, None),
        ("farm", {"id": "1", "text": "So: " + LONG}, "evaluation_overlap"),
        ("sums", {"question": "What is 2 + 2?", "answer": "4"}, "evaluation_copy"),
        ("sums", {"question": EXAMPLE}, None),  # may be rewritten; its copy may not be an example
    ],
)
def test_rows_are_refused_for_their_source_and_their_values(source: str, values: dict, reason: str | None) -> None:
    assert guards().check_row(source, values) == reason


def test_the_wording_of_the_task_is_no_overlap() -> None:
    ask = "Sort the following list of words alphabetically and write them in one line with blanks between them: "
    assert len(words(ask)) > GRAM
    assert Guards(evaluation=[ask + "b a"]).check_input(ask + "d c") == "evaluation_overlap"
    assert Guards(examples=[ask + "y x"]).check_input(ask + "d c") == "example_copy"
    assert Guards(evaluation=[ask + "b a"], examples=[ask + "y x"]).check_input(ask + "d c") is None
    assert Guards(examples=[ask + "y x", ask + "z x"]).check_input(ask + "d c") is None


@pytest.mark.skipif("RAYDISTILL_DATA" not in os.environ, reason="needs RAYDISTILL_DATA")
def test_real_questions_leak_only_into_themselves() -> None:
    path = "${RAYDISTILL_DATA}/gsm8k/train.jsonl"
    texts = [question.text for question in load_questions(Questions(task="gsm8k", path=path)).questions]
    held_out, others = texts[:1000], texts[1000:2000]
    assert all(Guards(evaluation=held_out).check_input(text) == "evaluation_copy" for text in held_out[:100])
    checked = Guards(evaluation=held_out)
    refused = [text for text in others if checked.check_input(text)]
    assert len(refused) < 20  # near copies exist in GSM8K
