"""Stated answers: where they are found in a text, and which of them equal the gold answer."""

import time

import pytest

from raydistill.pipelines.tasks.answers import (
    canonical,
    compare,
    infer_kind,
    normalise,
    parse_answer,
    stated_answer,
    to_number,
)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("So 5.\nThe answer is $18.", "$18"),
        ("The answer is 3 * 6 = 18 eggs. It takes 7 days.", "18 eggs"),
        ("The answer is 5. No, the answer is 6.", "6"),
        ("The final answer is: **18**", "18"),
        ("Therefore, the answer is\n\n1,080.", "1,080"),
        ("the answer is -5", "-5"),
        ("The answer is 1 1/2 cups.", "1 1/2 cups"),
        (r"Hence $\boxed{\frac{3}{4}}$ of 8 is eaten on day 2.", "3/4"),
        (r"\boxed{\text{18 eggs}}", "18 eggs"),
        (r"\boxed{1{,}080}", "1,080"),
        ("<answer>7</answer> in 2 days", "7"),
        ("48/2 = <<48/2=24>>24\n#### 72", "72"),
        ("#### 72\n\nI hope this helps, 24/7!", "72"),
        ("Half is 9.\nA: 18", "18"),
        ("**Answer:** 18\nThat was step 3.", "18"),
        ("The final answer: 18 eggs\nThat was step 3.", "18 eggs"),
        ("A: There are 15 trees. 21 - 15 = 6", "6"),
        ("A: There are 15.\nThe answer is 6.", "6"),
        ("She sells 9 eggs.\nShe makes 9 * 2 = 18 dollars.", "18 dollars"),
        ("So she has 18 eggs.\nGreat!", "18"),
        ("18", "18"),
        ("18.0", "18.0"),
        ("<think>The answer is 5.</think>The answer is 6.", "6"),
        ("The answer is 5.</think>So 6.", "6"),
        ("The answer is 18.\n\nQuestion: Next?\nThe answer is 5.", "18"),
        ("The answer is 18.<|eot_id|>The answer is 5.", "18"),
        ("<think>The answer is 5", None),
        ("I have no idea.", None),
        ("She has 5.\nThen what?", None),
        ("", None),
    ],
)
def test_numeric_answer_of_a_text(text: str, answer: str | None):
    assert parse_answer(text, "numeric") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is (B) the desert.", "B"),
        ("The correct option is C.", "C"),
        ("So the answer is b) a cat", "b) a cat"),
        ("The answer is populated areas.", "populated areas"),
        ("A cat needs B vitamins.\nTherefore, (D)", "D"),
        ("I'd choose a cat. So it is B", "B"),
        ("Answer: E", "E"),
        ("B", "B"),
        ("nothing fits", None),
    ],
)
def test_choice_of_a_text(text: str, answer: str | None):
    assert parse_answer(text, "choice") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The answer is yes.", "yes"),
        ("The answer is No. Because he was dead.", "No"),
        ("the answer is: Mr. Smith.", "Mr. Smith"),
        ("Sorted:\nA: apple bear cat", "apple bear cat"),
        ("<answer>1 2\n3 4</answer>", "1 2\n3 4"),
        ("apple", "apple"),
        ("  \n ", None),
    ],
)
def test_text_answer_of_a_text(text: str, answer: str | None):
    assert parse_answer(text, "text") == answer


def test_an_unmarked_answer_is_parsed_but_not_stated():
    assert parse_answer("It is 18", "numeric") == "18"
    assert stated_answer("It is 18", "numeric") is None


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1,080", 1080),
        ("$1,080.50", 1080.5),
        ("-$5", -5),
        ("$-5", -5),
        ("−7", -7),
        ("+7", 7),
        ("18.", 18),
        ("50%", 50),
        ("3/4", 0.75),
        ("-1 1/2", -1.5),
        ("1e3", 1000),
        (".5", 0.5),
        ("18 eggs", 18),
        ("16 square feet.", 16),
        ("60 miles/hour", 60),
        ("€ 12", 12),
        (True, None),
        ("True", None),
        (float("nan"), None),
        (float("inf"), None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        (10**400, None),
        ("9" * 400, None),
        ("1/0", None),
        ("1,23", 1.23),
        ("5 + 3", 8),
        ("x2", None),
        ("eighteen", 18),
        ("18 eggs in 3 days", None),
        ("", None),
    ],
)
def test_number_in_its_spellings(written: object, number: float | None):
    assert to_number(written) == number


@pytest.mark.parametrize(
    ("value", "gold", "equal"),
    [
        (18.0, "18", True),
        (18, "18.0", True),
        (66.6667, "66.66666667", True),  # 200/3 as printed
        (66.67, "66.66666667", True),
        (66.6, "66.66666667", False),
        (17.9999999999, "18", True),  # floating point
        (70_001, "70000", False),  # whole numbers have no tolerance ...
        (1e21, "1000000000000000000000", True),  # ... but that of double precision
        (0.1 + 0.2, "0.3", True),
        (1e-12, "0", True),
        (0.001, "0", False),
        (-18, "18", False),
        ("50%", "50", True),
        ("$1,080.00", "1080", True),
        (True, "1", False),
        (float("nan"), "18", False),
        ("nan", "nan", False),
    ],
)
def test_numbers_compare_by_value(value: object, gold: str, equal: bool):
    assert compare(value, gold, "numeric") is equal


OPTIONS = {"A": "ignore", "B": "the desert", "C": "apartment"}


@pytest.mark.parametrize(
    ("value", "gold", "equal"),
    [
        ("B", "(B)", True),
        ("(b)", "B", True),
        ("B.", "B", True),
        ("B) the desert", "B", True),
        ("(B) apartment", "B", False),
        ("Desert", "B", True),
        ("C", "B", False),
        ("the forest", "B", False),
        ("B", "the desert", True),
    ],
)
def test_choices_compare_by_letter_or_text(value: str, gold: str, equal: bool):
    assert compare(value, gold, "choice", OPTIONS) is equal


@pytest.mark.parametrize(
    ("value", "gold", "equal"),
    [
        ("The Desert.", "desert", True),
        ("barn, damp, dot", "barn damp dot", True),
        ("yes", "true", True),
        (True, "yes", True),
        (False, "yes", False),
        ("-5", "5", False),
        ("3.5", "35", False),
        ("it&t", "itt", False),
        ("ＡＢ", "ab", True),  # compatibility forms
        ("?", "!", False),
        ("a", "the", False),
        ("", "?", False),
    ],
)
def test_texts_compare_without_case_articles_and_punctuation(value: object, gold: str, equal: bool):
    assert compare(value, gold, "text") is equal


@pytest.mark.parametrize(
    ("values", "kind", "spelling"),
    [
        (["$1,080.00", 1080, 1080.0, "1080 eggs", "1.08e3"], "numeric", "1080"),
        ([0.1 + 0.2, "3/10", ".3"], "numeric", "0.3"),
        (["B", "(b)", "the desert"], "choice", "B"),
        (["The Desert.", "desert"], "text", "desert"),
        ([[1, 2]], "numeric", "[1, 2]"),
    ],
)
def test_equal_answers_have_one_canonical_spelling(values: list, kind: str, spelling: str):
    assert {canonical(value, kind, OPTIONS) for value in values} == {spelling}


def test_normalised_text_is_stable():
    for text in ("The Desert.", "yes", "it&t", "(A) cat", "?"):
        assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    ("golds", "kind"),
    [
        (["18", "1,080", "3/4"], "numeric"),
        (["(A)", "(F)"], "choice"),
        (["A", "B"], "choice"),
        (["true", "false"], "text"),
        (["18", "A"], "text"),
        (["a b", "5"], "text"),
    ],
)
def test_kind_of_gold_answers(golds: list[str], kind: str):
    assert infer_kind(golds) == kind


@pytest.mark.parametrize(
    "text",
    ["1" * 50_000, "a" * 50_000, "the answer is " * 5_000, "<answer>" * 5_000, "1 " * 20_000, "$" * 50_000,
     "\\boxed{" * 5_000, "**" * 20_000, "1/" * 20_000, " " * 50_000, "1,111" * 10_000, "so " * 10_000,
     "a" + "\n" * 50_000 + "b", "answer" + "\n" * 50_000 + "b", "answer is\n" * 5_000, "A:\n" * 5_000, "-" * 50_000],
)  # fmt: skip
def test_degenerate_texts_are_parsed_in_reasonable_time(text: str):
    start = time.perf_counter()
    for kind in ("numeric", "choice", "text"):
        parse_answer(text, kind)
        compare(text, "18", kind)
    assert time.perf_counter() - start < 3
