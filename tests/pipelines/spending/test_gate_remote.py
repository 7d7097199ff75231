"""A budget of 50,000 tokens before a real HTTP server, a fifth of whose requests meet faults; then raised."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from raydistill.actors.engine.ledger import LedgerReader
from raydistill.actors.engine.remote.engine import RemoteEngine
from raydistill.actors.engine.remote.settings import NO_KEY, EndpointSettings
from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.pipelines.spending.gate import UNASKED, Gate, Limits
from tests.endpoint import Endpoint

CAP, QUESTIONS, UNDER_WAY = 50_000, 1_000, 32
FAULTS = ("429", "500", "cut", "wrong JSON", "no usage")


class Engines:
    """A pool of one member."""

    def __init__(self, engine: RemoteEngine) -> None:
        self._engine = engine

    async def call(self, method: str, requests: list[Request]) -> list[Completion]:
        return await self._engine.generate(requests)


def asked(server: Endpoint, ledger: Path, cap: int, known: set[str]) -> list[Completion]:
    """What comes of all samples that are not known, two of each question, in a life of its own."""

    async def life() -> list[Completion]:
        settings = EndpointSettings(
            model="model", base_url=server.url, api_key=NO_KEY, most_requests=UNDER_WAY, ledger=str(ledger)
        )
        engine = RemoteEngine(settings)
        gate = Gate(Engines(engine), Limits(str(ledger), {"generated_tokens": cap}, {"p": None}), None, divides=True)
        sampling, calls = Sampling(max_tokens=100), []
        for question in range(QUESTIONS):
            indices = tuple(i for i in range(2) if f"q{question}/{i}" not in known)
            text = [{"role": "user", "content": f"question {question}"}]
            calls.append(gate.call("generate", [Request(f"q{question}", text, sampling, indices, purpose="p")]))
        try:
            return [completion for batch in await asyncio.gather(*calls) for completion in batch]
        finally:
            await engine.stop()

    return asyncio.run(life())


def test_a_cap_holds_over_faults_and_a_raised_one_pays_nothing_twice(tmp_path: Path) -> None:
    source = random.Random(0)
    faults = {f"question {i}": source.choice(FAULTS) for i in range(QUESTIONS) if source.random() < 0.2}
    with Endpoint(lambda question: faults.get(question, "")) as server:
        first = asked(server, tmp_path, CAP, set())
        came = {completion.sample_id for completion in first if not completion.error}
        spent = LedgerReader(str(tmp_path)).read()["p"].tokens
        longest = max(one.completion_tokens for one in server.received)
        assert CAP - longest <= spent <= CAP + UNDER_WAY * longest
        assert {c.error for c in first if c.sample_id not in came} == {f"{UNASKED}generated_tokens"}
        again = asked(server, tmp_path, CAP, came)
        assert not [completion for completion in again if not completion.error]
        assert LedgerReader(str(tmp_path)).read()["p"].tokens == spent
        raised = asked(server, tmp_path, 10 * CAP, came)
    print(f"{spent:,} of {CAP:,} tokens, {len(came):,} samples; {server.most_under_way} requests under way at most")
    assert all(not completion.error for completion in raised) and len(raised) + len(came) == 2 * QUESTIONS
    whole = Counter(
        (one.asked, one.body["seed"] + i) for one in server.received for i in range(one.body.get("n", 1)) if one.whole
    )
    assert set(whole.values()) == {1} and len(whole) == 2 * QUESTIONS
