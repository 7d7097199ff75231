"""Model cards, written from what was recorded in training and measured afterwards."""

import json
from pathlib import Path
from typing import Any

from demo import mixture, prompts
from demo.training import Recipe

HEADER = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
base_model: {base_model}
---

# {name}
"""

PURPOSE = {
    mixture.BASE: """A base student for RayDistill's demo and tests: it knows the English of the questions,
numbers and Python, and can be taught to solve `gsm_symbolic` questions. It has never seen one together with
its program, equation, rationale or answer: each of its training examples was checked for that
(`demo/leakage.py`). It is of no use by itself.""",
    mixture.TEACHER: """The teacher of RayDistill's demo and tests: asked about a `gsm_symbolic` question it
writes a `solution()` program or a worked rationale, as the instruction says. It is fallible on purpose: at
the demo's sampling temperature a share of its programs is wrong, so that running and checking them matters.
It knows nothing outside its templates; do not use it for anything but trying the system.""",
}


def card(recipe: Recipe, folder: Path) -> str:
    """The README.md of a model folder, from its ``training_summary.json`` and ``evaluation.json``."""
    summary = json.loads((folder / "training_summary.json").read_text())
    results = json.loads((folder / "evaluation.json").read_text())
    size = (folder / "model.safetensors").stat().st_size
    config = json.loads((folder / "config.json").read_text())
    parts = [
        HEADER.format(name=recipe.name, base_model=recipe.starts_from or "none, trained from scratch"),
        PURPOSE[recipe.name],
        asked(recipe.name),
        training_section(recipe, summary),
        accuracy_section(results),
        template_section(results),
        files_section(config, size),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def asked(name: str) -> str:
    """Which prompts the model answers."""
    rows = [f"- a program: `{_line(prompts.PROGRAM_INSTRUCTION)}` + question; answer: a fenced Python block"]
    if name == mixture.TEACHER:
        rows.append(
            f"- a rationale: `{_line(prompts.RATIONALE_INSTRUCTION)}` + question; answer: one calculation "
            f"a line, then `{prompts.ANSWER_SENTENCE.format(answer='X')}`"
        )
    else:
        rows.append(f"- quantities: `{_line(prompts.QUANTITIES_INSTRUCTION)}` + question; answer: numbers, one list")
    return "## What to ask\n\nUser content, through the chat template:\n\n" + "\n".join(rows)


def training_section(recipe: Recipe, summary: dict[str, Any]) -> str:
    """Data, steps, tokens and seed."""
    meanings = {skill.name: skill.meaning for skill in mixture.SKILLS}
    counts = sorted(summary["examples"].items())
    counts = sorted(summary["examples"].items())
    rows = [f"| {name} | {meanings[name]} | {count:,} |" for name, count in counts]
    start = f"the weights of `{recipe.starts_from}`" if recipe.starts_from else "random weights"
    seen = (
        f"{summary['gsm_question_examples']:,} examples were about a `gsm_symbolic` question; "
        f"{summary['gsm_solution_examples']:,} of them showed a program, equation, rationale or answer of it."
    )
    return f"""## Training

From {start}, {summary["steps"]:,} steps of {summary["batch_size"]} examples, {summary["tokens"]:,} tokens,
seed {summary["seed"]}, learning rate {summary["learning_rate"]}, {summary["precision"]} on
{summary["device"]}, {summary["seconds"] / 60:.0f} minutes. All data is generated: by reasoning-gym
(Apache-2.0) and by the modules of `demo/`.

| skill | what | examples |
|---|---|--:|
{chr(10).join(rows)}

{seen} `training_log.jsonl` holds the loss over steps, `training_summary.json` the counts."""


def accuracy_section(results: dict[str, Any]) -> str:
    """Measured accuracy per skill, greedy and sampled."""
    rows = []
    for skill, modes in results.items():
        for mode, result in modes.items():
            how = "greedy" if mode == "greedy" else f"temperature {result['temperature']}"
            counts = f"{result['questions']} | {result['samples']}"
            rows.append(f"| {skill} | {how} | {counts} | {result['accuracy']:.1%} |")
    return (
        "## Accuracy on held-out seeds\n\nMeasured by `python -m demo.make_models eval` (float32; programs "
        "run in the executor).\n\n| skill | decoding | questions | samples | right |\n|---|---|--:|--:|--:|\n"
    ) + "\n".join(rows)


def template_section(results: dict[str, Any]) -> str:
    """Accuracy per template of gsm_symbolic."""
    columns = {
        f"{skill.removeprefix('gsm_')}, {mode}": result["templates"]
        for skill, modes in results.items()
        if skill.startswith("gsm_")
        for mode, result in modes.items()
    }
    templates = sorted({template for column in columns.values() for template in column}, key=int)
    lines = [f"| template | {' | '.join(columns)} |", "|--:" * (len(columns) + 1) + "|"]
    for template in templates:
        cells = [f"{column[template]:.0%}" if template in column else "" for column in columns.values()]
        lines.append(f"| {template} | {' | '.join(cells)} |")
    return f"## Accuracy per template of gsm_symbolic ({len(templates)} templates)\n\n" + "\n".join(lines)


def files_section(config: dict[str, Any], size: int) -> str:
    """Architecture and how the files were made."""
    return f"""## Architecture

Llama, {config["num_hidden_layers"]} layers, width {config["hidden_size"]},
{config["num_attention_heads"]} heads, vocabulary {config["vocab_size"]} (byte-level BPE, digits one by one),
{config["max_position_embeddings"]} positions, tied embeddings, float32, {size / 1e6:.1f} MB.
Made by `python -m demo.make_models`; licence Apache-2.0."""


def _line(text: str) -> str:
    return text.replace("\n", "\\n")
