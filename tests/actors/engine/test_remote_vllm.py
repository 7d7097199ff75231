"""The demo's teacher behind vLLM's own server, and the same teacher in a pool: they say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks.endpoint_faults.proxy import vllm_server
from raydistill.actors.engine.remote.engine import RemoteEngine
from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.pipelines.config.sections import EngineConfig, Questions
from raydistill.pipelines.prompts import render
from raydistill.pipelines.runtime.endpoints import check_endpoint, endpoint_settings
from raydistill.pipelines.runtime.pools import engine_pool
from raydistill.pipelines.tasks import load_questions
from tests import ROOT

pytestmark = pytest.mark.slow

TEACHER = ROOT / "demo/models/teacher"
GREEDY = Sampling(temperature=0, max_tokens=200)
ALIKE = 49  # of 50: another batch may turn a near-tie


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """vLLM's OpenAI server on loopback."""
    with vllm_server(TEACHER, tmp_path_factory.mktemp("vllm") / "log") as url:
        yield url


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """50 held-out questions of the demo."""
    questions = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=50, seed=990000)).questions
    return [
        Request(q.id, render("instruct", "program", q.text), GREEDY, seed=place) for place, q in enumerate(questions)
    ]


def begun(requests: list[Request], completions: list[Completion]) -> list[Request]:
    """The same questions with the first half of an answer."""
    halves = [completion.text[: len(completion.text) // 2].rstrip() for completion in completions]
    return [Request(r.id, r.prompt, r.sampling, prefix=half) for r, half in zip(requests, halves, strict=True)]


def remotely(url: str, requests: list[Request], **endpoint: object) -> list[Completion]:
    settings = {"base_url": url, "api_key_env": None, **endpoint}
    config = EngineConfig.model_validate({"engine": "openai", "model": "teacher", "endpoint": settings})
    check_endpoint(config, prefixes=True)

    async def ask() -> list[Completion]:
        engine = RemoteEngine(endpoint_settings(config))
        completions = await engine.generate(requests)
        assert (await engine.describe())["notes"] == []
        await engine.stop()
        return completions

    return asyncio.run(ask())


def alike(some: list[Completion], others: list[Completion]) -> int:
    assert not any(completion.error for completion in [*some, *others])
    return sum(one.text == other.text for one, other in zip(some, others, strict=True))


def test_greedy_texts_are_those_of_the_pool(cluster: None, url: str, requests: list[Request]) -> None:
    config = EngineConfig(model=str(TEACHER), dtype="float32", max_model_len=1024, kv_cache_gb=1, cpus=0.5)
    pool = engine_pool("beside-a-url", config, "")
    pool.start(weights=str(TEACHER))
    sampled = [Request(r.id, r.prompt, Sampling(max_tokens=200), (0, 1), seed=r.seed) for r in requests]
    try:
        here = asyncio.run(pool.client.call("generate", requests))
        here_sampled = asyncio.run(pool.client.call("generate", sampled))
        here_begun = asyncio.run(pool.client.call("generate", begun(requests, here)))
    finally:
        pool.release()
    there = remotely(url, requests)
    assert alike(here, there) >= ALIKE
    assert [one.prompt_tokens for one in here] == [one.prompt_tokens for one in there]
    same = [(one, other) for one, other in zip(here, there, strict=True) if one.text == other.text]
    assert all(one.completion_tokens == other.completion_tokens for one, other in same)
    assert {one.finish_reason for one in there} <= {"stop", "length"}
    assert alike(here_begun, remotely(url, begun(requests, here))) >= ALIKE
    by_ids = remotely(url, begun(requests, here), api="completions", tokenizer=str(TEACHER))
    assert alike(here_begun, by_ids) >= ALIKE
    assert alike(here_sampled, remotely(url, sampled)) >= 2 * ALIKE  # by the same seeds
