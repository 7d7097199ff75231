"""The engine actor: a real vLLM over a tiny model, called through its pool (`tests.engines`)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from raydistill.actors.engine.engine import consecutive
from raydistill.actors.engine.ledger import read_spending
from raydistill.actors.engine.recorded import RecordedEngine
from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.actors.errors import EngineError, UsageError
from raydistill.actors.pool import Pool, PoolSettings
from tests.processes import below
from tests.waiting import wait_until

QUESTION = [{"role": "user", "content": "What is 3 plus 3?"}]


def generate(pool: Pool, *requests: Request) -> list[Completion]:
    return asyncio.run(pool.client.call("generate", list(requests)))


def test_consecutive_indices() -> None:
    assert list(consecutive((3, 0, 1, 5, 6))) == [(0, 2), (3, 1), (5, 2)]
    assert list(consecutive(())) == []
    assert list(consecutive(range(5), 2)) == [(0, 2), (2, 2), (4, 1)]


def test_samples_are_reproducible_and_independent_of_their_siblings(pool: Pool) -> None:
    sampling = Sampling(max_tokens=12)
    every = generate(pool, Request("q", QUESTION, sampling, (0, 1, 2), seed=7))
    assert [completion.index for completion in every] == [0, 1, 2]
    assert len({completion.text for completion in every}) == 3
    alone = generate(pool, Request("q", QUESTION, sampling, (2,), seed=7))
    assert alone[0].text == every[2].text
    assert alone[0].seed == 9


def test_without_a_gpu_an_engine_computes_in_its_core(pool: Pool) -> None:
    """vLLM's own choice there is a worker process, whose core waits for it in a loop that takes a whole CPU."""
    assert list(processes(pool).values()) == ["VLLM::EngineCore"]


def processes(pool: Pool) -> dict[int, str]:
    """The names of an engine's processes, by their ids."""
    replica = asyncio.run(pool.client.call("describe"))["pid"]
    return {process.pid: process.name() for process in below(replica, "VLLM::")}


def test_no_second_copy_is_imported_into_an_engine(pool: Pool, imported: Path) -> None:
    """As tests/test_house.py looks into driver and worker."""
    [core] = processes(pool)
    assert "raydistill.actors.engine.worker" in (imported / f"imports-{core}").read_text().split()
    names = [name for path in imported.glob("imports-*") for name in path.read_text().split()]
    assert {name.partition(".")[0] for name in names} == {"raydistill"}


def test_greedy_stop_counts_and_finish_reasons(pool: Pool) -> None:
    greedy = Request("g", QUESTION, Sampling(temperature=0, max_tokens=8))
    (whole,) = generate(pool, greedy)
    assert (whole.completion_tokens, whole.finish_reason) == (8, "length")
    assert whole.prompt_tokens > 0 and len(whole.token_ids) == 8
    stop = whole.text[3:5]
    (cut,) = generate(pool, Request("s", QUESTION, Sampling(temperature=0, max_tokens=8, stop=(stop,))))
    assert cut.finish_reason == "stop"
    assert cut.text == whole.text[: whole.text.index(stop)]


def test_log_probabilities_of_answer_and_prompt(pool: Pool) -> None:
    sampling = Sampling(temperature=0, max_tokens=3, logprobs=2, prompt_logprobs=1)
    (completion,) = generate(pool, Request("l", "What is 3", sampling))
    assert completion.logprobs is not None and len(completion.logprobs) == 3
    for token, alternatives in zip(completion.token_ids, completion.logprobs, strict=True):
        assert alternatives[token] == max(alternatives.values()) <= 0
    assert completion.prompt_logprobs is not None
    assert completion.prompt_logprobs[0] is None and len(completion.prompt_logprobs) == completion.prompt_tokens


def test_a_prefix_is_continued(pool: Pool) -> None:
    (whole,) = generate(pool, Request("p", QUESTION, Sampling(temperature=0, max_tokens=8)))
    head = whole.text[:1]
    (rest,) = generate(pool, Request("p", QUESTION, Sampling(temperature=0, max_tokens=8), prefix=head))
    assert rest.prompt_tokens > whole.prompt_tokens


def test_json_schema_holds_the_output(pool: Pool) -> None:
    schema = {
        "type": "object",
        "properties": {"answer": {"enum": ["yes", "no"]}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    (completion,) = generate(pool, Request("j", QUESTION, Sampling(max_tokens=40, json_schema=schema), seed=3))
    assert json.loads(completion.text)["answer"] in ("yes", "no")


def test_one_bad_request_fails_alone(pool: Pool) -> None:
    too_long = Request("long", "word " * 2000, Sampling(max_tokens=4), (0, 1))
    good = Request("good", QUESTION, Sampling(max_tokens=4))
    bad_0, bad_1, fine = generate(pool, too_long, good)
    assert bad_0.finish_reason == bad_1.finish_reason == "error" and "256" in bad_0.error
    assert fine.finish_reason in ("stop", "length") and not fine.error


def test_greedy_with_several_samples_is_refused(pool: Pool) -> None:
    refused = generate(pool, Request("n", QUESTION, Sampling(temperature=0, max_tokens=4), (0, 1)))
    assert all("temperature" in completion.error for completion in refused)


def test_lora_adapters_change_the_answer(pool: Pool, tiny_model: str, tmp_path: Path) -> None:
    adapter = write_adapter(tiny_model, tmp_path / "adapter")
    sampling = Sampling(temperature=0, max_tokens=8)
    (plain,) = generate(pool, Request("a", QUESTION, sampling))
    (adapted,) = generate(pool, Request("a", QUESTION, sampling, adapter=adapter))
    assert not adapted.error and adapted.text != plain.text


def write_adapter(model: str, folder: Path) -> str:
    """A LoRA adapter with random weights on the attention of `model`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(model), config).save_pretrained(folder)
    return str(folder)


def test_new_weights_in_place_and_back(pool: Pool, tiny_model: str, other_weights: str) -> None:
    request = Request("w", QUESTION, Sampling(temperature=0, max_tokens=8))
    before = generate(pool, request)
    pid = asyncio.run(pool.client.call("describe"))["pid"]
    pool.start(weights=other_weights)
    changed = generate(pool, request)
    pool.start(weights=tiny_model)
    again = generate(pool, request)
    assert changed[0].text != before[0].text == again[0].text
    for completion, model in ((before[0], tiny_model), (changed[0], other_weights)):
        assert completion.text == greedy_text(model).removesuffix("\ufffd")  # half a character is held back
    assert asyncio.run(pool.client.call("describe"))["pid"] == pid


def greedy_text(model: str) -> str:
    """Eight tokens of `model` on QUESTION by transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    prompt = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = AutoModelForCausalLM.from_pretrained(model).generate(**prompt, max_new_tokens=8, do_sample=False)
    return str(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))


def test_the_ledger_knows_every_token(pool: Pool, ledger: str) -> None:
    request = Request("t", QUESTION, Sampling(max_tokens=9), (0, 1), seed=1, purpose="counted")
    spent = sum(completion.completion_tokens for completion in generate(pool, request))
    wait_until(lambda: read_spending(ledger, "counted").tokens == spent, 60, f"{spent} tokens in the ledger")
    assert read_spending(ledger, "counted").attempts == 2


def test_health_is_a_generated_token(pool: Pool) -> None:
    assert asyncio.run(pool.client.call("check_health")) is None


@pytest.mark.slow
def test_a_killed_engine_is_replaced_and_no_call_is_lost(pool: Pool) -> None:
    import os
    import signal

    async def scenario() -> tuple[list[Completion], int]:
        victim = (await pool.client.call("describe"))["pid"]
        sampling = Sampling(max_tokens=100)
        calls = [pool.client.call("generate", [Request(f"k{i}", QUESTION, sampling, seed=i)]) for i in range(40)]
        pending = asyncio.gather(*calls)
        await asyncio.sleep(0.5)
        os.kill(victim, signal.SIGKILL)
        answers = await pending
        return [c for answer in answers for c in answer], victim

    completions, victim = asyncio.run(scenario())
    assert [completion.request_id for completion in completions] == [f"k{i}" for i in range(40)]
    assert not any(completion.error for completion in completions)
    assert asyncio.run(pool.client.call("describe"))["pid"] != victim


class Failing:
    def __init__(self) -> None:
        raise EngineError("the model file is torn")


class Refusing:
    def refuse(self) -> None:
        raise UsageError("not like this")


def test_a_pool_that_cannot_start_says_why(cluster: None) -> None:
    with pytest.raises(EngineError, match="the model file is torn"):
        Pool(PoolSettings("test-failing", Failing, cpus=0.1)).start()


def test_errors_of_members_come_through(cluster: None) -> None:
    pool = Pool(PoolSettings("test-refusing", Refusing, cpus=0.1))
    pool.start()
    try:
        with pytest.raises(UsageError, match="not like this"):
            asyncio.run(pool.client.call("refuse"))
    finally:
        pool.release()


def test_recorded_answers_and_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl"
    lines = [{"question": "a", "completion": "one"}, {"question": "a", "completion": "two"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    engine = RecordedEngine([str(path)])
    answers = asyncio.run(engine.generate([Request("r", "", indices=(0, 1, 2), key="a")]))
    assert [answer.text for answer in answers] == ["one", "two", ""]
    assert answers[2].finish_reason == "error" and "no completion 2" in answers[2].error


def test_recorded_values_become_text_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "recorded.jsonl"
    values = ["1", "1.0", '"2024-05-01"', "true", "100000000000000000001", '"text"', "null"]
    path.write_text("".join(f'{{"question": "a", "completion": {value}}}\n' for value in values), encoding="utf-8")
    answers = asyncio.run(RecordedEngine([str(path)]).generate([Request("r", "", indices=tuple(range(7)), key="a")]))
    texts = ["1", "1.0", "2024-05-01", "True", "100000000000000000001", "text"]
    assert [answer.text for answer in answers[:-1]] == texts and answers[-1].error  # null is no completion


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("", "no column 'question'; it has no rows"),
        ('{"question": "a"}\n', "no column 'completion'"),
        ("{broken\n", "recorded.jsonl:1: not valid JSON"),
        (
            '{"question": "a", "completion": "\\ud800"}\n',
            "recorded.jsonl:1: the field 'completion' holds half of a surrogate pair",
        ),
    ],
)
def test_bad_recordings_are_one_clear_line(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "recorded.jsonl"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        RecordedEngine([str(path)])
