"""A demo from nothing, beside what cannot be spared: `make demo` in a fresh clone, the download and the stages alone.

    python -m benchmarks.from_nothing            seven minutes a turn on two quiet cores; needs a package index
    python -m benchmarks.from_nothing --turns 1

A turn clones this commit, runs `make demo` there (set-up and main job) without pip's cache, and downloads the
locked packages alone. The stages' own work is what the run's report has of synthesis, training and evaluations: without
installing, and without the starts of Ray and of engines. Prints one JSON line, a row for
`docs/results/performance.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.paired import paired_row
from benchmarks.replications.cells import ROOT

REACH = 1.2
STAGES_S = re.compile(r"(synthesis_s|training\.wall_s|evaluation\.\w+\.wall_s)$")


def timed(words: list[str], folder: Path) -> float:
    """Seconds of a command, without pip's cache and outside of any virtual environment."""
    clean = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "RAY_ADDRESS")}
    started = time.monotonic()
    subprocess.run(words, cwd=folder, env=clean | {"PIP_NO_CACHE_DIR": "1"}, stdout=sys.stderr, check=True)
    return time.monotonic() - started


def stages_s(report: Any, place: str = "") -> float:
    """What a report says that synthesis, training and evaluations took."""
    if isinstance(report, dict):
        return sum(stages_s(value, f"{place}.{name}") for name, value in report.items())
    return float(report) if STAGES_S.search(place) else 0.0


def make_variable(name: str) -> str:
    found = re.search(rf"^{name} := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found, f"the Makefile has no {name}"
    return found[1]


def download_s(clone: Path, folder: Path) -> float:
    """Seconds of the locked packages' download."""
    pip = [sys.executable, *f"-m pip --disable-pip-version-check -qq download --no-deps -d {folder}".split()]
    try:
        torch = timed([*pip, make_variable("TORCH")], clone)
    except subprocess.CalledProcessError:
        torch = timed([*pip, make_variable("TORCH"), "--index-url", make_variable("TORCH_INDEX")], clone)
    return torch + timed([*pip, "-r", "requirements-cpu.txt"], clone)


def turn(scratch: Path) -> dict[str, float]:
    clone = scratch / "clone"
    timed(["git", "clone", "--quiet", str(ROOT), str(clone)], scratch)
    demo = timed(["make", "demo"], clone)
    report = json.loads((clone / "runs" / "demo" / "report.json").read_text())
    took = {"demo_s": demo, "run_s": report["wall_s"], "stages_s": stages_s(report)}
    return took | {"download_s": download_s(clone, scratch / "packages")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    turns = []
    for _ in range(options.turns):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
            turns.append(turn(Path(scratch)))
        print(turns[-1], file=sys.stderr)
    least = [one["download_s"] + one["stages_s"] for one in turns]
    name = "make demo from nothing, seconds, beside the packages' download and the stages alone"
    print(json.dumps([paired_row(name, [one["demo_s"] for one in turns], least, REACH, at_most=True)]))


if __name__ == "__main__":
    main()
