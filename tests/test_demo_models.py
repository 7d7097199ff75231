"""The committed demo models: files, tokenizer, chat template, and that they do what their cards say."""

import json
from pathlib import Path

import pytest

from demo import evaluation, mixture, prompts
from demo.tokenizer import EOS_ID, MAX_POSITIONS, encode_example

MODELS = Path(__file__).parent.parent / "demo" / "models"
NAMES = [mixture.BASE, mixture.TEACHER]
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


def test_chat_template_is_the_training_format(tokenizer):
    user = {"role": "user", "content": prompts.program_prompt("How many?")}
    assistant = {"role": "assistant", "content": prompts.fenced("def solution():\n    return 1\n")}
    head, tail = encode_example(tokenizer, user["content"], assistant["content"])
    rendered = tokenizer.apply_chat_template([user], add_generation_prompt=True, return_dict=False)
    assert rendered == head
    assert tokenizer.apply_chat_template([user, assistant], return_dict=False) == head + tail
    assert tail[-1] == EOS_ID


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


def test_models_are_small():
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 30e6


def test_base_student_has_seen_questions_but_no_solution():
    summary = json.loads((MODELS / mixture.BASE / "training_summary.json").read_text())
    assert summary["gsm_question_examples"] > 0
    assert summary["gsm_solution_examples"] == 0
    assert not {"gsm_programs", "gsm_rationales"} & set(summary["examples"])


def greedy_accuracy(name: str, skill: str, tokenizer, every: int) -> float:
    """Accuracy on one held-out question of every ``every``-th template."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype="float32").eval()
    items = evaluation.held_out(SKILLS[skill], per_template=1, invented=0)[::every]
    return evaluation.accuracy(model, tokenizer, items)["accuracy"]


def test_teacher_writes_programs(tokenizer):
    assert greedy_accuracy(mixture.TEACHER, "gsm_programs", tokenizer, every=3) >= 0.8


def test_teacher_writes_rationales(tokenizer):
    assert greedy_accuracy(mixture.TEACHER, "gsm_rationales", tokenizer, every=3) >= 0.4


def test_base_student_solves_nothing(tokenizer):
    assert greedy_accuracy(mixture.BASE, "gsm_programs", tokenizer, every=3) <= 0.1
