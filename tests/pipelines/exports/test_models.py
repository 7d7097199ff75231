"""Exported students: a merged adapter answers as the adapter does, and what was trained whole is copied."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from raydistill.actors.errors import UsageError
from raydistill.pipelines.exports.export import export
from raydistill.pipelines.views.run_folder import RunFolder
from tests.pipelines.views.written import write_run
from tests.tiny import write_adapter

PROMPTS = [f"What is {i} plus {i}?" for i in range(100)]


@pytest.fixture
def adapted(tiny_model: str, tmp_path: Path) -> RunFolder:
    """A run whose student is an adapter of random weights over a tiny model."""
    from transformers import AutoTokenizer

    root = write_run(tmp_path / "run", 12)
    write_adapter(tiny_model, root / "student")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(root / "student")
    return RunFolder.open(str(root))


def answers(model: Any, tokenizer: Any) -> list[list[int]]:
    """Eight greedy tokens for each prompt."""
    batch = tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    batch.pop("token_type_ids", None)
    return model.generate(**batch, max_new_tokens=8, do_sample=False).tolist()


def test_a_merged_adapter_gives_the_adapter_s_greedy_answers(
    adapted: RunFolder, tmp_path: Path, tiny_model: str
) -> None:
    import torch
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for target in ("model", "adapter"):
        export(adapted, target, tmp_path / target, "mit", print)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    adapter = AutoPeftModelForCausalLM.from_pretrained(str(tmp_path / "adapter"), dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    told = answers(adapter, tokenizer)
    assert answers(merged, tokenizer) == told != answers(base, tokenizer)
    assert "license: mit" in (tmp_path / "model/README.md").read_text()


def test_a_whole_student_is_copied_and_has_no_adapter(tmp_path: Path, tiny_model: str) -> None:
    root = write_run(tmp_path / "run", 12)
    (root / "student").symlink_to(tiny_model)
    run = RunFolder.open(str(root))
    export(run, "model", tmp_path / "model", "unknown", print)
    weights = "model.safetensors"
    assert (tmp_path / "model" / weights).read_bytes() == Path(tiny_model, weights).read_bytes()
    with pytest.raises(UsageError, match="all weights .* were trained; expected a run with train.lora"):
        export(run, "adapter", tmp_path / "adapter", "unknown", print)


@pytest.mark.slow
def test_vllm_writes_what_transformers_writes(cluster: None, adapted: RunFolder, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from raydistill.actors.engine.requests import Request, Sampling
    from raydistill.pipelines.config.sections import EngineConfig
    from raydistill.pipelines.runtime.pools import engine_pool

    export(adapted, "model", tmp_path / "model", "mit", print)
    model = str(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    merged: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    chats = [[{"role": "user", "content": prompt}] for prompt in PROMPTS[:10]]
    expected = []
    for chat in chats:
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        written = merged.generate(ids, max_new_tokens=8, do_sample=False)[0, ids.shape[1] :]
        text = tokenizer.decode(written, skip_special_tokens=True)
        expected.append(text.rstrip("\ufffd"))  # an engine holds bytes back that are no whole character yet
    config = EngineConfig(model=model, dtype="float32", max_model_len=256, kv_cache_gb=0.25)
    pool = engine_pool("test-export", config, str(tmp_path / "ledger"))
    pool.start(weights=model)
    try:
        greedy = Sampling(temperature=0, max_tokens=8)
        asked = [Request(f"q{place}", chat, greedy, (0,), seed=0) for place, chat in enumerate(chats)]
        told = {one.request_id: one.text for one in asyncio.run(pool.client.call("generate", asked))}
    finally:
        pool.release()
    assert [told[f"q{place}"] for place in range(len(chats))] == expected
