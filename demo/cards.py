"""Model cards, written from what was recorded in training and measured afterwards."""

import json
from pathlib import Path
from typing import Any

from raydistill.demo import evaluation, mixture
from raydistill.demo.training import Recipe

EXAMPLE_WIDTH = 300  # characters of a prompt or an answer in the table

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
    mixture.BASE: """The base student of RayDistill's demo of program distillation and its tests: it knows the
English of the questions, numbers and Python, and can be taught to solve `gsm_symbolic` questions. It has never seen
one together with its program, equation, rationale or answer: each of its training examples was checked for that
(`demo/leakage.py`). It is of no use by itself.""",
    mixture.REASONER: """What `base-calculator` and the critic of RayDistill's demos start from: it knows the
English of the tasks' questions, bare calculations, and numbered steps for invented tasks that
say outright what to calculate. It has never seen a task's question together with (part of) a solution, nor any
feedback: each of its training examples was checked for that (`demo/leakage.py`). It is of no use by itself.""",
    mixture.CALCULATOR: """The base student of RayDistill's demos whose students reason in sentences:
`base-reasoner`, trained on with more bare calculations and with invented chains of operations that say outright what
to calculate, worked in the wordings of rationales, as real base models have seen sums before they see a task. It has
never seen a task's question together with (part of) a solution, nor any feedback: each of its training examples was
checked for that (`demo/leakage.py`). It is of no use by itself.""",
    mixture.TEACHER: """The teacher of RayDistill's demo and tests: asked about a `gsm_symbolic` question it
writes a `solution()` program or a worked rationale, in the style that the instruction and the demonstrations before
it call for. It is fallible on purpose: at the demo's sampling temperature a share of its programs is wrong, so that
running and checking them matters. It knows nothing outside its templates; do not use it for anything but trying the
system.

Questions with options stay below the 50 % that were wanted. Tried: looking relations up after naming them (25 %), a
drill of the letter alone (at chance), and reading the options from (A) on, both people's parents first (41 %).""",
    mixture.REWRITER: """The teacher of RayDistill's demo of retrieval and rewriting: given an instruction, three
examples and a row of another task, it writes an example of the target task as JSON; without a row it makes a new
question up. It is fallible, so that checking what it writes matters. It knows nothing outside its tasks.""",
    mixture.CRITIC: """The teacher of RayDistill's demo of interactive demonstrations: it names, quotes and explains
the first wrong step of a numbered solution, and rewrites the solution from that step on. It is fallible, so that
checking what it says matters. It knows nothing outside its tasks.

Wanted was the first wrong step in 70 %. Tried: every step written again, then judged (28 %), the same in lines broken
at the first difference (28 %), claim beside claim with verdicts of eightfold weight (50 % of all attempts after 2,400
steps, and what the table says after 4,000).""",
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
        training_section(recipe, summary),
        accuracy_section(recipe.name, results),
        template_section(results),
        files_section(config, size),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def training_section(recipe: Recipe, summary: dict[str, Any]) -> str:
    """Data, steps, tokens and seed."""
    meanings = {skill.name: skill.meaning for skill in mixture.SKILLS}
    counts = sorted(summary["examples"].items())
    rows = [f"| {name} | {meanings[name]} | {count:,} |" for name, count in counts]
    start = f"the weights of `{recipe.starts_from}`" if recipe.starts_from else "random weights"
    seen = (
        f"{summary['gsm_question_examples']:,} examples were about a `gsm_symbolic` question; "
        f"{summary['gsm_solution_examples']:,} showed a program, equation, rationale or answer of one, or its wording "
        "beside anything else."
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


def accuracy_section(name: str, results: dict[str, Any]) -> str:
    """What each skill asks, an example, accuracy, and how many distinct right answers an input gets."""
    skills = {skill.name: skill for skill in mixture.SKILLS}
    rows = [
        f"| {skills[skill].meaning}{'' if name in skills[skill].shares else ' (never learned)'} "
        f"| {_example(modes)} | {_figures(modes)} |"
        for skill, modes in results.items()
    ]
    return f"""## Skills on held-out seeds

Measured by `python -m raydistill.demo.make_models eval` (float32; programs run in the executor). Right answers: greedy,
with one completion for each input; at temperature 1, with {evaluation.SAMPLES} for each of up to
{evaluation.SAMPLED_INPUTS} inputs; and, of programs, at the demo's sampling temperature of
{evaluation.SAMPLING_TEMPERATURE}. Distinct: the mean number of really different right answers among an input's
{evaluation.SAMPLES} samples. Examples are the model's own; `\\n` is a line break.

| skill | asked, and answered by the model | inputs | greedy | temperature 1 | distinct of {evaluation.SAMPLES} | demo |
|---|---|--:|--:|--:|--:|--:|
{chr(10).join(rows)}

{_chained(results)}""".strip()


def _chained(results: dict[str, Any]) -> str:
    """How a critic goes on from its own feedback."""
    chained = results.get("feedback", {}).get("improved after it")
    if not chained:
        return ""
    return (
        f"Of {chained['faulty_attempts']} attempts with a wrong step it judged {chained['inputs']} rightly (greedy), "
        f"and improved {chained['accuracy']:.1%} of those rightly when given its own feedback."
    )


def _figures(modes: dict[str, Any]) -> str:
    """The cells of inputs, greedy, temperature 1, distinct, demo."""
    varied, demo = modes.get("temperature 1", {}), modes.get("demo", {})
    cells = [str(modes["greedy"]["inputs"]), f"{modes['greedy']['accuracy']:.1%}"]
    cells.append(f"{varied['accuracy']:.1%}" if varied else "")
    cells.append(f"{varied['distinct']:.1f}" if "distinct" in varied else "")
    cells.append(f"{demo['accuracy']:.1%}" if demo else "")
    return " | ".join(cells)


def _example(modes: dict[str, Any]) -> str:
    """A prompt and the model's answer as one table cell."""
    example = modes["greedy"]["example"]
    return "<br>".join(_code(text) for text in example.values()) if example else ""


def _code(text: str) -> str:
    """A text as code in a table cell, its middle left out where it is long."""
    half = EXAMPLE_WIDTH // 2
    short = text if len(text) <= EXAMPLE_WIDTH else f"{text[:half]} [...] {text[-half:]}"
    return f"`` {_line(short).replace('|', chr(92) + '|')} ``"


def template_section(results: dict[str, Any]) -> str:
    """Accuracy per template of gsm_symbolic."""
    columns = {
        f"{skill.removeprefix('gsm_')}, {mode}": result["templates"]
        for skill, modes in results.items()
        for mode, result in modes.items()
        if result.get("templates")
    }
    if not columns:
        return ""
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
Made by `python -m raydistill.demo.make_models`; licence Apache-2.0."""


def _line(text: str) -> str:
    return text.replace("\n", "\\n")
