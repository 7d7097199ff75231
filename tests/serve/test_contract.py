"""The contract with OpenAI's clients: usage, ids, names, the fields that they send, and what /openapi.json says."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from raydistill.serve.openai.answers import ChatCompletion, Completion
from tests.serve.conftest import Service

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
TURNS = [{"role": "user", "content": "What is 3 plus 3?"}]
SEVERAL = {"n": 3, "temperature": 1, "seed": 5, "max_tokens": 6}


def usage_of(answer: dict[str, Any]) -> tuple[int, int, int]:
    told = answer["usage"]
    return told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]


def events(service: Service, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
    connection.request("POST", path, json.dumps(body | {"stream": True}), {"Content-Type": "application/json"})
    lines = [line.removeprefix("data: ") for line in connection.getresponse().read().decode().split("\n") if line]
    assert lines.pop() == "[DONE]"
    return map(json.loads, lines)


@pytest.mark.parametrize(
    ("path", "body", "prompts"),
    [
        (CHAT, {"messages": TURNS} | SEVERAL, 1),
        (CHAT, {"messages": TURNS, "max_completion_tokens": 6, "temperature": 0, "seed": 5}, 1),
        (TEXT, {"prompt": "What is 3 plus 3?"} | SEVERAL, 1),
        (TEXT, {"prompt": ["What is", "one two three"]} | SEVERAL, 2),
        (TEXT, {"prompt": [[5, 6, 7], [8]], "max_tokens": 3, "seed": 5}, 2),
    ],
)
def test_usage_is_what_was_read_and_written(service: Service, path: str, body: dict[str, Any], prompts: int) -> None:
    code, answer = service.request(path, body | {"return_token_ids": True})
    assert code == 200
    choices = answer["choices"]
    written = sum(len(choice["token_ids"]) for choice in choices)
    read = [answer["prompt_token_ids"]] if path == CHAT else [choice["prompt_token_ids"] for choice in choices]
    per_prompt = len(read) // prompts
    asked = sum(map(len, read[::per_prompt]))
    assert usage_of(answer) == (asked, written, asked + written)

    parts = list(events(service, path, body | {"stream_options": {"include_usage": True}}))
    assert parts[-1]["choices"] == [] and usage_of(parts[-1]) == usage_of(answer)
    assert all(not part.get("usage") for part in parts[:-1])
    assert all(part["choices"] for part in events(service, path, body))


@pytest.mark.parametrize(("path", "model"), [(CHAT, ChatCompletion), (TEXT, Completion)])
def test_answers_have_the_fields_that_are_documented(service: Service, path: str, model: Any) -> None:
    asked = {"messages": TURNS} if path == CHAT else {"prompt": "def solution():"}
    for more in (
        {},
        {"logprobs": True, "top_logprobs": 2, "n": 2} if path == CHAT else {"logprobs": 2, "n": 2, "echo": True},
        {"return_token_ids": True, "prompt_logprobs": 20, "stop": ["\n", "x"], "user": "me", "metadata": {"a": "b"}},
    ):
        code, answer = service.request(path, asked | {"max_tokens": 4} | more)
        assert code == 200, answer
        model.model_validate(answer)


def test_conversations_go_on_with_what_clients_send_back(client: Any) -> None:
    name = client.models.list().data[0].id
    assert client.models.retrieve(name).id == name
    first = client.chat.completions.create(model=name, messages=TURNS, max_tokens=4, store=False, user="me")
    turns = [{"role": "developer", "content": [{"type": "text", "text": "Add."}]}, *TURNS, first.choices[0].message]
    second = client.chat.completions.create(
        model=name, messages=[*turns, *TURNS], max_completion_tokens=4, parallel_tool_calls=False, tool_choice="none"
    )
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_answers_are_kept_to_a_schema(client: Any) -> None:
    name = client.models.list().data[0].id
    schema = {"enum": ["yes", "no"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    reply = client.chat.completions.create(model=name, messages=TURNS, max_tokens=60, response_format=wanted)
    assert json.loads(reply.choices[0].message.content) in schema["enum"]


@pytest.mark.parametrize(
    ("path", "body", "param", "message"),
    [
        (CHAT, {}, "messages", "messages: Field required"),
        (CHAT, {"messages": None}, "messages", "messages: Input should be a valid list"),
        (CHAT, {"messages": TURNS, "tools": [{}]}, "tools", "tools: not supported by this service; leave it out"),
        (CHAT, {"messages": TURNS, "tempertaure": 1}, "tempertaure", "tempertaure: no setting of this service"),
        (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages.0.content", "a valid string or: "),
        (CHAT, {"messages": [{"role": "user"}]}, "messages.0.content", "messages.0.content: Field required"),
        (CHAT, {"messages": TURNS, "stream_options": {}}, None, "stream_options needs stream: true"),
        (TEXT, {"prompt": "x", "n": 65}, "n", "n: Input should be less than or equal to 64"),
        (TEXT, {"prompt": "x", "max_tokens": "5"}, "max_tokens", "max_tokens: Input should be a valid integer"),
        (TEXT, {"prompt": "x", "best_of": 3}, "best_of", "best_of: not supported"),
    ],
)
def test_wrong_fields_are_named(
    service: Service, path: str, body: dict[str, Any], param: str | None, message: str
) -> None:
    code, problem = service.request(path, body)
    assert (code, problem["error"]["param"], problem["error"]["type"]) == (400, param, "invalid_request_error")
    assert message in problem["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_context_that_is_too_small_is_named(service: Service, stream: bool) -> None:
    for path, asked in (
        (CHAT, {"messages": [{"role": "user", "content": "one " * 9000}]}),
        (TEXT, {"prompt": "a " * 9000}),
    ):
        code, problem = service.request(path, asked | {"stream": stream})
        assert (code, problem["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("", False), ("x" * 200, False), ("a b", False)])
@pytest.mark.parametrize("path", ["/v1/models", "/nowhere"])
def test_ids_of_requests_are_kept_or_made(service: Service, path: str, given: str, kept: bool) -> None:
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=120)
    connection.request("GET", path, headers={"X-Request-Id": given} if given else {})
    ids = connection.getresponse().headers.get_all("X-Request-Id")
    assert len(ids) == 1 and (ids[0] == given) == kept and ids[0]


def test_the_page_lists_what_requests_may_set(service: Service) -> None:
    _, page = service.request("/openapi.json")
    schemas = page["components"]["schemas"]
    assert {"ChatRequest", "CompletionRequest", "SolveRequest", "ProblemReport", "ChatCompletion"} <= set(schemas)
    assert "HTTPValidationError" not in schemas
    assert schemas["ChatRequest"]["additionalProperties"] is False
    told = {
        path: sorted(codes for route in routes.values() for codes in route["responses"])
        for path, routes in page["paths"].items()
    }
    assert told["/v1/solve"] == ["200", "401", "404", "408", "413", "415", "422", "429", "500", "503"]
    assert told[CHAT] == told[TEXT] == ["200", "400", "401", "404", "408", "413", "415", "429", "500", "503"]
