"""What a row costs in a run of a million: recorded engine, real executors, one machine.

    python -m benchmarks.synthesis.scale                           10 thousand, 100 thousand and a million questions
    python -m benchmarks.synthesis.scale --sizes 1000 5000 --out /tmp/scale  a look

`raydistill synth` (load, generate, verify, select, sort, export) over so many questions, each size in a process of its
own with pools that are up. Measured per size: wall time and processor time per row, by stage, and the driver's memory
at its highest, questions included. A size whose file is in `--out`/data is not measured again. Writes scale.json, and
prints one line: rows for `docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks import module
from benchmarks.replications.cells import RESULTS, ROOT, provenance
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.data.records import Question, content_hash
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.tasks import load_questions

SECONDS_BETWEEN_LOOKS = 1.0
ROW_REACH, MEMORY_MB, PROCESSOR_MS = 1.05, 300.0, 2.5
STAGES = {  # a part of a process's title -> whose cost it is
    "Generate": "generate",
    "Verify": "verify",
    "Select": "select",
    "-engines": "engine",
    "-executors": "executor",
    "zygote": "executor",
    "raylet": "ray",
    "gcs_server": "ray",
    "ray::": "ray",
}


def write_questions(path: Path, count: int) -> None:
    """So many different questions, each with a right program of its own (one in eight with a wrong one)."""
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            a, b = 3 + n % 977, 7 + n // 977
            program = f"def solution():\n    apples = {a}\n    pears = {b}\n    return apples + pears"
            question, answer = f"{a} apples and {b} pears: how many pieces of fruit?", str(a + b + (n % 8 == 0))
            file.write(json.dumps({"question": question, "answer": answer, "program": program}) + "\n")


def configuration(questions: Path, run_dir: str, engines: int = 1) -> Run:
    table = {"task": "table", "path": str(questions), "grader": "numeric"}
    teacher = {"engine": "recorded", "model": str(questions), "completion_column": "program", "max_num_seqs": 1024}
    teacher |= {"replicas": [engines, engines]} if engines > 1 else {}
    return Run.model_validate({"run_dir": run_dir, "questions": table, "teacher": teacher})


class Costs:
    """Looks at this process and all below it every second: processor time by stage, memory of this process."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[int, float], tuple[str, float]] = {}
        self._driver = psutil.Process()
        self._own = sum(self._driver.cpu_times()[:2])
        self._peak = 0
        self._look()
        self._before = self._total()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            self._look()

    def _look(self) -> None:
        self._peak = max(self._peak, self._driver.memory_info().rss)
        for process in self._driver.children(recursive=True):
            try:
                title, times = " ".join(process.cmdline()), process.cpu_times()
                stage = next((name for part, name in STAGES.items() if part in title), "ray")
                spent = times.user + times.system + times.children_user + times.children_system
                self._seconds[process.pid, process.create_time()] = (stage, spent)
            except psutil.Error:  # it has ended meanwhile; what was seen last stands
                continue

    def _total(self) -> dict[str, float]:
        total: dict[str, float] = defaultdict(float)
        for stage, seconds in self._seconds.values():
            total[stage] += seconds
        return total

    def stop(self) -> dict[str, Any]:
        """Seconds of processor time since the start by stage, and this process's memory at its highest."""
        self._over.set()
        self._thread.join()
        self._look()
        spent = {stage: seconds - self._before.get(stage, 0.0) for stage, seconds in self._total().items()}
        spent["driver"] = sum(self._driver.cpu_times()[:2]) - self._own
        return {"cpu_s": spent, "driver_peak_mb": round(self._peak / 2**20, 1)}


def measure(size: int, engines: int = 1) -> dict[str, Any]:
    """One synthesis of `size` questions."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        questions = Path(scratch, "questions.jsonl")
        write_questions(questions, size)
        runner = Runner(configuration(questions, f"{scratch}/run", engines))
        try:
            warm_up(runner)
            started, costs = time.monotonic(), Costs()
            runner.start().synthesize()
            seconds, found = time.monotonic() - started, costs.stop()
        finally:
            runner.close()
        report = runner.report
        with Path(scratch, "run", "examples.jsonl").open("rb") as file:
            kept = sum(1 for _ in file)
    samples = report["verification"]["programs"]
    assert report["questions"]["used"] == samples == size, f"{size - samples} questions have no verdict"
    assert kept == report["examples"] == report["verification"]["passed"]
    cpu = {stage: round(1000 * spent / size, 4) for stage, spent in sorted(found["cpu_s"].items())}
    return {
        "questions": size,
        "passed": report["verification"]["passed"],
        "reasons": report["verification"]["reasons"],
        "wall_s": round(seconds, 1),
        "wall_ms_per_row": round(1000 * seconds / size, 4),
        "cpu_ms_per_row": cpu | {"all": round(sum(cpu.values()), 4)},
        "driver_peak_mb": found["driver_peak_mb"],
    }


def warm_up(runner: Runner) -> None:
    """Have the pools start: a pass over one question, which is none of the others."""
    assert runner.config.questions
    loaded = load_questions(runner.config.questions.model_copy(update={"size": 1}))
    loaded = replace(loaded, questions=[Question.make("warm-up", loaded.questions[0].text, "0")])
    assert isinstance(runner.recipe, ProgramAidedDistillation)
    job = runner.ctx.job(runner.config.teacher, loaded, runner.config.teacher, prompter=runner.recipe.teacher)
    runner.ctx.run("warm-up", job, loaded.questions, runner.config.teacher)


def cell(folder: Path, size: int) -> Path:
    sources = [(ROOT / "pipelines" / f"{name}.py").read_text() for name in ("sampling/job", "sampling/stages", "run")]
    key = content_hash(size, sources, length=8)
    return folder / "data" / f"scale-{size}-{key}.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # measure this size here
    options = parser.parse_args()
    if options.one:
        write_atomic(str(cell(options.out, options.one)), json.dumps(measure(options.one), indent=2).encode())
        return
    started, sizes = time.monotonic(), sorted(options.sizes)
    for size in sizes:
        if not cell(options.out, size).exists():
            one = [sys.executable, "-m", module(), "--one", str(size), "--out", str(options.out)]
            subprocess.run(one, check=True)
    measured = [json.loads(cell(options.out, size).read_text()) for size in sizes]
    sizes_told = {"command": f"python -m {module()} --sizes {' '.join(map(str, sizes))}", **provenance()}
    seconds = round(time.monotonic() - started, 1)
    result = {"benchmark": "scale", "sizes": measured, "seconds": seconds, **sizes_told}
    write_atomic(f"{options.out}/scale.json", (json.dumps(result, indent=2) + "\n").encode())
    print(json.dumps(rows(measured[0], measured[-1], sizes_told)))


def rows(few: dict[str, Any], many: dict[str, Any], told: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a row's cost and the driver's memory at the most questions beside the fewest, and of processor time."""
    sizes = f"{many['questions']:,} recorded answers beside {few['questions']:,}"
    shared = {"at_most": True, "n": 1, "spread": None, **told}

    def row(name: str, ours: float, other: float | None, ratio: float, reach: float) -> dict[str, Any]:
        bounded = {"ratio": round(ratio, 3), "reach": reach, "holds": ratio <= reach}
        return {"name": name, "ours": ours, "other": other, **bounded, **shared}

    cost, before = many["wall_ms_per_row"], few["wall_ms_per_row"]
    memory, least = many["driver_peak_mb"], few["driver_peak_mb"]
    processor = many["cpu_ms_per_row"]["all"]
    alone = f"synthesis of {many['questions']:,} recorded answers, processor ms a question"
    return [
        row(f"synthesis of {sizes}, ms a question", cost, before, cost / before, ROW_REACH),
        row(f"synthesis of {sizes}, MB more of the driver's memory", memory, least, memory - least, MEMORY_MB),
        row(alone, processor, None, processor, PROCESSOR_MS),
    ]


if __name__ == "__main__":
    main()
