"""Rationales of the demo teacher: true calculations, right answers, and wordings that really differ."""

import json
import re
from itertools import combinations
from random import Random

import pytest

from raydistill.demo import arithmetic, choices, gold, gsm, rationales, worked
from raydistill.demo.skill import Example
from raydistill.pipelines.config.sections import Questions
from raydistill.pipelines.recipes.mcc_kd import diversity
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.tasks.answers import compare, parse_answer

SEEDS = range(700, 706)
SENTENCE = re.compile(r"Therefore, the answer is (-?\d+(?:\.\d+)?)\.")
EQUATION = re.compile(r"(?:[\d.]+ [-+*/]+ )+[\d.]+(?: = (?:[\d.]+ [-+*/]+ )*-?\d+(?:\.\d+)?)+")


def equations_are_true(text: str) -> int:
    """Check every ``a op b = c = ...`` of a text; returns how many there are."""
    equations = EQUATION.findall(text)
    for equation in equations:
        values = [eval(side) for side in equation.split(" = ")]
        assert values == pytest.approx([values[-1]] * len(values), abs=1e-4), equation
    return len(equations)


@pytest.mark.parametrize("template", gold.RATIONALE_TEMPLATES)
def test_every_wording_is_right(template):
    for seed in SEEDS:
        question = gsm.instance(template, seed)
        steps = worked.steps(gold.program(question), Random(seed))
        for wording in rationales.WORDINGS:
            text = rationales.render(steps, wording)
            *lines, last = text.split("\n")
            assert compare(SENTENCE.fullmatch(last)[1], question.answer, "numeric"), text
            assert equations_are_true("\n".join(lines)) >= len(steps), text
            assert all(step.name in text.lower() and step.calculation in text for step in steps)


def test_wordings_differ():
    assert len(rationales.WORDINGS) >= 4
    similarities = []
    for template in gold.RATIONALE_TEMPLATES:
        steps = worked.steps(gold.program(gsm.instance(template, SEEDS[0])))
        texts = [rationales.render(steps, wording) for wording in rationales.WORDINGS]
        matrix = diversity.similarities(texts, rationales.NGRAM)
        similarities += [matrix[pair] for pair in combinations(range(len(texts)), 2)]
        assert rationales.distinct_rationales(texts) >= len(texts) - 1, template
    assert sum(similarities) / len(similarities) < 0.5


def test_independent_steps_come_in_any_order():
    source = "def solution():\n    a = 2 + 3\n    b = 4 + 5\n    c = a * 2\n    return b + c\n"
    orders = {tuple(step.name for step in worked.steps(source, Random(seed))) for seed in range(40)}
    assert orders == {("a", "b", "c", "result"), ("b", "a", "c", "result"), ("a", "c", "b", "result")}
    assert {worked.steps(source, Random(seed))[-1].value for seed in range(9)} == {"19"}


def test_sixteen_draws_of_one_question_are_varied():
    question = gsm.instance(44, 3)
    texts = [rationales.rationale(question, Random(seed)).completion for seed in range(16)]
    assert rationales.distinct_rationales(texts) >= 5
    assert rationales.rationale(question, Random(1)) == rationales.rationale(question, Random(1))


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("28 + 34", "28 + 34 = 58 + 4 = 62"),
        ("13 + 10", "13 + 10 = 23"),
        ("216 - 137", "216 - 137 = 116 - 37 = 86 - 7 = 79"),
        ("5 - 12", "5 - 12 = -7"),
        ("97 * 6", "97 * 6 = 540 + 42 = 582"),
        ("12 * 0", "12 * 0 = 0"),
        ("20 * 3 + 5", "20 * 3 = 60, 60 + 5 = 65"),
        ("17 * 12", "17 * 12 = 17 * 10 + 17 * 2, 17 * 10 = 170, 17 * 2 = 20 + 14 = 34, 170 + 34 = 204"),
        ("400 * 0.25", "400 * 0.25 = 400 / 4 = 100"),
        ("474 / 6", "474 / 6 = 70 + 54 / 6 = 70 + 9 = 79"),
        ("168 / 1.5", "168 / 1.5 = 1680 / 15 = 100 + 180 / 15 = 110 + 30 / 15 = 110 + 2 = 112"),
        ("3024 // 60", "3024 // 60 = 302 // 6 = 50"),
        ("2000 / 3", "2000 / 3 = 666.666667"),
        ("7 / (1 / 3)", "1 / 3 = 0.333333, 7 / 0.333333 = 21"),
        ("64 * 75 / 100", "64 * 75 / 100 = 64 / 4 * 3, 64 / 4 = 10 + 24 / 4 = 10 + 6 = 16, 16 * 3 = 30 + 18 = 48"),
        ("60 * 27 // 100", "60 * 27 = 1200 + 420 = 1620, 1620 // 100 = 16"),
    ],
)
def test_calculation(expression, expected):
    [step] = worked.steps(f"def solution():\n    return {expression}\n")
    assert step.calculation == expected
    assert step.value == expected.split(" = ")[-1]


def test_drills_are_true_and_use_the_wordings():
    for seed in range(300):
        question, text = arithmetic.drill(Random(seed))
        assert question.startswith("Calculate ") and "result = " in question
        assert equations_are_true(text) >= 1
        last = re.findall(EQUATION, text)[-1].split(" = ")[-1]
        assert compare(parse_answer(text, "numeric"), last, "numeric"), text


def test_check_reads_the_final_answer():
    example = Example("", "", key="23")
    said = ["Second: 13 - 3 = 10.\nTherefore, the answer is 23.", "Therefore, the answer is 24.", "23 is nice", ""]
    assert rationales.rationale_check([example] * 4, said) == [True, False, True, False]


def test_distinct_counts_by_word_trigrams():
    ten = "a b c d e f g h i j"
    assert rationales.distinct_rationales([ten, ten, ten + " k"]) == 1  # 8 of 9 trigrams are shared
    assert rationales.distinct_rationales([ten, "b c d e f g h i j k l"]) == 2  # 7 of 10
    assert rationales.distinct_rationales([]) == 0


@pytest.mark.parametrize("wording", choices.WORDINGS)
def test_choice_wordings_give_the_right_relation(wording):
    """What the story says leads to reasoning-gym's own label, and every wording names it and its letter."""
    kinds = set()
    for index in range(150):
        row = choices.row(index)
        options = {choice["label"]: choice["text"] for choice in row["question"]["choices"]}
        kinship = choices.understood(row["question"]["stem"])
        kinds.add(kinship.kind)
        text = choices.render(row, wording, Random(index))
        assert len(set(options.values())) == choices.OPTIONS
        assert kinship.relation == options[row["answerKey"]]
        assert kinship.relation in text
        assert all(name in text for person, parents in kinship.parents.items() for name in (person, *parents))
        assert text.endswith(f"\nTherefore, the answer is ({row['answerKey']}).")
        assert choices.choice_check([Example("", "", key=row["answerKey"])], [text]) == [True]
    assert kinds == set(choices.RELATIONS)


def test_choice_wordings_differ():
    assert len(choices.WORDINGS) >= 4
    for index in range(30):
        row = choices.row(index)
        texts = [choices.render(row, wording, Random(index)) for wording in choices.WORDINGS]
        assert rationales.distinct_rationales(texts) == len(texts)


def test_choice_letters_are_even():
    letters = [choices.row(index)["answerKey"] for index in range(1000)]
    assert all(150 < letters.count(letter) < 250 for letter in "ABCDE")


def test_choice_rows_are_a_task_of_the_pipelines(tmp_path):
    """The pipelines ask what the teacher was trained on, and grade its answer."""
    rng = Random(5)
    index = choices.TRAIN_START + Random(5).getrandbits(choices.TRAIN_BITS)
    example = choices.choice_rationale(rng)
    path = tmp_path / "family.jsonl"
    path.write_text(json.dumps(choices.row(index)) + "\n")
    columns = {"question_column": "question.stem", "answer_column": "answerKey"}
    loaded = load_questions(Questions(task="table", path=str(path), options={"choices": "question.choices"}, **columns))
    [question] = loaded.questions
    assert example.prompt.endswith("\n\nQuestion: " + question.text)
    assert loaded.task.grader == "choice"
    assert loaded.task.grade(example.completion, question).status == "passed"
    wrong = next(letter for letter in "ABCDE" if letter != example.key)
    assert loaded.task.grade(f"Therefore, the answer is ({wrong}).", question).status == "failed"
    assert choices.choice_check([example] * 2, [f"Therefore, the answer is ({wrong}).", ""]) == [False, False]
