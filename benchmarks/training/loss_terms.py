"""What a step with a further loss term costs over a plain cross-entropy step on the same tokens.

    python -m benchmarks.training.loss_terms                    each term; some minutes
    python -m benchmarks.training.loss_terms --terms policy --vocabulary 128000 --batch-tokens 1024 --steps 6

    consistency    the divergence of answers between pairs of rationales (MCC-KD), at most 1.10
    policy         a clipped policy gradient over sampled tokens (on-policy distillation), at most 1.15
    soft_targets   a divergence from the teacher's 32 most likely tokens, at most 1.25

Trains two copies of a student on gsm_symbolic rationales, without Ray: one with the term, one by cross-entropy alone on
the same rows of each step. The two take turns, and every step's time is the CPU time of this process (wall-clock time
on a GPU), so that other work on the machine does not count. Prints one JSON line: rows for
`docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paired import paired_row
from benchmarks.replications.cells import ROOT
from raydistill.pipelines.config.sections import Questions, Train
from raydistill.pipelines.data.records import (
    Consistency,
    Example,
    Policy,
    Question,
    SoftTargets,
    TokenIds,
    WeightedText,
)
from raydistill.pipelines.recipes.mcc_kd.recipe import ENDING, without_ending
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.training.batches import alone, rows_of
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import Trainer, make_optimizer
from raydistill.pipelines.training.student import load_student
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, tokenise, write_tokens

REACH = {"consistency": 1.10, "policy": 1.15, "soft_targets": 1.25}
TOP_K = 32
WIDTH: dict[str, Any] = {  # of a random model
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
}


def rationales(question: Question) -> list[Example]:
    """A question's worked solution, and the same one in a shorter telling."""
    reasoning = without_ending(question.meta["rationale"])
    end = ENDING.format(answer=question.answer)
    messages = ({"role": "user", "content": question.text},)
    texts = (reasoning, reasoning.partition("\n")[2] or reasoning)
    return [
        Example(f"{question.id}/{i}", question.id, messages, (WeightedText(f"{text}\n{end}"),), answer=question.answer)
        for i, text in enumerate(texts)
    ]


def with_term(term: str, examples: Sequence[Example], vocabulary: int, tokenizer: Any) -> Iterator[Example]:
    """The examples with what the term is computed from; numbers are drawn, since their cost is the same."""
    for place, example in enumerate(examples):
        if term == "consistency":
            yield replace(example, group=example.question_id, consistency=Consistency(0.1))
            continue
        random = np.random.default_rng(place)
        [part] = example.completion
        prompt = tokenizer.apply_chat_template(list(example.messages), add_generation_prompt=True, return_dict=False)
        ids = tuple(tokenizer.encode(part.text, add_special_tokens=False))
        example = replace(example, tokens=TokenIds(tuple(prompt), ids))
        if term == "policy":
            advantages, behaviour = random.normal(size=len(ids)), random.normal(-1, 0.1, len(ids))
            term_of = Policy(tuple(advantages.tolist()), tuple(behaviour.tolist()))
            yield replace(example, policy=term_of, completion=(WeightedText(part.text, 0.0),))
            continue
        likely = tuple(tuple(random.choice(vocabulary, TOP_K, replace=False).tolist()) for _ in ids)
        shares = random.dirichlet(np.ones(TOP_K + 1), len(ids))[:, :TOP_K]
        yield replace(example, soft_targets=SoftTargets(likely, tuple(map(tuple, np.log(shares).tolist()))))


def without_term(example: Example) -> Example:
    """The same tokens, for cross-entropy alone."""
    [part] = example.completion
    plain = replace(example, consistency=None, policy=None, soft_targets=None)
    return replace(plain, completion=(WeightedText(part.text),))


def make_trainer(options: argparse.Namespace, examples: Sequence[Example], path: Path) -> Trainer:
    """A lone worker; with `--vocabulary` the student is a random model of that many entries."""
    import torch

    config = Train(student=options.model, batch_tokens=options.batch_tokens, validation_fraction=0, epochs=4)
    rows = tokenise(load_tokenizer(options.model, None), examples)
    write_tokens(rows, str(path), max_length=config.max_length, vocabulary=10**6)
    model: Any = load_student(config, None, stop_id=2)
    if options.vocabulary:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=options.vocabulary, tie_word_embeddings=True, **WIDTH)).train()
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    return Trainer(config, model, make_optimizer(model, config), TokenTable(str(path)), rank=0, world=1)


def seconds(trainer: Trainer, progress: Progress) -> float:
    """Time of one optimiser step."""
    import torch

    on_gpu = trainer.device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    started = clock()
    trainer.step(progress, 1e-5)
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - started


def take_turns(termed: Trainer, plain: Trainer, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of each step of both, after those of warming up."""
    times: tuple[list[float], list[float]] = ([], [])
    progress = Progress(), Progress()
    for step in range(options.warm_up + options.steps):
        for which in (0, 1) if step % 2 else (1, 0):
            spent = seconds((termed, plain)[which], progress[which])
            if step >= options.warm_up:
                times[which].append(spent)
    assert progress[0].tokens == progress[1].tokens, "the two arms did not train the same tokens"
    return times


def measure(term: str, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one term."""
    from transformers import AutoConfig

    loaded = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=options.questions, seed=5))
    vocabulary = options.vocabulary or AutoConfig.from_pretrained(options.model).vocab_size
    texts = [example for question in loaded.questions for example in rationales(question)]
    examples = [*with_term(term, texts, vocabulary, load_tokenizer(options.model, None))]
    with tempfile.TemporaryDirectory() as folder:
        termed = make_trainer(options, examples, Path(folder, "termed.parquet"))
        plain = make_trainer(options, [*map(without_term, examples)], Path(folder, "plain.parquet"))
        plain.plan = [alone(rows_of(units)) for units in termed.plan]
        times = take_turns(termed, plain, options)
    about = f" of {options.vocabulary:,} tokens" if options.vocabulary else ""
    return paired_row(f"step with {term}{about}, beside cross-entropy", *times, REACH[term], at_most=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terms", nargs="+", choices=REACH, default=[*REACH])
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "base-student"))
    parser.add_argument("--vocabulary", type=int, help="train a random model of this many entries instead")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    print(json.dumps([measure(term, options) for term in options.terms]))


if __name__ == "__main__":
    main()
