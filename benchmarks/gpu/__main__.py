"""How fast a GPU trains and generates, and whether its losses are those of the CPU.

    python -m benchmarks.gpu --model ~/models/SmolLM2-135M-Instruct
    python -m benchmarks.gpu --model Qwen/Qwen2.5-7B-Instruct --lora 16 --curve-steps 0
    python -m benchmarks.gpu --device cpu --batch-tokens 2048 --steps 4 --new-tokens 16     a look, without a GPU

Needs torch, transformers and peft, no Ray. Training takes the product's own steps on worked solutions of
multistep arithmetic; generation is transformers' with a batch, and the product's engine where there are a GPU and vLLM.
With `--cells` two students learn recorded programs and rationales (`benchmarks/gpu/students.py`). Prints one line of
JSON; exits 1 where a part has failed, whose place then says why.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import command
from benchmarks.gpu import generation, students, training
from benchmarks.replications.cells import ROOT, provenance
from benchmarks.training.trainer import worked_solutions
from raydistill.pipelines.config.sections import Questions

HARDEST = {"levels": [4]}  # long questions with long solutions


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "base-student"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--batch-tokens", type=int, default=32768)
    parser.add_argument("--micro-batch-tokens", type=int, default=16384)
    parser.add_argument("--lora", type=int, help="rank of an adapter, instead of training all weights")
    parser.add_argument("--steps", type=int, default=40, help="counted steps of training")
    parser.add_argument("--curve-steps", type=int, default=6, help="steps on both devices in float32; 0: none")
    parser.add_argument("--curve-tokens", type=int, default=2048, help="tokens of each of them")
    parser.add_argument("--prompts", type=int, default=128, help="that are answered together")
    parser.add_argument("--new-tokens", type=int, default=256, help="of each answer; 0: no generation")
    parser.add_argument("--cells", action="store_true", help="two students of recorded answers (RAYDISTILL_DATA)")
    parser.add_argument("--pool", type=int, default=1500, help="questions that they learn from")
    parser.add_argument("--held-out", type=int, default=150, help="questions that they are asked")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    return parser.parse_args()


def measured(name: str, part: Callable[[], Any]) -> Any:
    """What a part gives; of one that fails its reason, so that the others are not lost with it."""
    started = time.perf_counter()
    try:
        return part()
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    finally:
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def main() -> None:
    options = parse()
    examples = worked_solutions(
        Questions(task="stepwise:multistep_arithmetic", size=options.questions, seed=5, options=HARDEST)
    )
    with tempfile.TemporaryDirectory() as folder:
        parts: dict[str, Callable[[], Any]] = {"training": lambda: training.speed(options, folder, examples)}
        if options.curve_steps:
            parts["curve"] = lambda: training.curve(options, folder, examples)
        if options.new_tokens:
            parts["transformers"] = lambda: generation.with_transformers(options, examples)
        if options.new_tokens and generation.has_engine(options.device):
            parts["engine"] = lambda: generation.with_engine(options, examples)
        if options.cells:
            parts["cells"] = lambda: students.compare(options, folder)
        told = {name: measured(name, part) for name, part in parts.items()}
    result = {"benchmark": "gpu", "model": Path(options.model).name, "device": options.device, **told}
    print(json.dumps({**result, "command": command(), **provenance()}))
    sys.exit(any("error" in part for part in told.values()))


if __name__ == "__main__":
    main()
