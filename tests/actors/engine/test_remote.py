"""A model behind a URL: what servers take and refuse, how their answers are read, how many requests are under way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from raydistill.actors.engine.remote.engine import RemoteEngine
from raydistill.actors.engine.remote.estimates import shares
from raydistill.actors.engine.remote.limit import AdaptiveLimit
from raydistill.actors.engine.remote.replies import MalformedReply, read_reply, split_reasoning
from raydistill.actors.engine.remote.sending import retry_after
from raydistill.actors.engine.remote.settings import EndpointSettings
from raydistill.actors.engine.requests import Completion, Request, Sampling
from tests.endpoint import Endpoint, Refusal, text_of

ASKED = "What is 3 plus 3?"
TURNS = [{"role": "user", "content": ASKED}]
NEUTRAL = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


def ask(server: Endpoint, *requests: Request, **settings: Any) -> tuple[list[Completion], list[str]]:
    """Completions of the requests in turn, and what the server was found not to take."""

    async def answers() -> tuple[list[Completion], list[str]]:
        engine = RemoteEngine(replace(EndpointSettings("model", server.url, sampling=NEUTRAL), **settings))
        batches = [await engine.generate([request]) for request in requests]
        notes = (await engine.describe())["notes"]
        await engine.stop()
        return [completion for batch in batches for completion in batch], notes

    return asyncio.run(answers())


def unknown(*names: str) -> Refusal:
    """Refuses these settings as OpenAI does: only one at a time is named."""

    def refuse(body: Mapping[str, Any]) -> tuple[int, Any] | None:
        for name in names:
            if name in body:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                return 400, {"error": {"message": message, "param": name, "code": "unsupported_parameter"}}
        return None

    return refuse


def forbidden(*names: str) -> Refusal:
    """Refuses these settings as FastAPI does, and says the whole request again."""

    def refuse(body: Mapping[str, Any]) -> tuple[int, Any] | None:
        extra = [name for name in names if name in body]
        details = [
            {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": body}
            for name in extra
        ]
        return (422, {"detail": details}) if extra else None

    return refuse


def test_all_settings_are_sent() -> None:
    schema = {"type": "object", "properties": {"output": {"type": "string"}}}
    sampling = Sampling(0.7, 0.9, 33, ("\n\n",), json_schema=schema)
    with Endpoint() as server:
        [*came], notes = ask(
            server,
            Request("q/a", TURNS, sampling, (0, 1, 2, 5), seed=7),
            headers={"X-Team": "a"},
            extra_body={"priority": 3},
            api_key="secret",
        )
    assert [completion.text for completion in came] == [text_of(ASKED, 7 + i) for i in (0, 1, 2, 5)]
    assert [completion.seed for completion in came] == [7, 8, 9, 12] and notes == []
    first, second = sorted(server.received, key=lambda one: int(one.body["seed"]))
    assert first.body == {
        "model": "model",
        "messages": TURNS,
        "n": 3,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 33,
        "stop": ["\n\n"],
        "seed": 7,
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "strict": True, "schema": schema}},
        "priority": 3,
        **NEUTRAL,
    }
    assert second.body == {name: value for name, value in first.body.items() if name != "n"} | {"seed": 12}
    assert first.headers["X-Team"] == "a" and first.headers["Authorization"] == "Bearer secret"
    assert "secret" not in repr(EndpointSettings("m", "u", api_key="secret"))


@pytest.mark.parametrize("refuse", [unknown, forbidden])
def test_what_is_refused_is_left_out_and_said_once(refuse: Callable[..., Refusal]) -> None:
    names = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "stop")
    request = Request("q/a", ASKED, Sampling(stop=("as",)))
    with Endpoint(refuse=refuse(*names), say=lambda asked, seed: "twice as many as nine") as server:
        came, notes = ask(server, request, request)
    assert [completion.error for completion in came] == ["", ""]
    assert [completion.text for completion in came] == ["twice "] * 2  # which the server does not do any more
    assert set(server.received[-1].body) == {"model", "messages", "max_completion_tokens"}
    assert len(notes) == len(names) and all(sum(name in note for note in notes) >= 1 for name in names)
    assert not server.received[-2].whole or server.received[-2].body == server.received[-1].body


def test_a_value_that_is_refused_is_no_unknown_setting() -> None:
    said = "max_tokens is too large: 9. This model supports at most 8 completion tokens, temperature 1"
    with Endpoint(refuse=lambda body: (400, {"error": {"message": said, "param": "max_tokens"}})) as server:
        [came], notes = ask(server, Request("q/a", ASKED, Sampling(max_tokens=9)))
    assert came.error == f"the server says 400: {said}" and notes == [] and len(server.received) == 1


@pytest.mark.parametrize("server", [Endpoint(choices=1), Endpoint(refuse=unknown("n"))], ids=["ignored", "refused"])
def test_samples_of_a_server_without_n_are_requests_of_their_own(server: Endpoint) -> None:
    requests = [Request(f"q{place}/a", ASKED, indices=(0, 1, 2), seed=5) for place in range(2)]
    with server:
        came, [note] = ask(server, *requests)
    assert [completion.text for completion in came] == 2 * [text_of(ASKED, 5 + i) for i in range(3)]
    assert "each sample is a request of its own" in note
    assert sum(one.whole for one in server.received) == 6


def test_what_is_missing_of_several_choices_is_asked_for() -> None:
    with Endpoint(choices=2) as server:
        came, notes = ask(server, Request("q/a", ASKED, indices=tuple(range(5))))
    assert [completion.text for completion in came] == [text_of(ASKED, i) for i in range(5)] and notes == []
    assert [one.body.get("n", 1) for one in server.received] == [5, 3, 1]
    assert sum(c.completion_tokens for c in came) == sum(one.completion_tokens for one in server.received)


def test_a_prefix_begins_the_answer() -> None:
    with Endpoint() as server:
        [came], _ = ask(server, Request("q/a", TURNS, prefix="Let me"))
        assert not came.error
        [refused], _ = ask(server, Request("q/a", TURNS, prefix_ids=(1, 2)))
    assert "endpoint.api=completions" in refused.error
    [received] = server.received
    assert received.body["messages"] == [*TURNS, {"role": "assistant", "content": "Let me"}]
    assert received.body["continue_final_message"] is True and received.body["add_generation_prompt"] is False


def test_completions_are_asked_by_token_ids(tiny_model: str) -> None:
    from raydistill.actors.engine.remote.engine import load_tokenizer
    from raydistill.actors.engine.rendering import prompt_ids

    request = Request("q/a", TURNS, prefix="Let me", prefix_ids=(5, 6))
    with Endpoint() as server:
        [came], _ = ask(server, request, api="completions", tokenizer=tiny_model)
    assert not came.error and came.text
    assert server.received[0].body["prompt"] == prompt_ids(load_tokenizer(tiny_model), request)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>\nhm\n</think>\n\n6", "hm", "6"),
        ("so it is</think>6", "so it is", "6"),
        ("<think>cut", "cut", ""),
        ("6 < 7", "", "6 < 7"),
    ],
)
def test_think_tags(text: str, reasoning: str, answer: str) -> None:
    assert split_reasoning(text) == (reasoning, answer)


def reply(message: dict[str, Any], **choice: Any) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": message, **choice}]}).encode()


@pytest.mark.parametrize(
    "message",
    [
        {"content": "6", "reasoning_content": "hm"},
        {"content": "6", "reasoning": "hm"},
        {"content": "<think>hm</think>6", "reasoning_content": None},
        {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "6"}]},
    ],
)
def test_reasoning_is_kept_apart(message: dict[str, Any]) -> None:
    [choice] = read_reply(reply(message, finish_reason="max_tokens")).choices
    assert (choice.reasoning, choice.text, choice.finish_reason) == ("hm", "6", "length")


def test_answers_that_are_none() -> None:
    [nothing] = read_reply(reply({"content": None}, finish_reason="stop")).choices
    assert nothing.text == "" and read_reply(b'{"choices": [], "usage": {}}').usage is None
    assert "withheld" in read_reply(reply({"content": "6"}, finish_reason="content_filter")).choices[0].withheld
    for body in (b"<html>", b"[]", b"{}", b'{"choices": [{"index": 0}]}', b'{"choices": [3]}'):
        with pytest.raises(MalformedReply):
            read_reply(body)
    with pytest.raises(MalformedReply, match="overloaded") as failed:
        read_reply(b'{"error": {"message": "overloaded"}}')
    assert not failed.value.paid


def test_log_probabilities_by_token_id() -> None:
    step = {"token": "token_id:7", "logprob": -0.5, "top_logprobs": [{"token": "token_id:9", "logprob": -0.1}]}

    def answer(body: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
        assert body["logprobs"] is True and body["top_logprobs"] == 1 and body["return_tokens_as_token_ids"] is True
        reply["choices"][0]["logprobs"] = {"content": [step, step]}
        return reply

    with Endpoint(answer=answer) as server:
        [came], _ = ask(server, Request("q/a", ASKED, Sampling(logprobs=1)))
    assert came.token_ids == (7, 7) and came.logprobs == ({9: -0.1, 7: -0.5},) * 2
    with Endpoint(refuse=unknown("logprobs")) as server:
        [came], [note] = ask(server, Request("q/a", ASKED, Sampling(logprobs=1)))
    assert came.text and came.logprobs is None and "logprobs" in note


def test_what_a_tokenizer_counts(tiny_model: str, tmp_path: Any) -> None:
    """A server that never counts: its tokens are those of the model's tokenizer."""
    from raydistill.actors.engine.ledger import read_spending
    from raydistill.actors.engine.remote.engine import load_tokenizer

    with Endpoint(fault=lambda asked: "no usage") as server:
        [came], _ = ask(server, Request("q/a", TURNS), tokenizer=tiny_model, ledger=str(tmp_path))
    assert came.completion_tokens == len(load_tokenizer(tiny_model).encode(came.text)) + 1
    spent = read_spending(str(tmp_path))
    assert spent.estimated == spent.tokens == came.completion_tokens and spent.lost == 0
    assert spent.prompt_tokens == came.prompt_tokens > 0


def test_shares_add_up() -> None:
    assert shares(10, [1, 2]) == [3, 7] and shares(7, [0, 0]) == [4, 3] and sum(shares(99, [5, 1, 1, 8])) == 99


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 0), ({"retry-after": "2.5"}, 2.5), ({"retry-after-ms": "300"}, 0.3), ({"retry-after": "soon"}, 0)],
)
def test_retry_after(headers: dict[str, str], seconds: float) -> None:
    assert retry_after(headers) == seconds
    assert retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}) > 10**9


class Skipping(asyncio.SelectorEventLoop):
    """An event loop in which waiting takes no time: its clock goes on to whatever is due next."""

    _clock = 0.0

    def time(self) -> float:
        return self._clock

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self._clock = max(self._clock, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def places(answer_s: Callable[[int], float], bears: int = 1000) -> tuple[float, int]:
    """(places after 1,500 answers, refusals) of a server that answers `bears` requests at a time, refusing others.

    Each answer has ten tokens and takes as long as `answer_s` says of so many under way.
    """

    async def work() -> tuple[float, int]:
        limit, refused = AdaptiveLimit(128), 0

        async def one() -> None:
            nonlocal refused
            answered = False
            while not answered:
                place = await limit.enter()
                answered = limit.under_way <= bears
                await asyncio.sleep(answer_s(limit.under_way) if answered else 0.01)
                if answered:
                    limit.answered(10)
                else:
                    refused += 1
                    limit.congested(place, 0.1)
                limit.leave()

        await asyncio.gather(*(one() for _ in range(1500)))
        return limit.places, refused

    with asyncio.Runner(loop_factory=Skipping) as runner:
        return runner.run(work())


def test_places_grow_as_long_as_it_pays() -> None:
    """A server that answers as quickly under any load gets all it can take, one with a queue behind 16 does not."""
    assert places(lambda under_way: 0.05) == (128, 0)
    queueing, _ = places(lambda under_way: 0.05 * max(1, under_way / 16))
    assert 8 <= queueing <= 48


def test_places_shrink_where_the_server_refuses() -> None:
    found, refused = places(lambda under_way: 0.05, bears=20)
    assert 8 <= found <= 40 and refused < 150


def test_a_cancelled_request_gives_its_turn_on() -> None:
    async def scenario() -> None:
        limit = AdaptiveLimit(1)
        await limit.enter()
        first, second = asyncio.create_task(limit.enter()), asyncio.create_task(limit.enter())
        await asyncio.sleep(0)
        limit.leave()
        first.cancel()
        await asyncio.wait_for(second, 5)

    asyncio.run(scenario())
