"""What is trained, seen in the tokens: the completion and its stop token, never the prompt."""

from __future__ import annotations

import numpy as np
import pytest

from raydistill.actors.engine.rendering import chat_text
from raydistill.actors.errors import TrainingError, UsageError
from raydistill.pipelines.data.records import Example, WeightedText
from raydistill.pipelines.training.losses.cross_entropy import CrossEntropy
from raydistill.pipelines.training.tokens import (
    Tokens,
    TokenTable,
    load_tokenizer,
    stop_token_id,
    tokenise,
    write_tokens,
)
from tests.pipelines.training.training_examples import make_tokenizer, sums

USER = ({"role": "user", "content": "How many?"},)


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def one(tokenizer, *segments: WeightedText) -> Tokens:
    return next(tokenise(tokenizer, [Example("e", "q", USER, segments)]))


def test_completion_and_stop_token_are_trained_and_the_prompt_is_not(tokenizer):
    row = one(tokenizer, WeightedText("return 3 + 4"))
    start = row.columns["weights"].index(1.0)
    assert tokenizer.decode(row.ids[:start]) == "<|user|>\nHow many?<|end|>\n<|assistant|>\n"
    assert tokenizer.decode(row.ids[start:]) == "return 3 + 4<|end|>"
    assert row.columns["weights"] == [0.0] * start + [1.0] * (len(row.ids) - start)


def test_each_token_has_the_weight_of_its_segment(tokenizer):
    row = one(tokenizer, WeightedText("return 3", 0.0), WeightedText(" + 4\n", 1.5), WeightedText("done", 0.5))
    text = {weight: "" for weight in (0.0, 1.5, 0.5)}
    for token, weight in zip(row.ids, row.columns["weights"], strict=True):
        text[weight] += tokenizer.decode([token])
    assert text[0.0].endswith("<|assistant|>\nreturn 3")
    assert text[1.5].strip() == "+ 4"
    assert text[0.5] == "done<|end|>"


def test_a_prompt_is_trained_where_the_example_says_so(tokenizer):
    row = next(tokenise(tokenizer, [Example("e", "q", USER, (WeightedText("7", 2.0),), prompt_weight=0.5)]))
    start = row.columns["weights"].index(2.0)
    assert row.columns["weights"] == [0.0] + [0.5] * (start - 1) + [2.0] * (len(row.ids) - start)
    assert tokenizer.decode(row.ids[:start]).endswith("<|assistant|>\n")


def test_tokens_are_those_that_inference_continues(tokenizer):
    for example, row in zip(sums(20), tokenise(tokenizer, sums(20)), strict=True):
        prompt = tokenizer(chat_text(tokenizer, example.messages), add_special_tokens=False).input_ids
        assert row.ids[: len(prompt)] == prompt
        assert tokenizer.decode(row.ids[len(prompt) : -1]) == example.text


def test_border_that_would_merge_is_kept():
    """Without a template, prompt `re` and completion `turn` would become one token that nobody generates."""
    tokenizer = make_tokenizer(chat=False)
    assert len(tokenizer("return").input_ids) < len(tokenizer("re").input_ids + tokenizer("turn").input_ids)
    example = Example(
        "e", "q", ({"role": "user", "content": "re"},), (WeightedText("tu", 0.5), WeightedText("rn", 1.0))
    )
    row = next(tokenise(tokenizer, [example]))
    prompt = tokenizer("re").input_ids
    assert row.ids == [*prompt, *tokenizer("turn").input_ids, tokenizer.eos_token_id]
    assert row.columns["weights"][: len(prompt)] == [0.0] * len(prompt)
    assert row.columns["weights"][len(prompt)] == 0.5
    assert row.columns["weights"][-1] == 1.0


def test_stop_token_is_the_templates_and_else_eos(tokenizer):
    assert stop_token_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|end|>")
    assert stop_token_id(make_tokenizer(chat=False)) == tokenizer.eos_token_id


def test_without_template_or_eos_there_is_no_stop_token():
    bare = make_tokenizer(chat=False)
    bare.eos_token = None
    with pytest.raises(UsageError, match="no end-of-turn token"):
        stop_token_id(bare)


def test_plain_prompt_joins_contents():
    messages = ({"role": "system", "content": "Add."}, {"role": "user", "content": "1 2"})
    assert chat_text(make_tokenizer(chat=False), messages) == "Add.\n1 2"


def test_too_long_examples_are_dropped_and_counted(tokenizer, tmp_path):
    rows = list(tokenise(tokenizer, sums(50)))
    limit = sorted(len(row.ids) for row in rows)[24]
    counts = write_tokens(rows, f"{tmp_path}/tokens.parquet", max_length=limit, vocabulary=320)
    kept = [row for row in rows if len(row.ids) <= limit]
    assert (counts.kept, counts.too_long) == (len(kept), 50 - len(kept))
    assert counts.tokens == sum(len(row.ids) for row in kept)
    assert counts.trained == sum(np.count_nonzero(row.columns["weights"]) for row in kept)
    table = TokenTable(f"{tmp_path}/tokens.parquet")
    term = CrossEntropy(table)
    assert [table.ids[place].tolist() for place in range(len(table))] == [row.ids for row in kept]
    assert [term.weights[place].tolist() for place in range(len(table))] == [row.columns["weights"] for row in kept]
    assert term.tokens.tolist() == [np.count_nonzero(row.columns["weights"]) for row in kept]
    assert table.lengths.tolist() == [len(row.ids) for row in kept]


@pytest.mark.parametrize(
    ("weights", "vocabulary", "limit", "line"),
    [
        ([0.0, 0.0], 10, 8, "example e: no trained token"),
        ([1.0, 0.0], 10, 8, "example e: its stop token is not trained"),
        ([0.0, 1.0], 3, 8, "example e: token id 4, but the student's vocabulary has 3"),
        ([0.0, 1.0], 10, 1, "no example left to train on: all 1 are longer than max_length 1"),
    ],
)
def test_preflight_names_the_problem_in_one_line(tmp_path, weights, vocabulary, limit, line):
    columns = {"weights": weights, "advantages": [], "soft_ids": [], "soft_k": 0}
    rows = [Tokens("e", "q", [1, 4], columns)]
    with pytest.raises(TrainingError, match=line) as caught:
        write_tokens(rows, f"{tmp_path}/tokens.parquet", max_length=limit, vocabulary=vocabulary)
    assert "\n" not in str(caught.value)


def test_missing_tokenizer_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="no tokenizer could be loaded") as caught:
        load_tokenizer(str(tmp_path), None)
    assert "\n" not in str(caught.value)


REFUSING = (
    "{% if messages[-1]['role'] == 'assistant' %}{{ raise_exception('A user must speak last') }}{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
)
PARTS = "{% for m in messages %}<|{{m.role}}|>{% for c in m.content %}{{c.text}}{% endfor %}<|end|>{% endfor %}"
NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (REFUSING, "does not say a last turn of the assistant back, but refuses it: A user must speak last"),
        (PARTS, "does not say a last turn of the assistant back, but leaves it out"),
        ("{{ messages[0].content }", "refuses it"),
    ],
)
def test_a_template_that_does_not_say_the_reply_back_is_one_line(template, message):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(UsageError, match="^[^\n]+$") as error:
        stop_token_id(tokenizer)
    assert message in str(error.value) and "give the model another chat_template" in str(error.value)


def test_a_template_that_cannot_say_a_prompt_is_one_line_before_training():
    tokenizer = make_tokenizer()
    tokenizer.chat_template = NO_SYSTEM
    stop_token_id(tokenizer)
    turns = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"})
    with pytest.raises(UsageError, match="refuses the turns system, user: System role not supported"):
        list(tokenise(tokenizer, [Example("e", "q", turns, (WeightedText("2"),))]))
    tokenizer.chat_template = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    with pytest.raises(UsageError, match="leaves out what the turn of the system says"):
        chat_text(tokenizer, turns)


def test_half_of_a_surrogate_pair_is_named_by_its_example():
    example = Example("e7", "q", ({"role": "user", "content": "?"},), (WeightedText("# \ud83d"),))
    with pytest.raises(TrainingError, match="^example e7: holds half of a surrogate pair"):
        list(tokenise(make_tokenizer(), [example]))


def test_a_base_model_without_a_template_keeps_the_plain_one(tiny_model, tmp_path):
    import shutil

    shutil.copytree(tiny_model, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    tokenizer = load_tokenizer(str(tmp_path / "base"), None)
    tokenizer.save_pretrained(tmp_path / "student")
    kept = load_tokenizer(str(tmp_path / "student"), None)
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1 + 1?"}]
    assert chat_text(tokenizer, turns) == chat_text(kept, turns) == "Be brief.\n1 + 1?"
    assert stop_token_id(kept) == kept.eos_token_id
    kept.chat_template = None  # as an engine has it, which loads the base
    assert chat_text(kept, turns) == "Be brief.\n1 + 1?"
