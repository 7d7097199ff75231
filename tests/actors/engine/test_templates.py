"""Chat templates of every habit: the plain one, parts, no system turn, no last reply; the same bytes everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from raydistill.actors.engine.rendering import chat_text, prompt_ids
from raydistill.actors.engine.requests import Request
from raydistill.actors.errors import TrainingError, UsageError
from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.training.tokens import load_tokenizer, stop_token_id, tokenise
from tests import ROOT

MODEL = ROOT / "demo/models/base-student"
TALK = [{"role": "user", "content": "What is 2 + 3?"}]
PARTS = "{% for m in messages %}<|{{m.role}}|>{% for c in m.content %}{{c.text}}{% endfor %}<|end|>{% endfor %}"
NO_LAST_REPLY = "{% if messages[-1].role == 'assistant' %}{{ raise_exception('ends with a reply') }}{% endif %}"
NO_SYSTEM = "{% for m in messages %}{% if m.role != 'system' %}<|{{m.role}}|>{{m.content}}{% endif %}{% endfor %}"
REFUSES_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + NO_SYSTEM


def tokenizer(template: str | None) -> Any:
    made = AutoTokenizer.from_pretrained(MODEL)
    made.chat_template = template
    return made


def example(*turns: tuple[str, str], reply: str = "5") -> Example:
    messages = tuple({"role": role, "content": content} for role, content in turns)
    return Example("e", "q", messages, (WeightedText(reply),))


def test_a_model_without_a_template_has_the_plain_one_which_is_stored_with_it(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (tmp_path / name).write_bytes((MODEL / name).read_bytes())
    assert AutoTokenizer.from_pretrained(tmp_path).chat_template is None
    trained = load_tokenizer(str(tmp_path), None)
    trained.save_pretrained(tmp_path / "student")
    turns = [*TALK, {"role": "assistant", "content": "5"}, {"role": "user", "content": "And 4?"}]
    assert chat_text(trained, turns).endswith(f"What is 2 + 3?\n5{trained.eos_token}\nAnd 4?")
    served, hosted = AutoTokenizer.from_pretrained(tmp_path / "student"), AutoTokenizer.from_pretrained(tmp_path)
    assert prompt_ids(served, Request("r", turns)) == prompt_ids(hosted, Request("r", turns))
    assert stop_token_id(trained) == trained.eos_token_id
    (tokens,) = tokenise(trained, [example(*((turn["role"], turn["content"]) for turn in turns))])
    assert tokens.ids[: len(prompt_ids(served, Request("r", turns)))] == prompt_ids(served, Request("r", turns))


@pytest.mark.parametrize(
    ("template", "roles", "complaint"),
    [
        (PARTS, ("user",), "leaves out what the turn of the user says"),
        (NO_SYSTEM, ("system", "user"), "leaves out what the turn of the system says"),
        (REFUSES_SYSTEM, ("system", "user"), "refuses the turns system, user: no system turn"),
        ("<|user|>{{ messages[-1].content }}", ("user", "assistant", "user"), "leaves out what the turn of the user"),
        ("{{ nothing.at.all }}", ("user",), "refuses the turns user"),
    ],
)
def test_what_a_template_cannot_say_is_one_line(template: str, roles: tuple[str, ...], complaint: str) -> None:
    turns = [{"role": role, "content": f"turn {place}"} for place, role in enumerate(roles)]
    with pytest.raises(UsageError, match=complaint) as failure:
        chat_text(tokenizer(template), turns)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("template", [PARTS, NO_LAST_REPLY, "{{ messages[0].content }}"])
def test_a_template_that_does_not_say_the_reply_back_is_found_before_training(template: str) -> None:
    with pytest.raises(UsageError, match="does not say a last turn of the assistant back"):
        stop_token_id(tokenizer(template))


def test_examples_are_checked_before_they_are_tokens() -> None:
    with pytest.raises(UsageError, match="leaves out what the turn of the system says"):
        list(tokenise(tokenizer(NO_SYSTEM), [example(("system", "Think."), ("user", "2 + 3?"))]))
    with pytest.raises(TrainingError, match="example e: text with half of a surrogate pair"):
        list(tokenise(tokenizer(NO_SYSTEM), [example(("user", "# \ud83d"))]))
