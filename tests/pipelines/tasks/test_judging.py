"""One judge: what is read in values and texts without the gold answer, and which of several answers is elected."""

from __future__ import annotations

import random
from typing import Any

import pytest

from raydistill.pipelines.data.records import Question
from raydistill.pipelines.tasks.answers import KINDS
from raydistill.pipelines.tasks.base import AnswerTask, ReadableTask
from raydistill.pipelines.tasks.families.bbh import BigBenchTask
from raydistill.pipelines.tasks.families.extractive_qa import ExtractiveTask
from raydistill.pipelines.tasks.families.nli import InferenceTask
from raydistill.pipelines.tasks.families.reasoning_gym import ScoredTask
from raydistill.pipelines.tasks.families.stepwise import StepwiseQuestions
from raydistill.pipelines.tasks.judging import JUDGE_VERSION, elect, judge_version, returned
from raydistill.pipelines.tasks.stepwise.table import TASKS

OPTIONS = {"A": "vitamin B", "B": "a cat", "C": "none"}
NUMERIC, CHOICE, TEXT, SYMBOLIC = (AnswerTask("t", kind) for kind in KINDS)
BBH, NLI, SQUAD = BigBenchTask("bbh"), InferenceTask("nli"), ExtractiveTask("extractive_qa")
STEPWISE = {name: StepwiseQuestions(task) for name, task in TASKS.items()}


@pytest.mark.parametrize(
    ("values", "place"),
    [
        (["$1,080", "1,080", "1090", "1,080"], 1),
        (["7", "8", "8", "7", "9"], 0),
        (["9", "8", "7", "7", "8"], 1),
        ([None, "", "5"], 2),
        ([None, "", None, "5", "6"], 3),
        ([None, ""], None),
        ([], None),
    ],
)
def test_the_most_frequent_value_is_elected_and_ties_go_to_the_first(values: list[str | None], place: int | None):
    assert elect(values) == place


@pytest.mark.parametrize(
    ("task", "values", "answer"),
    [
        (NUMERIC, ["$1,080", 1080, 1080.0, "1080 dollars", "So 9.\nThe answer is 1,080.", returned("1.08e3")], "1080"),
        (NUMERIC, [True], "True"),
        (NUMERIC, [[7]], "[7]"),
        (NUMERIC, ["many", "", None, "<think>18"], None),
        (CHOICE, ["B", "(B)", "b)", "B. a cat", "A cat.", "Cats need no B. So the answer is (B)."], "B"),
        (CHOICE, ["vitamin B", "The answer is (A).", returned("vitamin B")], "A"),
        (TEXT, ["The Desert.", "desert", "It is hot.\nSo the answer is the desert.", returned("desert")], "desert"),
        (TEXT, [True, "yes", "The answer is Yes.", "true"], "true"),
        (TEXT, [42, 42.0, "42", "42."], "42"),
        (TEXT, [[1, 2], "[1, 2]", "[1,2]"], "[1, 2]"),
        (TEXT, [{"a": 1}, "{'a': 1}"], "{'a 1}"),
        (TEXT, [returned("1 2\n3 4\n"), "<answer>1 2\n3 4</answer>", "1 2 3 4"], "1 2 3 4"),
        (TEXT, ["I think.\nParis", returned("Paris")], "paris"),
        (TEXT, ["", None, returned(" "), "<think>Paris"], None),
        (BBH, ["(B)", "b)", "The answer is B.", "a cat", returned("(B)")], "B"),
        (BBH, ["24", 24, 24.0, "The answer is 2 * 12 = 24 eggs. In 7 days.", "We add.\nSo there are 24 in all"], "24"),
        (BBH, ["The answer is ] ) >.", "] ) >", returned("] ) >")], "] ) >"),
        (BBH, ["The answer is the barn damp.", "Two words, 3 letters.\nThe answer is the Barn damp"], "the barn damp"),
        (BBH, [True, "True", "So the answer is true."], "true"),
        (BBH, ["", None], None),
        (NLI, ["neutral", "It says nothing of it. The answer is Neutral."], "neutral"),
        (NLI, ["neutral or entailment", "maybe", None, 1], None),
        (SQUAD, ["The Denver Broncos!", "So the answer is Denver Broncos."], "denver broncos"),
        (SQUAD, ["the", returned("the")], "the"),
        (SQUAD, ["", None], None),
        (ScoredTask("t", None), ["[1, 2]", "So:\n<answer>[1, 2]</answer>", [1, 2]], "[1, 2]"),
        (ScoredTask("t", None), ["", None], None),
        (STEPWISE["multistep_arithmetic"], ["Step 1: Therefore, the answer is 5.", 5, 5.0, returned("5")], "5"),
        (STEPWISE["multistep_arithmetic"], ["Step 1: 2 + 3 = 5, so 5", None], None),
        (STEPWISE["word_sorting"], ["Therefore, the answer is a  b.", returned("a b\n")], "a b"),
        (STEPWISE["logical_deduction"], ["Therefore, the answer is (B).", "The answer is B.", returned("b)")], "B"),
    ],
)  # fmt: skip
def test_answers_that_are_the_same_are_read_alike(task: ReadableTask, values: list[Any], answer: str | None):
    assert {task.read(value, OPTIONS) for value in values} == {answer}


@pytest.mark.parametrize(
    ("task", "value", "answer"),
    [
        (CHOICE, "A: There are 15.\nSo it must be (B)", "B"),
        (CHOICE, "B) the desert", "B"),
        (CHOICE, "the forest", None),
        (BBH, "(B)", "B"),
        (BBH, "The answer is route 66 north.", "route 66 north"),
        (STEPWISE["date_understanding"], "Therefore, the answer is 01/02/2003.", "01/02/2003"),
    ],
)
def test_without_options(task: ReadableTask, value: str, answer: str | None):
    assert task.read(value) == answer


def test_a_grade_names_the_answer_that_is_read():
    """Whatever is judged, and also where it passes as it stands."""
    rng, pieces = random.Random(0), ["So", "5", "\n", "The answer is", "(B)", "a cat", "=", ".", "yes", "1,080", "A:"]
    tasks = [NUMERIC, CHOICE, TEXT, BBH, NLI, SQUAD, *STEPWISE.values()]
    for _ in range(2_000):
        text = " ".join(rng.choices(pieces, k=rng.randint(1, 6)))
        value: Any = rng.choice([text, returned(text), rng.choice([5, 5.0, True, None, [1]])])
        gold, task = rng.choice(["5", "(B)", "yes", "a cat", text.strip()]), rng.choice(tasks)
        question = Question.make("t", "What?\nOptions:\n(A) vitamin B\n(B) a cat", gold)
        options = {"A": "vitamin B", "B": "a cat"}
        grade = task.grade(value, question)
        assert grade.parsed == (task.read(value, options) or "") or grade.status == "passed", (task, value, gold)


@pytest.mark.parametrize("value", ["So 5.\n1 2", "A: B", "**a**b", "yes. Because."])
def test_words_pass_as_they_stand(value: str):
    assert TEXT.grade(value, Question("", "", value)).status == "passed"
    assert TEXT.grade(f"{value} Not.", Question("", "", value)).status == "failed"


def test_options_that_a_question_lists_are_known():
    listed = Question("", "What?\nOptions:\n(A) vitamin B\n(B) a cat", "B")
    assert CHOICE.grade("a cat", listed).status == "passed"
    assert CHOICE.grade("a cat", Question("", "What?", "B").noting(choices=OPTIONS)).status == "passed"
    assert CHOICE.grade("a cat", Question("", "What?", "B")).status == "failed"


def test_versions_name_the_rule_of_a_family():
    assert judge_version(NUMERIC) == judge_version(TEXT) == JUDGE_VERSION
    assert judge_version(BBH) == f"{JUDGE_VERSION}, bbh {BBH.version}"
