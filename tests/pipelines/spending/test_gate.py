"""The budget's gate: what goes through, what waits, what is left out; in front of a model whose tokens are known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.engine.ledger import Ledger
from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.pipelines.config.budget import Prices
from raydistill.pipelines.spending.gate import UNASKED, Gate, Limits

PROMPT, GENERATED, MOST = 20, 30, 100


class Model:
    """Answers with as many tokens as `length` says, and keeps what it was asked."""

    def __init__(self, length: int = GENERATED) -> None:
        self.length, self.asked, self.under_way, self.most_under_way = length, list[str](), 0, 0

    async def call(self, method: str, requests: Sequence[Request]) -> list[Completion]:
        ids = [(request, i) for request in requests for i in request.indices]
        self.asked += [f"{request.id}/{i}" for request, i in ids]
        self.under_way += len(ids)
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= len(ids)
        return [Completion(r.id, i, "", "", "stop", PROMPT, self.length, 0, "model") for r, i in ids]


def request(name: int, samples: int = 1) -> Request:
    return Request(f"q{name}", "x" * 80, Sampling(max_tokens=MOST), tuple(range(samples)), purpose="ours")


def through(
    folder: Path,
    model: Model,
    caps: Mapping[str, float],
    requests: Sequence[Sequence[Request]],
    price: Prices | None = None,
    **limits: Any,
) -> list[Completion]:
    gate = Gate(model, Limits(str(folder), caps, {"ours": price}, **limits), price, divides=False)

    async def all_calls() -> list[list[Completion]]:
        return await asyncio.gather(*(gate.call("generate", list(asked)) for asked in requests))

    return [completion for batch in asyncio.run(all_calls()) for completion in batch]


def split(completions: Sequence[Completion]) -> tuple[list[Completion], list[Completion]]:
    return [c for c in completions if not c.error], [c for c in completions if c.error.startswith(UNASKED)]


@pytest.mark.parametrize(
    ("caps", "price", "fit"),
    [
        ({"generated_tokens": 3000}, None, 100),
        ({"prompt_tokens": 1000}, None, 50),
        ({"money": 0.00801}, Prices(prompt=1, generated=2), 100),  # 80 micro-units a sample
        ({"generated_tokens": 1e9, "prompt_tokens": 400}, None, 20),
    ],
)
def test_a_cap_is_filled_and_not_exceeded_where_answers_are_alike(
    tmp_path: Path, caps: dict[str, float], price: Prices | None, fit: int
) -> None:
    model = Model()
    came, unasked = split(through(tmp_path, model, caps, [[request(i)] for i in range(300)], price))
    assert len(came) == fit and len(came) + len(unasked) == 300 == len({c.sample_id for c in came + unasked})
    assert {c.error.removeprefix(UNASKED) for c in unasked} == {next(reversed(caps))}
    assert len(model.asked) == len(set(model.asked)) == fit


def test_before_anything_came_no_more_is_under_way_than_may_be_written(tmp_path: Path) -> None:
    model = Model(length=MOST)
    came, _ = split(through(tmp_path, model, {"generated_tokens": 1000}, [[request(i)] for i in range(300)]))
    assert len(came) == 10 and model.most_under_way == 10


def test_longer_answers_than_expected_exceed_a_cap_by_no_more_than_was_under_way(tmp_path: Path) -> None:
    model = Model(length=1)

    async def grow(method: str, requests: Sequence[Request], call: Any = model.call) -> list[Completion]:
        model.length = 1 if len(model.asked) < 50 else MOST
        return await call(method, requests)

    model.call = grow  # type: ignore[method-assign]
    came, unasked = split(through(tmp_path, model, {"generated_tokens": 1000}, [[request(i)] for i in range(2000)]))
    assert unasked and sum(c.completion_tokens for c in came) <= 1000 + model.most_under_way * MOST


def test_the_samples_of_a_question_are_asked_for_as_far_as_they_fit(tmp_path: Path) -> None:
    model = Model()
    came, unasked = split(through(tmp_path, model, {"generated_tokens": 310}, [[request(0, 4), request(1, 16)]]))
    assert (
        [c.sample_id for c in came] == model.asked == [*(f"q0/{i}" for i in range(4)), *(f"q1/{i}" for i in range(6))]
    )
    assert [c.index for c in unasked] == list(range(6, 16))


def test_what_earlier_lives_have_spent_counts_with_what_was_lost(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), interval=60)
    for purpose, tokens in (("ours", 2000), ("theirs", 5000)):
        entry = ledger.start("q", purpose)
        entry.tokens = tokens
        entry.lost = True
        entry.finish()
    ledger.start("killed", "ours").tokens = 400
    ledger.close()
    came, _ = split(through(tmp_path, Model(), {"generated_tokens": 3000}, [[request(i)] for i in range(300)]))
    assert len(came) == 20  # of 600 tokens


def test_a_budget_that_is_used_up_asks_nothing(tmp_path: Path) -> None:
    for limits in ({"used_up": "money"}, {"until": time.time()}):
        model = Model()
        came, unasked = split(through(tmp_path, model, {"wall_s": 1}, [[request(i, 2)] for i in range(5)], **limits))
        assert not came and not model.asked and len(unasked) == 10


def test_a_failing_model_holds_nothing_back(tmp_path: Path) -> None:
    class Broken(Model):
        async def call(self, method: str, requests: Sequence[Request]) -> list[Completion]:
            raise RuntimeError("gone")

    gate = Gate(Broken(), Limits(str(tmp_path), {"generated_tokens": 150}, {}), None, divides=False)

    async def three() -> list[Any]:
        asked = (gate.call("generate", [request(i)]) for i in range(3))
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 5)

    assert all(isinstance(error, RuntimeError) for error in asyncio.run(three()))
