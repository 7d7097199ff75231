"""The committed demo models: files, tokenizer, chat template, and that they do what their cards say."""

import json
import re
from functools import cache

import pytest

from raydistill.demo import evaluation, mixture, prompts, training
from raydistill.demo.skill import Example
from raydistill.demo.tokenizer import EOS_ID, FOCUS_WEIGHT, MAX_POSITIONS, chat, encode_example
from tests import ROOT

MODELS = ROOT / "demo" / "models"
NAMES = [recipe.name for recipe in training.RECIPES]
SKILLS = {skill.name: skill for skill in mixture.SKILLS}


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODELS / mixture.TEACHER)


@pytest.mark.parametrize(
    "text",
    [
        "Emma has 1,234.50 dollars.",
        "def f(x):\n\treturn {'a': x ** 2}  # note\n\n\n",
        "  two  spaces, \u00e9t\u00e9, \u20ac5, \u4f60\u597d, \U0001f600",
    ],
)
def test_tokenizer_loses_nothing(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text


def test_digits_stand_alone(tokenizer):
    assert tokenizer.tokenize("12345") == list("12345")


def test_all_models_have_one_tokenizer():
    assert len({(MODELS / name / "tokenizer.json").read_bytes() for name in NAMES}) == 1


def test_chat_template_is_the_training_format(tokenizer):
    turns = ((prompts.program_prompt("How few?"), prompts.fenced("def solution():\n    return 0\n")),)
    example = Example(
        prompts.program_prompt("How many?"), prompts.fenced("def solution():\n    return 1\n"), turns=turns
    )
    ids, weights = encode_example(tokenizer, example)
    asked = tokenizer.apply_chat_template(chat(example), add_generation_prompt=True, return_dict=False)
    answered = [*chat(example), {"role": "assistant", "content": example.completion}]
    assert tokenizer.apply_chat_template(answered, return_dict=False) == ids
    assert ids[: len(asked)] == asked
    assert weights == [0.0] * len(asked) + [1.0] * (len(ids) - len(asked))
    assert ids[-1] == EOS_ID


def test_what_decides_weighs_more(tokenizer):
    example = Example("Is it?", "45 | 46 - wrong", focus=re.compile(r" - (?:right|wrong)"))
    ids, weights = encode_example(tokenizer, example)
    heavy = [id_ for id_, weight in zip(ids, weights, strict=True) if weight == FOCUS_WEIGHT]
    assert tokenizer.decode(heavy) == " - wrong"
    assert {weight for weight in weights if weight not in (0.0, FOCUS_WEIGHT)} == {1.0}


@pytest.mark.parametrize("name", NAMES)
def test_files(name):
    folder = MODELS / name
    config = json.loads((folder / "config.json").read_text())
    generation = json.loads((folder / "generation_config.json").read_text())
    assert config["model_type"] == "llama"
    assert config["tie_word_embeddings"]
    assert config["max_position_embeddings"] == MAX_POSITIONS
    assert generation["eos_token_id"] == EOS_ID
    assert (folder / "README.md").read_text().startswith("---\nlicense: apache-2.0")


@pytest.mark.parametrize("recipe", training.RECIPES, ids=NAMES)
def test_trained_by_the_script_as_it_stands(recipe):
    summary = json.loads((MODELS / recipe.name / "training_summary.json").read_text())
    assert {key: summary[key] for key in training.plan(recipe)} == training.plan(recipe)
    assert summary["step"] == recipe.steps


def test_models_are_small():
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 60e6


@pytest.mark.parametrize("name", mixture.STUDENTS)
def test_students_have_seen_questions_but_no_solution(name):
    summary = json.loads((MODELS / name / "training_summary.json").read_text())
    assert summary["gsm_question_examples"] > 0
    assert summary["gsm_solution_examples"] == 0
    assert summary["task_solution_examples"] == 0
    assert not {"gsm_programs", "gsm_rationales", "choice_rationales", "feedback"} & set(summary["examples"])


@cache
def model(name: str):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(MODELS / name, dtype="float32").eval()


def greedy_accuracy(name: str, skill: str, tokenizer, every: int) -> float:
    """Accuracy on every ``every``-th held-out input, one for each template where a skill has templates."""
    items = evaluation.held_out(SKILLS[skill], per_template=1, invented=100)[::every]
    return evaluation.accuracy(model(name), tokenizer, SKILLS[skill], items)["accuracy"]


@pytest.mark.parametrize(
    ("name", "skill", "least"),
    [
        (mixture.TEACHER, "gsm_programs", 0.8),
        (mixture.TEACHER, "gsm_rationales", 0.4),
        (mixture.REWRITER, "rewriting", 0.5),
        (mixture.REWRITER, "new_question", 0.5),
        (mixture.CRITIC, "feedback", 0.55),
    ],
)
def test_teachers_answer_held_out_inputs(tokenizer, name, skill, least):
    """Ten points below the goals of the skills: a few dozen inputs vary by as much."""
    assert greedy_accuracy(name, skill, tokenizer, every=3) >= least


@pytest.mark.parametrize("name", mixture.STUDENTS)
@pytest.mark.parametrize("skill", mixture.CONTROLS)
def test_students_solve_nothing(tokenizer, name, skill):
    assert greedy_accuracy(name, skill, tokenizer, every=3) <= 0.1


@pytest.mark.parametrize(
    ("name", "skill", "goal"),
    [
        (mixture.TEACHER, "gsm_programs", {"greedy": 0.9, "distinct": 3}),
        (mixture.TEACHER, "gsm_rationales", {"greedy": 0.5, "distinct": 3}),
        (mixture.REWRITER, "rewriting", {"greedy": 0.6, "temperature 1": 0.6}),
        (mixture.CRITIC, "feedback", {"greedy": 0.7, "improved after it": 0.5}),
    ],
)
def test_measured_figures_meet_the_goals(name, skill, goal):
    modes = json.loads((MODELS / name / "evaluation.json").read_text())[skill]
    figures = {mode: result["accuracy"] for mode, result in modes.items()}
    figures["distinct"] = modes["temperature 1"].get("distinct", 0)
    assert all(figures[what] >= least for what, least in goal.items()), figures
