"""Scores of given token ids by a real vLLM over a tiny model: exact ids, no cache, room, and what samples had."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raydistill.actors.engine.rendering import PLAIN_TURNS
from raydistill.actors.engine.requests import Completion, Request, Sampling, Scored, ScoreRequest
from raydistill.actors.engine.scoring import Room, adapts_output
from raydistill.actors.pool import Pool
from raydistill.pipelines.config.sections import Lora, Train
from raydistill.pipelines.data.records import TokenIds
from raydistill.pipelines.scoring.preflight import gap, trainer_logprobs
from tests.actors.engine.test_engine import write_adapter
from tests.actors.engine.test_rendering import ADDING_BOS, ADDING_SYSTEM, TRIMMING
from tests.engines import CONTEXT
from tests.tiny import TEMPLATE

QUESTION = [{"role": "user", "content": "What is 3 plus 3?"}]
TEMPLATES = {"own": TEMPLATE, "bos": ADDING_BOS, "system": ADDING_SYSTEM, "trimming": TRIMMING, "plain": PLAIN_TURNS}


@pytest.fixture(scope="module")
def adapter(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_adapter(tiny_model, tmp_path_factory.mktemp("adapter") / "adapter")


def sample(pool: Pool, prompt: Any = QUESTION, n: int = 3, **changes: Any) -> list[Completion]:
    sampling = Sampling(max_tokens=16, logprobs=0)
    return asyncio.run(pool.client.call("generate", [Request("s", prompt, sampling, tuple(range(n)), **changes)]))


def score(pool: Pool, samples: list[Completion], **changes: Any) -> list[Scored]:
    asked = [ScoreRequest(str(c.index), c.prompt_ids, c.token_ids, **changes) for c in samples]
    return asyncio.run(pool.client.call("score", asked))


def apart(samples: list[Completion], scores: list[Scored]) -> float:
    assert not any(told.error for told in scores)
    return gap([c.token_logprobs or () for c in samples], [told.logprobs for told in scores]).largest


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_models_score_of_its_own_sample_is_what_it_was_sampled_with(
    pool: Pool, tiny_model: str, other_weights: str, adapter: str, template: str
) -> None:
    """For each template, with full weights and an adapter, before and after new weights in place."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    text = tokenizer.apply_chat_template(
        QUESTION, chat_template=TEMPLATES[template], tokenize=False, add_generation_prompt=True
    )
    drawn = {}
    for weights in (tiny_model, other_weights, tiny_model):
        pool.start(weights=weights)
        for path in (None, adapter):
            samples = sample(pool, text, adapter=path)
            assert samples[0].prompt_ids and apart(samples, score(pool, samples, adapter=path)) < 1e-3
            drawn.setdefault((weights, path), samples)
    full, adapted = drawn[tiny_model, None], drawn[tiny_model, adapter]
    assert apart(full, score(pool, full, adapter=adapter)) > 0.01  # other weights, other scores
    assert apart(adapted, score(pool, adapted)) > 0.01
    assert apart(drawn[other_weights, None], score(pool, drawn[other_weights, None])) > 0.01


def test_scores_are_those_of_a_direct_forward_pass(pool: Pool, tiny_model: str, adapter: str) -> None:
    rows = [TokenIds((1, 17, 30, 9), (44, 2)), TokenIds((5,), (300, 301, 302, 7)), TokenIds((40, 41), (1, 1, 1))]
    asked = [ScoreRequest(str(i), row.prompt, row.completion) for i, row in enumerate(rows)]
    for path, lora in ((None, None), (adapter, Lora(rank=4))):
        requests = [ScoreRequest(r.id, r.prompt, r.completion, 0, path) for r in asked]
        told = asyncio.run(pool.client.call("score", requests))
        direct = trainer_logprobs(Train(student=tiny_model, lora=lora), rows, path)
        assert gap(direct, [one.logprobs for one in told]).largest < 1e-3


def test_the_most_likely_tokens_come_with_it(pool: Pool) -> None:
    samples = sample(pool)
    plain, told = score(pool, samples), score(pool, samples, top_k=8)
    assert gap([one.logprobs for one in plain], [one.logprobs for one in told]).largest < 1e-4
    for one in told:
        assert {len(ids) for ids in one.top_ids} == {8} and all(len(set(ids)) == 8 for ids in one.top_ids)
        assert all(list(values) == sorted(values, reverse=True) for values in one.top_logprobs)
        for token, logprob, ids, values in zip(
            samples[int(one.request_id)].token_ids, one.logprobs, one.top_ids, one.top_logprobs, strict=True
        ):
            assert values[ids.index(token)] == logprob if token in ids else logprob <= values[-1]
    assert not plain[0].top_ids


def test_a_cached_prompt_is_scored_whole(pool: Pool) -> None:
    """vLLM has no log-probabilities of tokens that it takes from its prefix cache, and skips it therefore."""
    prompt = tuple(range(10, 110))
    generated = Request("warm", "", Sampling(max_tokens=1), prefix_ids=prompt)
    asyncio.run(pool.client.call("generate", [generated, generated]))
    asked = ScoreRequest("cached", prompt[:1], prompt[1:])
    first, second = asyncio.run(pool.client.call("score", [asked])), asyncio.run(pool.client.call("score", [asked]))
    assert len(first[0].logprobs) == 99 and first[0].logprobs == pytest.approx(second[0].logprobs, abs=1e-4)


def test_what_cannot_be_scored_fails_alone_in_one_line(pool: Pool) -> None:
    fits = ScoreRequest("fits", (1,), (9,) * (CONTEXT - 2))
    bad = [
        ScoreRequest("long", (1,), (9,) * (CONTEXT - 1)),
        ScoreRequest("no prompt", (), (9,)),
        ScoreRequest("no token", (1,), (1_000_000,)),
        ScoreRequest("top", (1,), (9,), top_k=65),
    ]
    fine, *failed = asyncio.run(pool.client.call("score", [fits, *bad]))
    assert not fine.error and len(fine.logprobs) == CONTEXT - 2
    assert "max_model_len to at least 257" in failed[0].error and "at least one token" in failed[1].error
    assert all(one.error and "\n" not in one.error and not one.logprobs for one in failed)


def test_an_adapter_of_the_output_layer_is_refused(adapter: str, tmp_path: Path) -> None:
    """Its part is left out of prompts' logits, with which vLLM 0.29 ends."""
    from safetensors.numpy import save_file

    save_file({"base_model.model.lm_head.lora_A.weight": np.zeros((4, 4))}, tmp_path / "adapter_model.safetensors")
    assert adapts_output(str(tmp_path)) and not adapts_output(adapter)


def test_room_is_given_in_turn_and_never_too_much() -> None:
    async def scenario() -> list[str]:
        room, told, held = Room(10), list[str](), 0

        async def enter(name: str, share: int) -> None:
            nonlocal held
            async with room.take(share):
                held += min(share, 10)
                assert held <= 10
                told.append(name)
                await asyncio.sleep(0.01)
                held -= min(share, 10)

        await asyncio.gather(enter("a", 6), enter("b", 6), enter("huge", 1000), enter("c", 1), enter("d", 9))
        return told

    assert asyncio.run(scenario()) == ["a", "b", "huge", "c", "d"]


def test_scoring_is_no_generation(pool: Pool) -> None:
    """One prefill: a hundred tokens cost less than to generate them."""
    asked = ScoreRequest("t", (1,), tuple(range(10, 160)))
    drawn = Request("g", QUESTION, Sampling(temperature=0, max_tokens=150))

    def took(method: str, request: Any) -> float:
        started = time.monotonic()
        asyncio.run(pool.client.call(method, [request]))
        return time.monotonic() - started

    took("score", asked)
    assert min(took("score", asked) for _ in range(3)) < took("generate", drawn)
