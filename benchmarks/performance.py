"""All speeds: runs each benchmark, and makes docs/results/performance.json and the page of what they print.

    python -m benchmarks.performance                          (make bench) leave the machine alone for some hours
    python -m benchmarks.performance --only scoring starts    these, even where they are done
    python -m benchmarks.performance --page                   the page of the rows that there are

Each benchmark prints rows; one whose rows were measured at the present commit is not run again, so that a run that was
cut short goes on with the same command. A row replaces that of the same name. `reason`, why a row falls short, is
written into the file by hand, and stays until the row holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks import command
from benchmarks.replications.cells import RESULTS, ROOT, run_main
from benchmarks.replications.pages import table
from raydistill.actors.errors import UsageError
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.report import environment

BENCHMARKS: dict[str, list[str]] = {  # by what is run: arguments of each time, by `SMOLLM` where the weights are there
    "starts": [""],
    "executor": [""],
    "retriever": [""],
    "grader": [""],
    "synthesis.overlap": [""],
    "synthesis.resume": [""],
    "synthesis.generates": [""],
    "synthesis.scale": [""],
    "from_nothing": [""],
    "training.loss_terms": [""],
    "training.trainer": ["--rounds 5", "--rounds 5 --batch-tokens 2048 --steps 8 --questions 40 --model SMOLLM"],
    "training.trl": [""],
    "training.rounds": [""],
    "scoring": [""],
    "engines": ["", "--questions 16 --new-tokens 64 --model SMOLLM"],
    "ray_data_llm": [""],
    "service.serving": ["", "--requests 2 --tokens 64 --model SMOLLM"],
    "service.solving": ["", "--questions 6 --clients 6 --model SMOLLM"],
    "service.soak": [""],
}
SMOLLM = "smollm2-135m-instruct"
ROWS, PAGE = RESULTS / "performance.json", RESULTS / "performance.md"
GPU = """
## On a GPU

`python -m benchmarks.gpu` measures training, generation and students there in fifteen minutes. What would change: an
engine's start (CUDA graphs), the share of a step that is not matrix products, `bfloat16` throughout, and with it how
near pool, trainer and service come to their limits: what is lost here is processor time of Python and Ray beside
small models, which a GPU does not share.
"""

Row = dict[str, Any]


def commands(only: Iterable[str] = ()) -> dict[str, list[str]]:
    """The commands of the named benchmarks, or of all, as lists, by what a row's `command` says."""
    found = {}
    models = os.environ.get("RAYDISTILL_MODELS")
    for name in only or BENCHMARKS:
        for line in BENCHMARKS[name]:
            if "SMOLLM" in line and not models:
                continue
            words = line.replace("SMOLLM", f"{models}/{SMOLLM}").split()
            told = [f"benchmarks.{name}", *words]
            found[" ".join(["python", "-m", *told])] = [sys.executable, "-m", *told]
    return found


def run(words: list[str]) -> list[Row]:
    """The rows that a benchmark prints. Raises UsageError where it fails."""
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "RAY_ADDRESS": ""}, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise UsageError(f"{' '.join(words[1:])}: exit {done.returncode}; run it alone to see why")
    return json.loads(lines[-1])


def known() -> dict[str, Row]:
    """The rows that there are, by name."""
    return {row["name"]: row for row in json.loads(ROWS.read_text(encoding="utf-8"))} if ROWS.exists() else {}


def store(rows: Mapping[str, Row]) -> None:
    lines = ",\n".join(json.dumps(row) for row in rows.values())
    write_atomic(str(ROWS), f"[\n{lines}\n]\n".encode())
    write_atomic(str(PAGE), page(rows.values()).encode())


def with_reason(row: Row, before: Row) -> Row:
    """The row with what was written of it, as long as it falls short."""
    return row | ({"reason": before["reason"]} if before.get("reason") and not row["holds"] else {})


def page(rows: Iterable[Row]) -> str:
    """What was measured, as a table; why some fall short below it."""
    rows = list(rows)
    short = [row for row in rows if not row["holds"]]
    reasons = [f"- **{row['name']}**: {row.get('reason') or 'not looked into yet'}" for row in short]
    cells = [[row["name"], _number(row["ours"]), _number(row["other"]), *_ratio(row), str(row["n"])] for row in rows]
    head = ["", "ours", "other", "ratio", "spread", "to reach", "holds", "n"]
    machines = sorted({f"{row['hardware']}, commit {row['commit']}" for row in rows if "hardware" in row})
    return "\n".join(
        [
            "# Speed",
            "",
            "Ratios of two arms that took turns in one run on one machine: the median over the turns, the smallest and",
            "the largest, and what is to be reached. Rates a second, or seconds; absolute figures are this machine's.",
            "Made from [performance.json](performance.json), which has each row's command, versions and commit, by",
            f"`{command()}`.",
            "",
            *table(head, cells),
            "",
            f"{len(rows) - len(short)} of {len(rows)} hold.",
            "",
            "## What falls short",
            "",
            *(reasons or ["Nothing."]),
            "",
            "## Machines",
            "",
            *[f"- {one}" for one in machines],
            GPU,
        ]
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _ratio(row: Row) -> list[str]:
    spread = row.get("spread")
    bound = "at most" if row.get("at_most") else "at least"
    return [
        _number(row["ratio"]),
        f"{spread[0]:g} to {spread[1]:g}" if spread else "",
        f"{bound} {row['reach']:g}",
        "yes" if row["holds"] else "**no**",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=[])
    parser.add_argument("--page", action="store_true", help="measure nothing")
    options = parser.parse_args()
    rows, commit = known(), environment()["commit"]
    done = {row["command"] for row in rows.values() if row.get("commit") == commit}
    for told, words in {} if options.page else commands(options.only).items():
        if told in done and not options.only:
            continue
        print(told, file=sys.stderr)
        rows |= {row["name"]: with_reason(row, rows.get(row["name"], {})) for row in run(words)}
        store(rows)
    store(rows)


if __name__ == "__main__":
    run_main(main)
