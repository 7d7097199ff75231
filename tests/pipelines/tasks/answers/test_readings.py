"""What people wrote as answers and gold labels, and what each is: a table of hundreds, and generated ones."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks import task_for
from raydistill.pipelines.tasks.answers import KINDS, canonical, compare, read_value, to_letter, to_number
from raydistill.pipelines.tasks.answers.numbers import RELATIVE_TOLERANCE
from raydistill.pipelines.tasks.base import grade_answer
from tests import ROOT

CASES = [json.loads(line) for line in (ROOT / "tests/data/readings.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['task']}-{case['answer']}-{case['gold']}")
def test_a_written_answer_is_judged_as_what_it_is(case: dict[str, str]) -> None:
    if case["task"] in KINDS:
        grade = grade_answer(case["answer"], case["gold"], case["task"])
    else:
        grade = task_for(case["task"]).grade(case["answer"], Question("", "", case["gold"]))
    assert grade.status == case["verdict"], grade


FORMS = (
    "{n}", " {n} ", "{n}.", "${n}", "€ {n}", "{n} €", "{n} dollars", "{n} eggs", "{n}%", "**{n}**", "${n}$",
    "\\boxed{{{n}}}", "\\boxed{{\\text{{{n} eggs}}}}", "The answer is {n}.", "the answer is: {n} eggs",
    "#### {n}", "<answer>{n}</answer>", "She has 3 cats.\nSo there are {n} in all.", "Answer: {n}",
    "x = {n}", "3 + 4 = {n}", "答案是{n}。", "\\({n}\\)", "({n})", "about {n}", "`{n}`",
    "The final answer is $\\boxed{{{n}}}$.", "{n} km", "{n} kilometers",
)  # fmt: skip
SEPARATED = {
    "plain": lambda whole: str(whole),
    "comma": lambda whole: f"{whole:,}",
    "blank": lambda whole: f"{whole:,}".replace(",", " "),
    "thin": lambda whole: f"{whole:,}".replace(",", "\u202f"),
    "quote": lambda whole: f"{whole:,}".replace(",", "'"),
    "underscore": lambda whole: f"{whole:_}",
    "latex": lambda whole: f"{whole:,}".replace(",", "{,}"),
    "point": lambda whole: f"{whole:,}".replace(",", ".") if whole >= 1_000_000 else str(whole),
    "indian": lambda whole: indian(whole),
}
MINUS = ("-", "−", "–", "—", "﹣", "－", "minus ", "negative ")
decimals = st.decimals(-(10**7), 10**7, places=3, allow_nan=False).map(float).map(lambda n: n + 0.0)
wholes = st.integers(-(10**12), 10**12)


def indian(whole: int) -> str:
    """12,34,567."""
    head, tail = str(whole)[:-3], str(whole)[-3:]
    pairs = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)][::-1]
    return ",".join([*pairs, tail]) if head else tail


@given(wholes, st.sampled_from(sorted(SEPARATED)), st.sampled_from(MINUS), st.sampled_from(FORMS))
@settings(deadline=None, max_examples=600)
def test_a_whole_number_is_the_same_in_every_written_form(whole: int, kind: str, minus: str, form: str) -> None:
    size = SEPARATED[kind](abs(whole))
    written = form.format(n=minus + size if whole < 0 else size)
    assert grade_answer(written, str(whole), "numeric").status == "passed", written


@given(decimals, st.sampled_from(FORMS))
@settings(deadline=None, max_examples=300)
def test_a_decimal_number_is_the_same_in_every_written_form(number: float, form: str) -> None:
    assert grade_answer(form.format(n=f"{number:.3f}"), repr(number), "numeric").status == "passed"


@given(st.integers(1, 99), st.integers(1, 12), st.integers(2, 13))
@settings(deadline=None)
def test_a_mixed_fraction_is_its_value(whole: int, over: int, under: int) -> None:
    assume(over < under)
    value = whole + over / under
    for written in (
        f"{whole} {over}/{under}",
        f"{whole}\\frac{{{over}}}{{{under}}}",
        f"{whole} \\dfrac{{{over}}}{{{under}}}",
    ):
        assert math.isclose(to_number(written) or math.nan, value), written
        assert compare(-value, f"-{written}", "numeric") or "\\" in written


@given(st.floats(1.001, 9.999), st.integers(-12, 12))
@settings(deadline=None)
def test_powers_of_ten_scale(size: float, power: int) -> None:
    for form in (
        f"{size:.3f}e{power}",
        f"{size:.3f}*10^{power}",
        f"{size:.3f} \\times 10^{{{power}}}",
        f"{size:.3f}×10^({power})",
    ):
        assert math.isclose(to_number(form) or math.nan, float(f"{size:.3f}e{power}"), rel_tol=1e-12), form


different = st.one_of(wholes.map(float), decimals, st.integers(-1000, 1000).map(float))


@given(different, different, st.sampled_from(FORMS), st.sampled_from(FORMS[:9]))
@settings(deadline=None, max_examples=600)
def test_numbers_apart_never_compare_equal_in_any_two_forms(
    one: float, other: float, form: str, gold_form: str
) -> None:
    both_whole = one.is_integer() and other.is_integer()
    assume(one != other if both_whole else abs(one - other) > 2 * RELATIVE_TOLERANCE * max(abs(one), abs(other), 1e-3))
    answer, gold = form.format(n=f"{one:.15g}"), gold_form.format(n=f"{other:.15g}")
    assert grade_answer(answer, gold, "numeric").status == "failed", (answer, gold)


CHANGED = (
    "{n} million", "{n} thousand", "{n}√2", "{n}π", "{n}x", "2^{n}", "({n}, 5)", "±{n}", "x ≥ {n}",
    "x < {n}", "not {n}", "{n} or 77", "{n} to 77", "between {n} and 77", "more than {n}", "at least {n}",
    "{n}:30", "{n} hours 30 minutes", "{n}!/7", "{n}/7", "-{n}", "{n}^3", "√{n}", "[{n}, 77)", "{{{n}, 77}}",
    "{n} x 10^4", "sin({n})", "log {n}", "{n}i", "{n}n + 1", "{n} and 77", "minus {n}", "|{n}|x", "{n}/0",
)  # fmt: skip
FRAMES = ("{x}", "\\boxed{{{x}}}", "The answer is {x}.", "So it is {x}", "#### {x}", "${x}$", "Answer: {x}")


@given(st.integers(3, 60), st.sampled_from(CHANGED), st.sampled_from(FRAMES))
@settings(deadline=None, max_examples=500)
def test_what_changes_a_number_is_not_dropped(number: int, changed: str, frame: str) -> None:
    answer = frame.format(x=changed.format(n=number))
    assert grade_answer(answer, str(number), "numeric").status == "failed", answer
    assert grade_answer(str(number), changed.format(n=number), "numeric").status == "failed", changed


UNITS = ("km", "miles", "hours", "dollars", "€", "kg", "eggs", "m^2", "°C", "minutes")
SENSES = ("north", "south", "AM", "PM", "BC", "AD")


@given(st.integers(1, 999), st.lists(st.sampled_from(UNITS), min_size=2, max_size=2, unique=True))
@settings(deadline=None)
def test_a_unit_may_be_missing_but_not_another(number: int, units: list[str]) -> None:
    one, other = (f"{number} {unit}" for unit in units)
    assert (
        compare(one, one, "numeric") and compare(str(number), one, "numeric") and compare(one, str(number), "numeric")
    )
    assert not compare(one, other, "numeric"), (one, other)


@given(st.integers(1, 11), st.lists(st.sampled_from(SENSES), min_size=2, max_size=2, unique=True))
@settings(deadline=None)
def test_an_era_time_of_day_or_direction_must_be_there(number: int, senses: list[str]) -> None:
    one, other = (f"{number} {sense}" for sense in senses)
    assert compare(one, one, "numeric")
    assert not compare(one, other, "numeric") and not compare(str(number), one, "numeric")


@given(
    st.lists(
        st.text("abcdefgh ", min_size=3, max_size=12).map(str.strip).filter(lambda t: len(t) > 2),
        min_size=2,
        max_size=8,
        unique=True,
    ),
    st.data(),
)
@settings(deadline=None)
def test_an_option_by_letter_and_by_text_is_the_same(texts: list[str], data: st.DataObject) -> None:
    options = dict(zip("ABCDEFGH", texts, strict=False))
    assume(len({canonical(text, "text") for text in texts}) == len(texts))
    letter = data.draw(st.sampled_from(sorted(options)))
    for form in (
        "{l}",
        "({l})",
        "{l}.",
        "[{l}]",
        "**{l}**",
        "'{l}'",
        "option {l}",
        "({l}) {t}",
        "{t}",
        "\\boxed{{{l}}}",
        "The answer is ({l}).",
    ):
        written = form.format(l=letter, t=options[letter])
        assert grade_answer(written, letter, "choice", options).status == "passed", written
        assert grade_answer(written, options[letter], "choice", options).status == "passed", written
    assert to_letter(options[letter], options) == letter


@pytest.mark.parametrize(
    ("text", "kind"),
    [("12:30", "time"), ("3:4", "time"), ("06/02", "date"), ("May 5", "date"), ("(3, 5)", "list"), ("[0, 1)", "list"),
     ("x ≥ 5", "relation"), ("2x + 1", "expression"), ("±5", "expression"), ("3-5", "range"),
     ("2 hours 30 minutes", "quantities")],
)  # fmt: skip
def test_what_is_no_number_has_a_kind_of_its_own(text: str, kind: str) -> None:
    value: Any = read_value(text)
    assert value.kind == kind and to_number(text) is None


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=500)
def test_any_text_is_read_without_a_fault_and_like_itself(text: str) -> None:
    for kind in ("numeric", "choice", "text"):
        assert grade_answer(text, "18", kind).status in ("passed", "failed")
    value = read_value(text)
    assert value is None or compare(text, text, "numeric")
