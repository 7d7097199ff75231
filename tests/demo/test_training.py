"""Training of the demo models: what the students may see, going on after a kill, the same result again."""

import subprocess
import sys
from dataclasses import replace
from random import Random

import pytest

from raydistill.actors.errors import UsageError
from raydistill.demo import choices, critique, gold, gsm, leakage, mixture, prompts, rewriting, training
from raydistill.demo.skill import Example
from tests.waiting import wait_until

RECIPE = training.Recipe("base-student", steps=32, learning_rate=1e-3, batch_size=1, layers=1, seed=3)
DRAWS = 500

TRAIN = """
import sys
from pathlib import Path
from transformers import AutoTokenizer
from raydistill.demo import training
training.CHECKPOINT_STEPS = 16
work = Path(sys.argv[1])
recipe = training.Recipe("base-student", steps=32, learning_rate=1e-3, batch_size=1, layers=1, seed=3)
training.train(recipe, AutoTokenizer.from_pretrained(work / "tokenizer"), work, "cpu", "float32")
"""


@pytest.fixture(scope="module")
def tokenizer():
    from raydistill.demo.tokenizer import train_tokenizer

    return train_tokenizer()


@pytest.mark.slow
def test_training_killed_and_started_again_equals_uninterrupted_training(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 16)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    whole.mkdir()
    resumed.mkdir()
    model, progress = training.train(RECIPE, tokenizer, whole, "cpu", "float32")

    tokenizer.save_pretrained(resumed / "tokenizer")
    checkpoint = training.checkpoint_path(resumed, RECIPE.name)
    killed = subprocess.Popen([sys.executable, "-c", TRAIN, str(resumed)])
    wait_until(lambda: checkpoint.exists() or killed.poll() is not None, 120, "the first checkpoint")
    assert killed.poll() is None
    killed.kill()
    killed.wait()
    again, progress_again = training.train(RECIPE, tokenizer, resumed, "cpu", "float32")

    assert progress_again.step == progress.step == RECIPE.steps
    assert progress_again.examples == progress.examples
    assert progress_again.tokens == progress.tokens
    for name, weights in model.state_dict().items():
        assert weights.allclose(again.state_dict()[name], atol=1e-5), name


def test_a_checkpoint_of_another_recipe_is_refused(tokenizer, tmp_path):
    training.train(replace(RECIPE, steps=16), tokenizer, tmp_path, "cpu", "float32")
    with pytest.raises(UsageError, match="begun with other steps; delete it to train base-student anew"):
        training.train(RECIPE, tokenizer, tmp_path, "cpu", "float32")


def test_a_model_can_start_from_another(tokenizer, tmp_path):
    training.train(replace(RECIPE, steps=16), tokenizer, tmp_path, "cpu", "float32")
    teacher = training.Recipe("teacher", steps=0, learning_rate=1e-3, layers=1, starts_from="base-student")
    model, _ = training.train(teacher, tokenizer, tmp_path, "cpu", "float32")
    fresh = training.new_model(teacher).state_dict()
    assert any(not weights.equal(fresh[name]) for name, weights in model.state_dict().items())


def test_every_loss_position_is_counted_once(tokenizer, monkeypatch):
    """The gradient of a batch is the same however few rows are taken at once, and padding has no part in it."""
    rng = Random(0)
    examples = [mixture.draw(mixture.TEACHER, rng)[1] for _ in range(6)]
    batch = [training.encode_example(tokenizer, example) for example in examples]
    gradients = []
    for tokens in (100_000, 1):
        monkeypatch.setattr(training, "TOKENS_AT_ONCE", tokens)
        model = training.new_model(RECIPE)
        loss = training.backward(model, batch, "cpu", training.nullcontext())
        gradients.append((loss, model.model.norm.weight.grad))
    assert gradients[0][0] == pytest.approx(gradients[1][0], rel=1e-5)
    assert gradients[0][1].allclose(gradients[1][1], atol=1e-6)


def test_base_student_never_sees_a_solution():
    rng = Random(5)
    examples = [mixture.draw(mixture.BASE, rng)[1] for _ in range(DRAWS)]
    assert [leakage.leak(example) for example in examples] == [None] * DRAWS
    assert sum(example.question is not None for example in examples) > 100


@pytest.mark.parametrize("name", [mixture.REASONER, mixture.CALCULATOR])
def test_students_of_rationales_never_see_a_solution(name):
    rng = Random(5)
    examples = [mixture.draw(name, rng)[1] for _ in range(DRAWS)]
    assert [leakage.leak(example) or leakage.task_leak(example) for example in examples] == [None] * DRAWS
    assert sum(leakage.is_task_question(example.completion) for example in examples) > 20


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
    assert leakage.leak(Example(prompts.program_prompt(question.question), completion, question))


def test_a_gsm_question_among_invented_ones_is_found():
    question = gsm.instance(43, 1)
    prompt = prompts.program_prompt(question.question)
    assert leakage.leak(Example(prompt, prompts.fenced(gold.program(question))))


@pytest.mark.parametrize(
    "generator",
    [choices.choice_rationale, critique.attempt, critique.feedback, critique.improvement, rewriting.new_question],
)
def test_a_solution_of_another_task_is_found(generator):
    rng = Random(1)
    assert all(leakage.task_leak(generator(rng)) for _ in range(50))


def test_training_seeds_are_out_of_reach_of_data_sets():
    seeds = [gsm.training_instance(43, Random(i)).seed for i in range(20)]
    assert min(seeds) >= 2**40
