"""Cards (README.md) of exported data sets and models: what they are, where they come from, what they are not for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import yaml

from raydistill.pipelines.views.facts import funnel, measured, paragraph, provenance
from raydistill.pipelines.views.run_folder import RunFolder
from raydistill.pipelines.views.text import cut

WHAT = {
    "messages": "Chats of a question and its verified answer, as a student learned them.",
    "preferences": "Pairs of answers to one question: `chosen` was verified as right, `rejected` failed by itself.",
    "prompts": "Questions with what verifies their answers, for learning by reward.",
    "steps": "Attempts in steps; `labels` says of each step whether it is right, up to the first that is not.",
}
LIMITS = (
    "Answers were written by a model and kept where their result equals the gold answer: a right result may be reached "
    "by wrong reasoning.",
    "Nobody has read all of it. Texts are those of the questions' source and of models, with their errors and biases.",
    "Programs in it were run in a sandbox; whoever runs them should use one, too.",
)


def dataset_card(run: RunFolder, form: str, rows: int, license_id: str) -> str:
    """Of a data set in one of the forms of `rows.FORMS`."""
    files = [{"config_name": "default", "data_files": f"{form}.parquet"}]
    front = {
        "license": license_id,
        "task_categories": ["text-generation"],
        "tags": ["raydistill", "distillation", "reasoning", "synthetic"],
        "size_categories": [_size(rows)],
        "configs": files,
    }
    told = funnel(run)
    counts = {name: f"{count:,}" for name, count in told.steps} | {"rows here": f"{rows:,}"}
    held_out = run.report.get("questions", {}).get("held_out")
    clean = "The run had no evaluation, so nothing was held out."
    if run.config.get("evaluation"):
        clean = f"Questions of the run's evaluation are not in it ({held_out or 0:,} were left out for that)."
    failed = {reason: f"{count:,}" for reason, count in told.failed.items()}
    return _card(front, f"{run.name}: {form}", [
        WHAT[form], plain(paragraph(run), 5000),
        "## Counts", _table(counts), *(["Why other answers were left out:", _table(failed)] if failed else []),
        "## Where it comes from", _table(_provenance(run)),
        "## Decontamination", clean,
        "## Limits", *(f"- {line}" for line in LIMITS),
        "## Licence", _licence(license_id),
    ])  # fmt: skip


def model_card(run: RunFolder, license_id: str) -> str:
    """Of the run's student."""
    train = run.config.get("train") or {}
    base = train.get("student", "")
    front = {"license": license_id, "tags": ["raydistill", "distillation", "reasoning"], "library_name": "transformers"}
    if base and not base.startswith((".", "/")) and base.count("/") == 1:
        front["base_model"] = base
    scores = {one.name: f"{one.accuracy:.1%} ({one.low:.1%} to {one.high:.1%}) of {one.n:,}" for one in measured(run)}
    settings = {
        name: str(train[name]) for name in ("learning_rate", "epochs", "batch_tokens", "schedule", "seed") if train
    }
    return _card(front, f"{run.name}: student", [
        plain(paragraph(run), 5000),
        *(["## Accuracy", "Greedy, on held-out questions, with 95 % intervals.", _table(scores)] if scores else []),
        "## Training", _table(settings | {"examples": f"{run.report.get('examples', 0):,}"}),
        "## Where it comes from", _table(_provenance(run)),
        "## Limits", "- It was measured on questions like those it learned from, and on nothing else.",
        *(f"- {line}" for line in LIMITS[:2]),
        "## Licence", _licence(license_id),
    ])  # fmt: skip


def _licence(license_id: str) -> str:
    known = license_id != "unknown"
    said = f"`{license_id}`, as whoever exported it says." if known else "Not stated (`--license` states it)."
    return f"{said} Terms of the teacher, of the base and of the questions' source apply besides."


def _card(front: Mapping[str, object], title: str, parts: Sequence[str]) -> str:
    head = yaml.safe_dump(dict(front), sort_keys=False)
    body = "\n\n".join(part for part in parts if part)
    return f"---\n{head}---\n\n# {plain(title)}\n\n{body}\n".replace("\n\n- ", "\n- ")


def _table(rows: Mapping[str, str]) -> str:
    lines = [f"| {plain(name)} | {plain(value)} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _provenance(run: RunFolder) -> dict[str, str]:
    """What is said of a run in public; where it lies on a machine is not."""
    return {name: value for name, value in provenance(run) if name != "Folder"}


def plain(text: str, most: int = 500) -> str:
    """Text as Markdown says it, in one line: no link, no HTML, no table of its own."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~])", r"\\\1", " ".join(cut(text, most).split()))


def _size(rows: int) -> str:
    bounds = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
    return next((name for most, name in bounds.items() if rows < most), "1M<n<10M")
