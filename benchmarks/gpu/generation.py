"""Generation with a batch: transformers' own, and the product's engine with vLLM, called in this process."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from raydistill.actors.engine.rendering import chat_text
from raydistill.pipelines.data.records import Example
from raydistill.pipelines.training.loop import uses_bfloat16
from raydistill.pipelines.training.tokens import load_tokenizer

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    finish_reason: str  # stop | length


@torch.inference_mode()
def answers(model: Any, tokenizer: Any, prompts: Sequence[Messages], **settings: Any) -> Iterator[Answer]:
    """Greedy answers to one batch; `settings` are those of transformers' `generate`."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    texts = [chat_text(tokenizer, messages) for messages in prompts]
    batch = tokenizer(texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
    batch = {name: batch[name].to(model.device) for name in ("input_ids", "attention_mask")}
    padding = {"pad_token_id": tokenizer.pad_token_id, "use_cache": True}
    new = model.generate(**batch, do_sample=False, **padding, **settings)[:, batch["input_ids"].shape[1] :]
    ends = model.generation_config.eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends or ())
    for row in new.tolist():
        kept = list(itertools.takewhile(lambda token: token not in ends, row))
        yield Answer(tokenizer.decode(kept, skip_special_tokens=True), "stop" if len(kept) < len(row) else "length")


def with_transformers(options: argparse.Namespace, examples: Sequence[Example]) -> dict[str, Any]:
    """Tokens/s of answers that are all of the same length."""
    bfloat16 = uses_bfloat16(options.precision, torch.device(options.device))
    model: Any = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=torch.bfloat16 if bfloat16 else torch.float32
    )
    model = model.to(options.device).eval()
    tokenizer, prompts = load_tokenizer(options.model, None), asked(options, examples)

    def seconds(tokens: int) -> float:
        started = time.perf_counter()
        list(answers(model, tokenizer, prompts, max_new_tokens=tokens, min_new_tokens=tokens))
        return time.perf_counter() - started

    seconds(min(8, options.new_tokens))
    rate = len(prompts) * options.new_tokens / seconds(options.new_tokens)
    return {"tokens_per_s": round(rate, 1), "prompts": len(prompts), "new_tokens": options.new_tokens}


def has_engine(device: str) -> bool:
    """Whether vLLM is installed and can use the device; without a GPU its start takes longer than all the rest."""
    return device.startswith("cuda") and importlib.util.find_spec("vllm") is not None


def with_engine(options: argparse.Namespace, examples: Sequence[Example]) -> dict[str, Any]:
    """Tokens/s of the engine that pools consist of, asked for the same prompts at once, at temperature 1."""
    from raydistill.actors.engine.engine import Engine, EngineSettings
    from raydistill.actors.engine.requests import Request, Sampling

    prompts, sampling = asked(options, examples), Sampling(max_tokens=options.new_tokens)
    requests = [Request(str(number), prompt, sampling) for number, prompt in enumerate(prompts)]
    context = AutoConfig.from_pretrained(options.model).get_text_config().max_position_embeddings
    engine = Engine(
        EngineSettings(
            options.model,
            max_model_len=min(context, 1024 + options.new_tokens),
            max_num_seqs=len(requests),
            gpu_memory_utilization=0.7,  # what else this process has done keeps some
        )
    )

    async def measure() -> dict[str, Any]:
        started = time.perf_counter()
        await engine.start()
        ready = time.perf_counter()
        try:
            await engine.generate([Request("warm-up", "2 + 2 =", sampling)])
            again = time.perf_counter()
            completions = await engine.generate(requests)
            rate = sum(one.completion_tokens for one in completions) / (time.perf_counter() - again)
        finally:
            await engine.stop()
        failed = sum(one.finish_reason == "error" for one in completions)
        told = {"tokens_per_s": round(rate, 1), "prompts": len(requests), "new_tokens": options.new_tokens}
        return told | {"failed": failed, "start_s": round(ready - started)}

    return asyncio.run(measure())


def asked(options: argparse.Namespace, examples: Sequence[Example]) -> list[Messages]:
    """The prompts of as many examples as are asked together."""
    return [example.messages for example in itertools.islice(itertools.cycle(examples), options.prompts)]
