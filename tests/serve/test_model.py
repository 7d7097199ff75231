"""The served student as a completer: it is sent the tokens that an engine of a run is sent, and answers as that does.

Its handle is stood in for by the service's own route for completions, which hands requests to the same deployment.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raydistill.actors.engine.rendering import prompt_ids
from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.actors.errors import UsageError
from raydistill.pipelines.config.sections import Beam
from raydistill.pipelines.data.records import Example, Question, WeightedText
from raydistill.pipelines.inference.beam import BeamSearch, TokenDecoder
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.registry import make_recipe
from raydistill.pipelines.training.tokens import load_tokenizer, tokenise
from raydistill.serve.model import Model
from raydistill.serve.student import Student
from tests.serve.conftest import Service
from tests.tiny import OWN_SYSTEM, PLANTED

ASKED = "A farmer has 3 hens and 4 ducks. How many birds does he have?"
MESSAGES = make_recipe(PaD()).student.prompts(Question("", ASKED, ""))[0].messages
GREEDY = Sampling(temperature=0, max_tokens=24)
NEUTRAL = {"do_sample": False, "repetition_penalty": 1.0}


class RouteHandle:
    """What `Model` calls: ``handle.completions.remote(body)``, answered over HTTP, and the length of the context."""

    def __init__(self, service: Service, student: str) -> None:
        self._service, self.sent = service, list[list[int]]()
        self.context = json.loads((Path(student) / "config.json").read_text())["max_position_embeddings"]
        self.completions = SimpleNamespace(remote=self._complete)
        self.context_length = SimpleNamespace(remote=self._context_length)

    def options(self, **_: object) -> RouteHandle:
        return self

    async def _complete(self, body: Any) -> AsyncIterator[Any]:
        from ray.serve.llm.openai_api_models import CompletionResponse, ErrorResponse

        self.sent.append(body.prompt)
        asked = body.model_dump(exclude_unset=True, exclude_none=True)
        code, answer = await asyncio.to_thread(self._service.request, "/v1/completions", asked)
        if code != 200:  # as the engines tell it: with the status as the code
            answer["error"]["code"] = code
        yield (CompletionResponse if code == 200 else ErrorResponse).model_validate(answer)

    async def _context_length(self) -> AsyncIterator[int]:
        yield self.context


@pytest.fixture(scope="module")
def handle(service: Service, student: str) -> RouteHandle:
    return RouteHandle(service, student)


@pytest.fixture(scope="module")
def model(handle: RouteHandle, student: str) -> Model:
    return Model(Student(Path(student).name, student, student), handle)


def generate(model: Any, *requests: Request) -> list[Completion]:
    return asyncio.run(model.call("generate", list(requests)))


@cache
def greedy_tokens(model: str) -> list[int]:
    """What transformers write for MESSAGES."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    prompt = tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    limit = GREEDY.max_tokens
    answer = AutoModelForCausalLM.from_pretrained(model).generate(**prompt, max_new_tokens=limit, **NEUTRAL)
    return answer[0, prompt["input_ids"].shape[1] :].tolist()


def test_the_tokens_of_an_engine_are_sent(model: Model, handle: RouteHandle, student: str) -> None:
    from vllm.tokenizers import get_tokenizer

    requests = [
        Request("chat", MESSAGES, GREEDY),
        Request("prefix", MESSAGES, GREEDY, prefix="def solution():", prefix_ids=(5, 6)),
        Request("text", "What is", GREEDY, prefix=" 3"),
    ]
    handle.sent.clear()
    told = generate(model, *requests)
    engines = get_tokenizer(student)  # as an engine has it
    expected = [prompt_ids(engines, request) for request in requests]
    assert sorted(handle.sent) == sorted(expected)
    assert [completion.prompt_tokens for completion in told] == [len(ids) for ids in expected]
    assert expected[0] == engines.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=False)


def test_greedy_answers_are_the_models(model: Model, service: Service, student: str) -> None:
    tokens = greedy_tokens(student)
    [said] = generate(model, Request("g", MESSAGES, GREEDY))
    assert list(said.token_ids) == tokens and said.completion_tokens == len(tokens)
    code, solved = service.request("/v1/solve", {"question": ASKED, "max_tokens": GREEDY.max_tokens})
    assert code == 200 and solved["completion"] == said.text
    assert (solved["prompt_tokens"], solved["completion_tokens"]) == (said.prompt_tokens, said.completion_tokens)


def test_a_templates_own_system_prompt_is_learned_evaluated_and_served(
    model: Model, handle: RouteHandle, service: Service, student: str
) -> None:
    from vllm.tokenizers import get_tokenizer

    evaluated = prompt_ids(get_tokenizer(student), Request("r", MESSAGES))
    [learned] = tokenise(load_tokenizer(student, None), [Example("e", "q", MESSAGES, (WeightedText("12"),))])
    assert learned.ids[: len(evaluated)] == evaluated
    assert get_tokenizer(student).decode(evaluated).count(OWN_SYSTEM) == 1
    handle.sent.clear()
    generate(model, Request("r", MESSAGES, GREEDY))
    assert handle.sent == [evaluated]
    assert service.request("/v1/solve", {"question": ASKED})[1]["prompt_tokens"] == len(evaluated)
    chat = {"model": Path(student).name, "messages": MESSAGES, "max_tokens": 1, "return_token_ids": True}
    assert service.request("/v1/chat/completions", chat)[1]["prompt_token_ids"] == evaluated


def test_what_a_models_folder_says_of_sampling_does_not_count(service: Service, student: str) -> None:
    def says(asked: Sequence[Mapping[str, str]], **settings: Any) -> list[int]:
        chat = {"model": Path(student).name, "messages": asked, "max_tokens": GREEDY.max_tokens, "seed": 4}
        code, answer = service.request("/v1/chat/completions", chat | {"return_token_ids": True} | settings)
        assert code == 200, answer
        return answer["choices"][0]["token_ids"]

    assert says(MESSAGES, temperature=0) == greedy_tokens(student)
    assert says(MESSAGES, temperature=0, repetition_penalty=5) != greedy_tokens(student)  # who asks for it has it
    strange = [{"role": "user", "content": "?"}]  # to which many answers are as likely
    assert says(strange) == says(strange, temperature=1, top_p=1, top_k=-1, repetition_penalty=1)
    assert says(strange) != says(strange, **PLANTED)


def test_what_was_written_is_gone_on_with(model: Model) -> None:
    [whole] = generate(model, Request("g", MESSAGES, GREEDY))
    [rest] = generate(
        model, Request("g", MESSAGES, Sampling(temperature=0, max_tokens=14), prefix_ids=whole.token_ids[:10])
    )
    assert rest.token_ids == whole.token_ids[10:]


def test_sample_i_has_the_seed_plus_i(model: Model) -> None:
    drawn = Sampling(temperature=2, max_tokens=12)
    several = generate(model, Request("s", MESSAGES, drawn, (0, 1, 3), seed=7))
    assert [(sample.index, sample.seed) for sample in several] == [(0, 7), (1, 8), (3, 10)]
    [alone] = generate(model, Request("s", MESSAGES, drawn, (1,), seed=7))
    [other] = generate(model, Request("s", MESSAGES, drawn, (0,), seed=10))
    assert (alone.token_ids, other.token_ids) == (several[1].token_ids, several[2].token_ids)
    assert len({sample.token_ids for sample in several}) > 1


def test_log_probabilities_are_by_token_id(model: Model) -> None:
    wanted = Sampling(temperature=0, max_tokens=3, logprobs=2, prompt_logprobs=1)
    [said] = generate(model, Request("l", MESSAGES, wanted))
    assert said.logprobs is not None and len(said.logprobs) == 3 and said.prompt_logprobs is not None
    for token, likely in zip(said.token_ids, said.logprobs, strict=True):
        assert len(likely) >= 2 and likely[token] == max(likely.values()) <= 0
    assert said.prompt_logprobs[0] is None and len(said.prompt_logprobs) == said.prompt_tokens
    [alone] = generate(model, Request("l", MESSAGES, Sampling(temperature=0, max_tokens=3, logprobs=0)))
    assert alone.logprobs is not None and [min(step.values()) for step in alone.logprobs] == [
        pytest.approx(step[token], abs=1e-4) for token, step in zip(said.token_ids, said.logprobs, strict=True)
    ]


def test_answers_end_where_the_context_does(model: Model, handle: RouteHandle, service: Service) -> None:
    long = [{"role": "user", "content": "one " * (handle.context // 4)}]
    [said] = generate(model, Request("c", long, Sampling(temperature=1, max_tokens=10**6)))
    assert 0 < said.completion_tokens <= handle.context - said.prompt_tokens
    code, solved = service.request("/v1/solve", {"question": "Why?", "max_tokens": 10**6})
    assert code == 200 and solved["prompt_tokens"] + solved["completion_tokens"] <= handle.context
    with pytest.raises(UsageError, match=f"no room .* maximum context length of {handle.context}"):
        generate(model, Request("c", "one " * handle.context))


def test_what_vllm_refuses_is_a_wrong_request(model: Model) -> None:
    with pytest.raises(UsageError, match="greedy"):
        generate(model, Request("n", MESSAGES, GREEDY, (0, 1)))
    with pytest.raises(UsageError, match="only generates"):
        asyncio.run(model.call("describe"))


def test_a_beam_search_runs_around_it(model: Model, student: str) -> None:
    beams = BeamSearch(Beam(width=2, candidates=2, max_lines=2), model, TokenDecoder(student, None))
    [best] = generate(beams, Request("b", MESSAGES, Sampling(max_tokens=40), seed=3))
    assert not best.error and best.text and best.completion_tokens > 0
    [again] = generate(beams, Request("b", MESSAGES, Sampling(max_tokens=40), seed=3))
    assert again.text == best.text
