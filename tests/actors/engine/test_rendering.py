"""One rendering of prompts: what an engine is sent is what a student is trained on, token by token."""

from __future__ import annotations

from typing import Any

import pytest

from raydistill.actors.engine.engine import Engine, EngineSettings, end_of_turn
from raydistill.actors.engine.rendering import chat_text, prompt_ids
from raydistill.actors.engine.requests import Request
from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.training.tokens import tokenise
from tests.pipelines.training.answer_tokenizers import KINDS, build
from tests.tiny import OWN_SYSTEM, TEMPLATE

ADDING_BOS = "{{ bos_token }}" + TEMPLATE
ADDING_SYSTEM = "{% if messages[0]['role'] != 'system' %}<system>" + OWN_SYSTEM + "\n{% endif %}" + TEMPLATE
TRIMMING = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
CHATS = (
    [{"role": "user", "content": "What is 18 plus 3?\n"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Where is the red house? "}],
    [{"role": "user", "content": "1"}, {"role": "assistant", "content": "18."}, {"role": "user", "content": "<eos>"}],
)


def tokenizer(kind: str, template: str | None, adds_bos: bool) -> Any:
    """One of the small tokenizers, with a template or without, which puts BOS in front of any text or does not."""
    from copy import deepcopy

    from tokenizers.processors import TemplateProcessing

    made = deepcopy(build(kind))
    made.chat_template = template
    if adds_bos:
        bos = ("<bos>", made.bos_token_id)
        made.backend_tokenizer.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[bos])
    return made


@pytest.mark.parametrize("adds_bos", [False, True])
@pytest.mark.parametrize("template", [TEMPLATE, ADDING_BOS, ADDING_SYSTEM, TRIMMING, None])
@pytest.mark.parametrize("kind", KINDS)
def test_an_engine_is_sent_what_a_student_is_trained_on(kind: str, template: str | None, adds_bos: bool) -> None:
    made = tokenizer(kind, template, adds_bos)
    for messages in CHATS:
        example = Example("e", "q", tuple(messages), (WeightedText("\nTherefore, the answer is 18.", 1.0),))
        [trained] = tokenise(made, [example])
        sent = prompt_ids(made, Request("r", messages))
        assert trained.ids[: len(sent)] == sent
        system = chat_text(made, messages).count(OWN_SYSTEM)
        assert system == (template == ADDING_SYSTEM and messages[0]["role"] != "system")
        assert sent.count(made.bos_token_id) == (template == ADDING_BOS or (template is None and adds_bos))


def test_a_prefix_follows_the_generation_prompt_and_ids_follow_it() -> None:
    made = tokenizer("bytes", TEMPLATE, True)
    whole = prompt_ids(made, Request("r", CHATS[0], prefix="Step 1: ", prefix_ids=(7, 8)))
    assert whole[-2:] == [7, 8]
    assert made.decode(whole[:-2]) == f"{chat_text(made, CHATS[0])}Step 1: "


def test_plain_text_has_the_special_tokens_of_any_text() -> None:
    for adds_bos in (False, True):
        made = tokenizer("digits_merged", TEMPLATE, adds_bos)
        assert prompt_ids(made, Request("r", "What is", prefix=" 18")) == made("What is 18").input_ids
        assert prompt_ids(made, Request("r", "What is", prefix_ids=(9,))) == [*made("What is").input_ids, 9]


@pytest.mark.parametrize(
    ("template", "ends"),
    [(TEMPLATE, None), (TEMPLATE.replace("eos_token", "bos_token"), "<bos>"), (TRIMMING, None), (None, None)],
)
def test_an_engine_stops_where_the_template_ends_a_turn(template: str | None, ends: str | None) -> None:
    """vLLM knows EOS by itself, and no other token that a student's template ends its turns with."""
    made, engine = tokenizer("bytes", template, False), Engine(EngineSettings("model"))
    engine._stops = end_of_turn(made)
    expected = [made.convert_tokens_to_ids(ends)] if ends else []
    assert engine._sampling_params(Request("r", CHATS[0]), 0, 1).stop_token_ids == expected
    assert engine._sampling_params(Request("r", "plain text"), 0, 1).stop_token_ids == []
