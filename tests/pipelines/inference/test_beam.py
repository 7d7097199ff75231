"""Beam search over program lines: one rule of ranking, faithfulness, running programs so far, and a real engine."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.engine.requests import Completion, Request, Sampling
from raydistill.actors.errors import UsageError
from raydistill.actors.executor import Executor
from raydistill.actors.retrieval.encoder import DEFAULT_MODEL, PACKAGED, SentenceEncoder
from raydistill.pipelines.config.sections import Beam, EngineConfig, Questions
from raydistill.pipelines.inference.beam import BeamSearch, Hypothesis, TokenDecoder, best
from raydistill.pipelines.inference.faithfulness import Faithfulness, ProgramSoFar, runnable, steps
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.runtime.pools import engine_pool
from raydistill.pipelines.tasks import load_questions
from tests import ROOT

TEACHER = ROOT / "demo" / "models" / "teacher"

LINES = {  # what a scripted model may write after what, with the log-probability of the whole line; the first is greedy
    "": [("def solution():\n", -0.1)],
    "def solution():\n": [("    apples = 3\n", -0.5), ("    pears = 3\n", -0.6), ("    apples = missing\n", -0.2)],
    "def solution():\n    apples = 3\n": [("    return apples", -0.3), ("    return 3", -0.4)],
    "def solution():\n    pears = 3\n": [("    return pears", -0.3)],
    "def solution():\n    apples = missing\n": [("    return apples", -0.1)],
}
REQUEST = Request("q/program", [{"role": "user", "content": "?"}], Sampling(0.0, max_tokens=64), key="How many apples?")


def decode(ids: Sequence[int]) -> str:
    return "".join(map(chr, ids))


class ScriptedEngine:
    """Writes the lines above, one token per character; sample i takes the line after the greedy one."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def call(self, method: str, *arguments: Any) -> list[Completion]:
        (requests,) = arguments
        self.requests += requests
        return [self._write(request, index) for request in requests for index in request.indices]

    def _write(self, request: Request, index: int) -> Completion:
        lines = LINES[decode(request.prefix_ids)]
        greedy = request.sampling.temperature == 0
        line, logprob = lines[0 if greedy else min(index + 1, len(lines) - 1)]
        ids = tuple(map(ord, line))
        logprobs = tuple({token: logprob / len(ids)} for token in ids)
        text, seed = line.removesuffix("\n"), request.seed + index
        return Completion(request.id, index, text, "", "stop", 9, len(ids), seed, "", token_ids=ids, logprobs=logprobs)


class Prefers:
    """A verifier that likes lines with a word."""

    def __init__(self, word: str) -> None:
        self.word = word

    def log(self, question: str, lines: Sequence[str]) -> float:
        return sum(math.log(0.9 if self.word in line else 0.1) for line in lines)


class LocalExecutor:
    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._executor, method)(*arguments)


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    made = Executor()
    yield LocalExecutor(made)
    made.close()


def solve(config: Beam, **verification: Any) -> Completion:
    (completion,) = asyncio.run(
        BeamSearch(config, ScriptedEngine(), decode, **verification).call("generate", [REQUEST])
    )
    return completion


def test_hypotheses_of_equal_status_are_ranked_by_one_rule() -> None:
    short = Hypothesis((1, 2), "short", logprob=-1.0, faithfulness=-0.4, finished=True)
    long = Hypothesis((1, 2, 3, 4), "long", logprob=-1.6, faithfulness=-0.4, finished=True)
    unverified = Hypothesis((1, 2, 3), "unverified", logprob=-1.6, finished=True)
    assert [h.score for h in (short, long)] == pytest.approx([-0.7, -0.5])
    assert best([short, unverified, long], 3) == [long, unverified, short]
    unfinished = Hypothesis((1, 2, 3, 4), "unfinished", logprob=-1.6, faithfulness=-0.4)
    assert unfinished.score == long.score  # its steps count alike, whatever its status
    assert best([short, long, Hypothesis((9,), "long", logprob=-3.0, finished=True)], 2) == [long, short]


def test_a_beam_of_one_is_greedy() -> None:
    completion = solve(Beam(width=1, candidates=1))
    assert completion.text == "def solution():\n    apples = 3\n    return apples"
    assert (completion.finish_reason, completion.sample_id) == ("stop", "q/program/0")
    assert completion.completion_tokens == len(completion.text)


def test_a_plain_beam_finds_what_greedy_misses_and_counts_what_it_costs() -> None:
    completion = solve(Beam(width=2, candidates=3))
    assert completion.text.startswith("def solution():\n    apples = missing\n")
    assert completion.completion_tokens > 2 * len(completion.text)


def test_the_verifier_changes_the_ranking() -> None:
    assert "pears" in solve(Beam(width=3, candidates=3), verifier=Prefers("pears")).text
    assert "apples" in solve(Beam(width=3, candidates=3), verifier=Prefers("apples")).text


def test_candidates_whose_program_so_far_raises_are_dropped(executor: LocalExecutor) -> None:
    completion = solve(Beam(width=2, candidates=3, execution=True), executors=executor)
    assert "missing" not in completion.text and completion.finish_reason == "stop"


def test_hypotheses_end_at_the_tokens_allowed_to_each() -> None:
    short = replace(REQUEST, sampling=replace(REQUEST.sampling, max_tokens=20))
    engine = ScriptedEngine()
    (completion,) = asyncio.run(BeamSearch(Beam(width=2, candidates=2), engine, decode).call("generate", [short]))
    assert completion.finish_reason == "length"
    assert [request.sampling.max_tokens for request in engine.requests] == [20, 20, 4, 4]


def test_seeds_of_lines_differ_and_repeat() -> None:
    def seeds() -> list[int]:
        engine = ScriptedEngine()
        asyncio.run(BeamSearch(Beam(width=2, candidates=3), engine, decode).call("generate", [REQUEST]))
        return [request.seed for request in engine.requests if request.sampling.temperature]

    assert seeds() == seeds() and len(set(seeds())) == len(seeds())


def test_an_engines_error_fails_the_request_alone() -> None:
    class Refuses:
        async def call(self, method: str, *arguments: Any) -> list[Completion]:
            return [Completion(r.id, 0, "", "", "error", 0, 0, 0, "", error="no") for r in arguments[0]]

    (completion,) = asyncio.run(BeamSearch(Beam(), Refuses(), decode).call("generate", [REQUEST]))
    assert (completion.error, completion.finish_reason) == ("no", "error")


@pytest.mark.parametrize(
    ("text", "raises"),
    [
        ("def solution():\n    a = 3\n", False),
        ("```python\ndef solution():\n    a = b + 3\n", True),
        ("def solution():\n    for i in range(3):\n", False),
        ("def solution():\n    for i in missing:\n", True),
        ("def solution():\n    a = (3 +\n", False),
        ("def solution():\n    a = 3 +\n", True),
        ("def half(x):\n    return x / 0\n", False),
        ("I think that", False),
    ],
)
def test_which_programs_so_far_raise(text: str, raises: bool, executor: LocalExecutor) -> None:
    assert asyncio.run(ProgramSoFar(executor).raising([text])) == [raises]


def test_only_completed_lines_that_say_something_are_steps() -> None:
    text = "```python\ndef solution():\n    # eggs\n\n    eggs = 3\n    return eg"
    assert steps(text, finished=False) == ["# eggs", "eggs = 3"]
    assert steps(text + "gs\n```", finished=True) == ["# eggs", "eggs = 3", "return eggs"]
    assert runnable("no program") is None


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of random weights whose vocabulary is single letters and a few words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "how", "many", "apples", "pears", "=", "3"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


def test_faithfulness_is_the_best_cosine_of_a_line_with_a_sentence(tiny_encoder: str) -> None:
    import numpy as np

    encoder = SentenceEncoder(tiny_encoder)
    alone, run_on_driver_node = encoder.encode(["how many apples"])[0], encoder.encode(["apples", "how many apples"])[1]
    assert np.allclose(alone, run_on_driver_node, atol=1e-5) and math.isclose(float(alone @ alone), 1, abs_tol=1e-5)
    verifier = pickle.loads(pickle.dumps(Faithfulness(tiny_encoder)))
    exact, other = verifier.score("How many pears? How many apples?", ["how many apples?", "= 3"])
    assert math.isclose(exact, 1, abs_tol=1e-5)
    sentences, line = encoder.encode(["How many pears?", "How many apples?"]), encoder.encode(["= 3"])[0]
    assert math.isclose(other, (1 + max(sentences @ line)) / 2, abs_tol=1e-5)
    assert math.isclose(verifier.log("How many apples?", ["how many apples?"] * 2), 0, abs_tol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec(PACKAGED[DEFAULT_MODEL]) is None, reason="needs raydistill[encoder]")
def test_the_default_encoder_knows_what_belongs_together() -> None:
    near, far = Faithfulness(DEFAULT_MODEL).score("How many apples does Ann eat?", ["apples_eaten = 3", "speed = 60"])
    assert near > far + 0.1


def test_a_missing_encoder_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sentence encoder"):
        SentenceEncoder(str(tmp_path))


@pytest.mark.skipif(not (TEACHER / "model.safetensors").is_file(), reason="needs the demo's teacher")
@pytest.mark.slow
def test_a_real_engines_lines_join_to_its_greedy_answers(
    cluster: None, executor: LocalExecutor, tmp_path: Path
) -> None:
    config = EngineConfig(model=str(TEACHER), dtype="float32", max_model_len=512, kv_cache_gb=1)
    pool = engine_pool("test-beam", config, str(tmp_path))
    pool.start(weights=str(TEACHER))
    try:
        questions = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=6, seed=5)).questions
        asked, sampling = ProgramAidedDistillation(PaD()).student, Sampling(temperature=0, max_tokens=200)
        requests = [Request(q.id, asked.prompts(q)[0].messages, sampling, key=q.text) for q in questions]
        whole = asyncio.run(pool.client.call("generate", requests))
        decoder = TokenDecoder(str(TEACHER), None)
        one, several = Beam(width=1, candidates=1), Beam(width=2, candidates=2, execution=True)
        lines = asyncio.run(BeamSearch(one, pool.client, decoder).call("generate", requests))
        beams = asyncio.run(BeamSearch(several, pool.client, decoder, executors=executor).call("generate", requests))
    finally:
        pool.release()
    assert [completion.text for completion in lines] == [completion.text for completion in whole]
    assert all(completion.text.count("\n") > 2 for completion in lines)
    for plain, searched in zip(lines, beams, strict=True):
        assert searched.finish_reason == "stop" and searched.completion_tokens > plain.completion_tokens
