"""What a consistency step costs over a plain cross-entropy step on the same tokens (MCC-KD's loss; at most 1.15 times).

    python -m benchmarks.consistency_step
    python -m benchmarks.consistency_step --vocabulary 128000 --batch-tokens 1024 --steps 6  # a large output layer

Trains two copies of a student on pairs of gsm_symbolic rationales, without Ray: one with the consistency loss, one by
cross-entropy alone on the same rows of each step. The two take turns, and every step's time is the CPU time of
this process (wall-clock time on a GPU), so that other work on the machine does not count. Prints one JSON line; exits 1
above the bound.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import command
from raydistill.pipelines.config.sections import Questions, Train
from raydistill.pipelines.data.records import Consistency, Example, Question, WeightedText
from raydistill.pipelines.recipes.mcc_kd.recipe import ENDING, without_ending
from raydistill.pipelines.report import environment
from raydistill.pipelines.tasks import load_questions
from raydistill.pipelines.training.batches import alone, rows_of
from raydistill.pipelines.training.checkpoints import Progress
from raydistill.pipelines.training.loop import Trainer, make_optimizer
from raydistill.pipelines.training.student import load_student
from raydistill.pipelines.training.tokens import TokenTable, load_tokenizer, tokenise, write_tokens

ROOT = Path(__file__).parent.parent
REACH = 1.15


def rationales(question: Question) -> list[Example]:
    """A question's worked solution, and the same one in a shorter telling."""
    reasoning = without_ending(question.meta["rationale"])
    end = ENDING.format(answer=question.answer)
    messages = ({"role": "user", "content": question.text},)
    shared: dict[str, Any] = {"group": question.id, "answer": question.answer, "consistency": Consistency(0.1)}
    texts = (reasoning, reasoning.partition("\n")[2] or reasoning)
    return [
        Example(f"{question.id}/{i}", question.id, messages, (WeightedText(f"{text}\n{end}"),), **shared)
        for i, text in enumerate(texts)
    ]


def make_trainer(config: Train, table: TokenTable, vocabulary: int | None) -> Trainer:
    """A lone worker; with `vocabulary` the student is a random model of that many entries and a width of 256."""
    import torch

    model: Any = load_student(config, None, stop_id=2)
    if vocabulary:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        width: dict[str, Any] = {
            "hidden_size": 256,
            "intermediate_size": 704,
            "num_attention_heads": 4,
            "num_hidden_layers": 4,
        }
        model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, tie_word_embeddings=True, **width)).train()
    if torch.cuda.is_available():
        model = model.to("cuda")
    return Trainer(config, model, make_optimizer(model, config), table, rank=0, world=1)


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


def measure(options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of each step: with consistency, and plain."""
    config = Train(student=options.model, batch_tokens=options.batch_tokens, validation_fraction=0, epochs=4)
    loaded = load_questions(Questions(task="reasoning_gym:gsm_symbolic", size=options.questions, seed=5))
    examples = [example for question in loaded.questions for example in rationales(question)]
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/tokens.parquet"
        rows = tokenise(load_tokenizer(options.model, None), examples)
        write_tokens(rows, path, max_length=config.max_length, vocabulary=10**6)
        table = TokenTable(path)
        paired, plain = (make_trainer(config, table, options.vocabulary) for _ in range(2))
        plain.plan = [alone(rows_of(units)) for units in paired.plan]
        return take_turns(paired, plain, options)


def take_turns(paired: Trainer, plain: Trainer, options: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Seconds of each step of both, after those of warming up."""
    times: tuple[list[float], list[float]] = ([], [])
    progress = Progress(), Progress()
    for step in range(options.warm_up + options.steps):
        for which in (0, 1) if step % 2 else (1, 0):
            spent = seconds((paired, plain)[which], progress[which])
            if step >= options.warm_up:
                times[which].append(spent)
    assert progress[0].tokens == progress[1].tokens and len(progress[0].measures["consistency"]) == progress[0].step
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    started = time.monotonic()
    paired, plain = measure(options)
    ratios = sorted(with_pairs / without for with_pairs, without in zip(paired, plain, strict=True))
    ratio = sum(paired) / sum(plain)
    claim = {
        "name": "consistency_step" + (f"_vocabulary_{options.vocabulary}" if options.vocabulary else ""),
        "ours": round(sum(paired) / len(paired), 4),
        "other": round(sum(plain) / len(plain), 4),
        "ratio": round(ratio, 4),
        "reach": REACH,
        "reached": ratio <= REACH,
        "n": len(ratios),
        "spread": [round(value, 4) for value in (ratios[0], statistics.median(ratios), ratios[-1])],
    }
    known = environment()
    hardware = f"{known['cpus']} CPUs, {'GPU' if torch.cuda.is_available() else 'no GPU'}, {known['platform']}"
    about = {"commit": known["commit"], "date": date.today().isoformat(), "hardware": hardware}
    told = {
        "versions": known["versions"],
        "command": command(),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps({"claims": [claim], **about, **told}))
    return 0 if claim["reached"] else 1


if __name__ == "__main__":
    sys.exit(main())
