"""Make the demo models: tokenizer, students, teachers; then measure them and write their cards.

    python -m raydistill.demo.make_models                     # train what is not trained yet, measure, write the cards
    python -m raydistill.demo.make_models train --only base-student teacher
    python -m raydistill.demo.make_models eval                # measure the models in demo/models again

Everything follows from the seeds in ``demo/training.py``. The same command resumes after an interruption of
any kind; to train a model anew, delete its checkpoint in the work folder (``teacher.pt``, say). To train the
tokenizer anew, and with it every model, delete ``demo/models/tokenizer``.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from raydistill.demo import cards, training
from raydistill.demo.evaluation import measure

HERE = Path(__file__).parent
STEPS = ("train", "eval")


def main(arguments: list[str] | None = None) -> None:
    """Run the steps that the command line asks for."""
    options = parse(arguments)
    import torch

    torch.set_num_threads(options.threads)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    precision = options.precision or default_precision(device)
    recipes = [recipe for recipe in training.RECIPES if recipe.name in options.only]
    for recipe in recipes:
        if "train" in options.steps:
            make(recipe, options.work, options.models / recipe.name, device, precision)
    for recipe in recipes:
        if "eval" in options.steps:
            evaluate(recipe, options.models / recipe.name, device)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Command-line options; ``--help`` explains them."""
    parser = argparse.ArgumentParser(
        prog="python -m raydistill.demo.make_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [recipe.name for recipe in training.RECIPES]
    parser.add_argument("steps", nargs="*", default=list(STEPS), help=f"{' or '.join(STEPS)} (default: both)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these models instead of all")
    parser.add_argument("--models", type=Path, default=HERE / "models", help="where finished models go")
    parser.add_argument("--work", type=Path, default=HERE / ".work", help="where checkpoints are kept")
    parser.add_argument("--device", help="cpu or cuda (default: cuda where there is one)")
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        help="of the matrix products in training (default: bfloat16 where the processor has it)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=os.cpu_count(),
        help="processor threads; one is faster than two where other work shares the cores",
    )
    options = parser.parse_args(arguments)
    unknown = set(options.steps) - set(STEPS)
    if unknown:
        parser.error(f"unknown step {', '.join(sorted(unknown))}: expected {' or '.join(STEPS)}")
    return options


def default_precision(device: str) -> str:
    """bfloat16 on a GPU and on processors with bfloat16 instructions; elsewhere it would be far slower."""
    cpuinfo = Path("/proc/cpuinfo")
    native = device == "cuda" or (cpuinfo.exists() and "avx512_bf16" in cpuinfo.read_text())
    return "bfloat16" if native else "float32"


def make(recipe: training.Recipe, work: Path, folder: Path, device: str, precision: str) -> None:
    """Train one model (or resume) and write it as a Hugging Face folder with its training log."""
    work.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = load_tokenizer(HERE / "models" / "tokenizer")
    model, progress = training.train(recipe, tokenizer, work, device, precision)
    model.to("cpu").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    training.write_log(folder, recipe, progress, {"device": device, "precision": precision})
    print(f"{recipe.name}: written to {folder}", flush=True)


def load_tokenizer(folder: Path) -> Any:
    """The committed tokenizer; trained anew where the folder is missing.

    It is kept because its merges follow from the skills' texts: were it made for each run, a changed wording of one
    skill would change the result of every model.
    """
    from transformers import AutoTokenizer

    from raydistill.demo.tokenizer import train_tokenizer

    if not (folder / "tokenizer.json").exists():
        train_tokenizer().save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def evaluate(recipe: training.Recipe, folder: Path, device: str) -> None:
    """Measure a finished model, write ``evaluation.json`` and its card."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").to(device).eval()
    results = measure(recipe.name, model, AutoTokenizer.from_pretrained(folder))
    (folder / "evaluation.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "README.md").write_text(cards.card(recipe, folder))
    print(f"{recipe.name}: card written to {folder / 'README.md'}", flush=True)


if __name__ == "__main__":
    main()
