"""Training of the demo models: what the base student may see, and going on after an interruption."""

from dataclasses import replace
from random import Random

import pytest

from demo import gold, gsm, leakage, mixture, prompts, training

RECIPE = training.Recipe("base-student", steps=48, learning_rate=1e-3, batch_size=1, seed=3)


@pytest.fixture(scope="module")
def tokenizer():
    from demo.tokenizer import train_tokenizer

    return train_tokenizer()


class Interrupted(Exception):
    """Stands for a kill in the middle of training."""


def test_resumed_training_equals_uninterrupted_training(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 16)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir()
    resumed.mkdir()
    model, progress = training.train(RECIPE, tokenizer, whole, "cpu", "float32")

    def interrupt(recipe, progress, loss):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(training, "LOG_STEPS", 20)
        patch.setattr(training, "report", interrupt)
        with pytest.raises(Interrupted):
            training.train(RECIPE, tokenizer, resumed, "cpu", "float32")
    assert training.checkpoint_path(resumed, RECIPE.name).exists()
    again, progress_again = training.train(RECIPE, tokenizer, resumed, "cpu", "float32")

    assert progress_again.step == progress.step == RECIPE.steps
    assert progress_again.examples == progress.examples
    assert progress_again.tokens == progress.tokens
    for name, weights in model.state_dict().items():
        assert weights.equal(again.state_dict()[name]), name


def test_a_model_can_start_from_another(tokenizer, tmp_path):
    training.train(replace(RECIPE, steps=16), tokenizer, tmp_path, "cpu", "float32")
    teacher = training.Recipe("teacher", steps=0, learning_rate=1e-3, starts_from="base-student")
    model, _ = training.train(teacher, tokenizer, tmp_path, "cpu", "float32")
    fresh = training.new_model(teacher.seed).state_dict()
    assert any(not weights.equal(fresh[name]) for name, weights in model.state_dict().items())


def test_base_student_never_sees_a_solution():
    rng = Random(5)
    examples = [mixture.draw(mixture.BASE, rng)[1] for _ in range(500)]
    assert [leakage.leak(example) for example in examples] == [None] * len(examples)
    assert sum(example.question is not None for example in examples) > 100


@pytest.mark.parametrize(
    "completion",
    [
        "def solution():\n    return 23\n",
        "13 - 3",
        "total = 23",
        "numbers = [13, 3]\nboys = 13 - 3\n",
        "Therefore, the answer is 3.",
    ],
)
def test_a_solution_beside_a_question_is_found(completion):
    question = gsm.instance(43, 1)
    assert leakage.leak(mixture.Example(prompts.program_prompt(question.question), completion, question))


def test_a_gsm_question_among_invented_ones_is_found():
    question = gsm.instance(43, 1)
    prompt = prompts.program_prompt(question.question)
    assert leakage.leak(mixture.Example(prompt, prompts.fenced(gold.program(question))))


def test_training_seeds_are_out_of_reach_of_data_sets():
    seeds = [gsm.training_instance(43, Random(i)).seed for i in range(20)]
    assert min(seeds) >= 2**40
