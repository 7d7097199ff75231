"""Gold programs of the demo models: right, explained by the question, and general."""

import re

import pytest

from raydistill.demo import gold, gsm

SEEDS = range(500, 512)


def test_at_least_45_templates():
    assert len(gold.TEMPLATES) >= 45
    assert set(gold.TEMPLATES) <= set(gsm.USABLE_TEMPLATES)


def test_usable_templates_are_reasoning_gyms():
    from reasoning_gym.arithmetic.gsm_symbolic.gsm_symbolic import tasks_ok

    assert list(gsm.USABLE_TEMPLATES) == tasks_ok


@pytest.mark.parametrize("template", gold.TEMPLATES)
def test_program_returns_answer_with_numbers_of_the_question(template):
    for seed in SEEDS:
        instance = gsm.instance(template, seed)
        source = gold.program(instance)
        assert gold.returns_answer(source, instance.answer), source
        assert gold.unexplained_numbers(source, instance.question) == set(), source


@pytest.mark.parametrize("template", gold.TEMPLATES)
def test_same_text_with_other_numbers(template):
    """Without its numbers, every instance's program is the same text."""
    texts = {gold.without_numbers(gold.program(gsm.instance(template, seed))) for seed in SEEDS}
    assert len(texts) == 1, texts


def test_unexplained_number_is_found():
    source = "def solution():\n    return 5 * 13\n"
    assert gold.unexplained_numbers(source, "Ann buys five pens.") == {13.0}


def test_numbers_written_as_words_and_unit_constants_are_explained():
    source = "def solution():\n    return 3 * 60 / 100\n"
    assert gold.unexplained_numbers(source, "Ann runs three hours.") == set()


def test_program_of_a_known_question():
    instance = gsm.instance(43, 1)
    assert instance.question.startswith("A boy has 13 pencils. His sister has 3 fewer pencils")
    assert gold.program(instance) == ("def solution():\n    second_amount = 13 - 3\n    return 13 + second_amount\n")


@pytest.mark.parametrize("template", gold.TEMPLATES)
def test_named_givens_are_the_programs_numbers(template):
    instance = gsm.instance(template, SEEDS[0])
    source, givens = gold.with_named_givens(instance)
    assigned = set(re.findall(r"^ *(\w+) = ", source, re.MULTILINE))
    assert givens and not assigned & set(givens) and all(name.isidentifier() for name in givens)
    head, body = source.split("\n", 1)
    named = "".join(f"    {name} = {text}\n" for name, text in givens.items())
    assert gold.returns_answer(f"{head}\n{named}{body}", instance.answer)
    assert re.sub(r"\w+", lambda word: givens.get(word[0], word[0]), source) == gold.program(instance)
