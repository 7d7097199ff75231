"""A model behind a URL that breaks: nothing is lost, doubled or paid for twice, and what it cost is known."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from raydistill.actors.engine.ledger import read_spending
from raydistill.actors.engine.remote.engine import RemoteEngine
from raydistill.actors.engine.remote.settings import EndpointSettings
from raydistill.actors.engine.requests import Completion, Request, Sampling
from tests.endpoint import FAULTS, PAID_AND_LOST, RETRY_AFTER_S, Endpoint, text_of

QUESTIONS = 270
TIMEOUT_S = 4.0  # of answers that take a hundredth of a second, on a machine that may be busy


def number(asked: str) -> int:
    return int(asked.split()[2])


def every_fifth(asked: str) -> str:
    """The fault of a question: a fifth of them meet one, each kind in turn."""
    place, rest = divmod(number(asked), 5)
    return FAULTS[place % len(FAULTS)] if rest == 0 else ""


def request(place: int) -> Request:
    """A question whose length varies; every fourth is asked for three samples."""
    asked = f"What is {place} plus {place}?" + " Explain each step of it." * (place % 7)
    indices = (0, 1, 2) if place % 4 == 1 else (0,)
    return Request(f"q{place}/plain", asked, Sampling(), indices, seed=place, purpose="faults")


async def answers(engine: RemoteEngine, requests: Sequence[Request]) -> list[Completion]:
    """As the pool calls it: many calls at a time, of one request each."""
    batches = await asyncio.gather(*(engine.generate([one]) for one in requests))
    await engine.stop()
    return [completion for batch in batches for completion in batch]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> tuple[Endpoint, list[Completion], str]:
    """What a server with faults has received, what came of it, and the ledger."""
    ledger = str(tmp_path_factory.mktemp("ledger"))
    with Endpoint(every_fifth) as server:
        settings = EndpointSettings("model", server.url, timeout_s=TIMEOUT_S, ledger=ledger)
        completions = asyncio.run(answers(RemoteEngine(settings), [request(place) for place in range(QUESTIONS)]))
    assert {one.fault for one in server.received} == {*FAULTS, ""}
    return server, completions, ledger


def test_none_is_lost_and_none_doubled(met: tuple[Endpoint, list[Completion], str]) -> None:
    _, completions, _ = met
    assert [completion.error for completion in completions if completion.error] == []
    wanted = [(one, index) for one in map(request, range(QUESTIONS)) for index in one.indices]
    assert [completion.sample_id for completion in completions] == [f"{one.id}/{index}" for one, index in wanted]
    assert [completion.text for completion in completions] == [
        text_of(str(one.prompt), one.seed + index) for one, index in wanted
    ]


def test_what_was_answered_whole_is_not_sent_again(met: tuple[Endpoint, list[Completion], str]) -> None:
    server, _, _ = met
    whole = Counter(one.asked for one in server.received if one.whole)
    assert len(whole) == QUESTIONS and set(whole.values()) == {1}
    last = {one.asked: one for one in server.received}
    assert all(one.whole for one in last.values())


def test_retry_after_is_obeyed(met: tuple[Endpoint, list[Completion], str]) -> None:
    server, _, _ = met
    refused = {one.asked: one.time for one in server.received if "Retry-After" in one.fault}
    again = [one for one in server.received if one.asked in refused and not one.fault]
    assert refused and all(one.time - refused[one.asked] >= RETRY_AFTER_S for one in again)


def test_tokens_are_those_that_the_server_counts(met: tuple[Endpoint, list[Completion], str]) -> None:
    """Exactly where the server has told them, within 5 % where it has not."""
    server, completions, ledger = met
    spent = read_spending(ledger, "faults")
    assert spent.attempts == len(server.received)
    unknown = [one for one in server.received if one.fault in (*PAID_AND_LOST, "no usage")]
    told = [one for one in server.received if one not in unknown]
    assert spent.tokens - spent.estimated == sum(one.completion_tokens for one in told)
    assert spent.estimated == pytest.approx(sum(one.completion_tokens for one in unknown), rel=0.05)
    assert spent.prompt_tokens == pytest.approx(sum(one.prompt_tokens for one in server.received), rel=0.005)
    lost = [one for one in server.received if one.fault in (*PAID_AND_LOST, "no choices")]
    assert spent.lost == pytest.approx(sum(one.completion_tokens for one in lost), rel=0.05)
    assert spent.lost == spent.tokens - sum(completion.completion_tokens for completion in completions)
    assert spent.lost_prompts == spent.prompt_tokens - sum(completion.prompt_tokens for completion in completions)


def test_a_server_that_stays_broken_fails_requests_alone() -> None:
    async def ask(url: str) -> list[Completion]:
        settings = EndpointSettings("model", url, timeout_s=TIMEOUT_S, attempts=2, patience_s=0)
        return await answers(RemoteEngine(settings), [request(place) for place in range(4)])

    def refuse(body: dict[str, object]) -> tuple[int, object] | None:
        broken = {0: (500, "broken"), 2: (429, {"error": {"message": "slow down"}}), 3: (404, {"detail": "Not Found"})}
        return broken.get(number(body["messages"][-1]["content"]))  # type: ignore[index]

    with Endpoint(refuse=refuse) as server:
        completions = asyncio.run(ask(server.url))
    assert [completion.error for completion in completions] == [
        "the server says 500: broken",
        "",
        "",
        "",
        "the server says 429: slow down",
        "the server says 404: Not Found",
    ]
    assert Counter(number(one.asked) for one in server.received) == {0: 2, 1: 1, 2: 1, 3: 1}


def test_fewer_requests_are_under_way_at_a_server_that_takes_few() -> None:
    """A server with room for six at a time: it is soon asked for about as many, and refuses few."""
    under_way, refused = 0, 0

    with Endpoint(
        refuse=lambda body: (429, {"error": {"message": "busy"}}) if server.under_way > 6 else None
    ) as server:
        settings = EndpointSettings("model", server.url, timeout_s=TIMEOUT_S)
        engine = RemoteEngine(settings)
        completions = asyncio.run(answers(engine, [request(place) for place in range(QUESTIONS)]))
        refused = sum(one.fault == "refused" for one in server.received)
        under_way = server.most_under_way
    assert not any(completion.error for completion in completions)
    assert under_way <= 20 and refused < QUESTIONS / 4
