"""What requests may set: what the engine is asked for, what is refused, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from raydistill.serve.openai.requests import ChatRequest, CompletionRequest
from raydistill.serve.problems import describe, plain
from raydistill.serve.schema import SolveRequest

TURNS = [{"role": "user", "content": "hi"}]


def test_the_engine_is_asked_for_what_is_set() -> None:
    asked = ChatRequest.model_validate(
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": "c", "refusal": None, "tool_calls": [], "reasoning": "r"},
                *TURNS,
            ],
            "temperature": 0,
            "top_p": None,
            "user": "me",
            "metadata": {"a": "b"},
            "tools": None,
            "tool_choice": "auto",
            "stream": True,
            "stream_options": {"include_usage": True, "include_obfuscation": False},
            "response_format": {"type": "json_object"},
            "chat_template_kwargs": {"enable_thinking": False},
        }
    ).asked()
    turns = [{"role": "system", "content": "a\nb"}, {"role": "assistant", "content": "c"}, *TURNS]
    assert asked == {
        "messages": turns,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "structured_outputs": {"json_object": True},
        "chat_template_kwargs": {"enable_thinking": False},
    }
    given = {"prompt": [1, 2], "structured_outputs": {"json": {"type": "string"}}, "logit_bias": {"5": -100}}
    told = {"structured_outputs": {"json": '{"type": "string"}'}}
    assert CompletionRequest.model_validate(given).asked() == given | told


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"minItems": 10**9}, "minItems: expected at most 10,000"),
        ({"properties": {"a": [{"maxLength": 10_001}]}}, "maxLength: expected at most 10,000"),
        ({"pattern": "(ab|cd){1,10000}"}, "repetitions of at most 100 together"),
        ({"pattern": "((a{1,5}){1,5}){5,}"}, "repetitions of at most 100 together"),
        ({"pattern": "a" * 201}, "pattern: expected at most 200 characters"),
        ({"enum": ["a" * 20_000]}, "a schema of at most 20,000 characters"),
    ],
)
def test_schemas_are_of_moderate_size(schema: dict[str, Any], message: str) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object", "items": schema}}}
    with pytest.raises(ValidationError, match=message):
        ChatRequest.model_validate({"messages": TURNS, "response_format": wanted})
    for fine in ({"minItems": 50}, {"pattern": "a{1,10}b{10}"}, {"minimum": 10**6}, {"pattern": 5}):
        CompletionRequest.model_validate({"prompt": "x", "structured_outputs": {"json": fine}})


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content.0.type", "'text'"),
        (
            {"messages": TURNS, "stop": 5},
            "stop",
            "stop: Input should be a valid string or: Input should be a valid list",
        ),
        ({"messages": TURNS, "n": "5"}, "n", "n: Input should be a valid integer"),
        ({"messages": TURNS, "n": True}, "n", "n: Input should be a valid integer"),
        (
            {"messages": TURNS, "response_format": {"type": "x"}},
            "response_format",
            "'text', 'json_object', 'json_schema'",
        ),
        ({"messages": TURNS, "a" * 1000: 1}, "a" * 1000, "no setting of this service"),
        ([], None, "body: Input should be an object"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0.content", "content: List should have at least"),
    ],
)
def test_mistakes_are_told_by_their_place(body: Any, param: str | None, message: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        ChatRequest.model_validate(body)
    mistakes = [dict(mistake) | {"loc": ("body", *mistake["loc"])} for mistake in wrong.value.errors()]
    told = describe(mistakes, body, ())
    assert told[0] == param and message in told[1]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("Token id 7 is out\nof vocabulary", "Token id 7 is out of vocabulary"),
        ("set the VLLM_MAX_STOP_STRINGS environment variable", "instead"),
        ("Traceback (most recent call last): ...", "instead"),
        ('File "/usr/lib/python3/x.py", line 5', "instead"),
        ("use --max-logprobs", "instead"),
        ("ray::ServeReplica died", "instead"),
        ("", "instead"),
        ("a" * 600, "a" * 496 + " ..."),
    ],
)
def test_messages_of_engines_name_nothing_inside(message: str, shown: str) -> None:
    assert plain(message, "instead") == shown


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ([], "choices: List should have at least 1 item, not 0"),
        ({}, "choices: Object should have at least 1 item, not 0"),
        (["a"] * 27, "choices: List should have at most 26 items, not 27"),
        ({"a": "x"}, "choices.a: String should match pattern '^[A-Z]$'"),
        (5, "choices: Input should be a valid list or: Input should be an object"),
    ],
)
def test_of_alternatives_the_one_that_was_meant_is_told_of(choices: Any, told: str) -> None:
    body = {"question": "Which?", "choices": choices}
    with pytest.raises(ValidationError) as wrong:
        SolveRequest.model_validate(body)
    assert describe([dict(mistake) for mistake in wrong.value.errors()], body, within=0)[1] == told


def test_the_document_says_how_many_choices_there_may_be() -> None:
    listed, lettered, _ = SolveRequest.model_json_schema()["properties"]["choices"]["anyOf"]
    assert (listed["minItems"], listed["maxItems"]) == (lettered["minProperties"], lettered["maxProperties"]) == (1, 26)
