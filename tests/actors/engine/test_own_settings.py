"""An engine over a model whose folder has sampling settings, and whose vocabulary has rows that are no tokens."""

from __future__ import annotations

import asyncio
from shutil import copytree
from typing import Any

import pytest

from raydistill.actors.engine.engine import CACHE_VARIABLE, Engine, EngineSettings
from raydistill.actors.engine.requests import Completion, Request, Sampling
from tests.tiny import make_opinionated, pad_vocabulary

pytestmark = pytest.mark.slow  # the start of an engine

QUESTION = [{"role": "user", "content": "What is 3 plus 3?"}]
ROWS = 24  # that are no tokens
GREEDY = Sampling(temperature=0, max_tokens=24)


@pytest.fixture(scope="module")
def model(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = copytree(tiny_model, tmp_path_factory.mktemp("own") / "model")
    return str(make_opinionated(pad_vocabulary(folder, rows=ROWS)))


@pytest.fixture(scope="module")
def said(model: str) -> list[Completion]:
    """A greedy answer, then eight samples."""

    async def answers() -> list[Completion]:
        engine = Engine(EngineSettings(model, dtype="float32", max_model_len=256, kv_cache_gb=0.25))
        await engine.start()
        drawn = Request("s", QUESTION, Sampling(max_tokens=24, logprobs=1), tuple(range(8)), seed=7)
        try:
            return await engine.generate([Request("g", QUESTION, GREEDY), drawn])
        finally:
            await engine.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(CACHE_VARIABLE, raising=False)
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        patch.setenv("OMP_NUM_THREADS", "1")
        return asyncio.run(answers())


def tokenizer(model: str) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


def test_sampling_is_what_the_request_says(said: list[Completion], model: str) -> None:
    from transformers import AutoModelForCausalLM

    prompt = tokenizer(model).apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    neutral: dict[str, Any] = {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": GREEDY.max_tokens}
    answer = AutoModelForCausalLM.from_pretrained(model).generate(**prompt, **neutral)
    assert list(said[0].token_ids) == answer[0, prompt["input_ids"].shape[1] :].tolist()
    assert len({completion.token_ids for completion in said[1:]}) == 8  # the folder's top_k is 1


def test_rows_that_are_no_tokens_say_nothing(said: list[Completion], model: str) -> None:
    known = tokenizer(model)
    drawn = [token for completion in said for token in completion.token_ids]
    assert len(known) <= max(drawn) < len(known) + ROWS  # random weights give them as much as any token
    for completion in said:
        tokens = [token for token in completion.token_ids if token < len(known)]
        assert not completion.error and completion.completion_tokens == len(completion.token_ids)
        whole = known.decode(tokens, skip_special_tokens=True)
        assert whole.startswith(completion.text) and not whole[len(completion.text) :].strip("\ufffd")
