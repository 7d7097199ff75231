"""Thirty rounds of trouble at random moments: does the same command complete, with every id exactly once?

    python -m benchmarks.synthesis.chaos  about two hours with the demo's teacher; resumes where it stopped
    python -m benchmarks.synthesis.chaos --rounds 2 --questions 200 --out /tmp/chaos

A round is a synthesis with real vLLM that meets one fault, kind and moment drawn by the round's number:

    driver       kill -9 of the command                     engine    kill -9 of the actor that hosts vLLM
    core         kill -9 of vLLM's own process              executor  kill -9 of the actor that hosts the sandbox
    sandbox      kill -9 of the process programs hang from  verify    kill -9 of a worker of Ray Data
    hang         the engine stops and stays stopped         slow      it stops for half of each second, for a while
    disk         the run's disk is full (root on Linux), then has room again

The same command is run until it ends well. Then every sample id must be stored exactly once, with the verdict that an
undisturbed run has given it, and the tokens generated twice must stay below --limit of one pass. Each round leaves one
file in `--out`/data; faults.json and faults.md are made of them. Exits 1 unless all rounds pass.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.replications.cells import RESULTS, ROOT, provenance, run_main
from benchmarks.synthesis.faults import FAULTS, Driver, small_disk, stored, wait_for_samples
from raydistill.actors.engine.ledger import Spending, read_spending
from raydistill.actors.errors import UsageError
from raydistill.actors.storage import write_atomic
from raydistill.pipelines.data.records import content_hash

STARTS = 5  # of the same command, before a round is given up
FIRST_SAMPLES_S = 600.0  # an engine may take so long to start
KINDS = [*FAULTS, "disk"]


def start(options: argparse.Namespace, run_dir: Path) -> Driver:
    """The demo's synthesis over so many questions."""
    changes = {"questions.size": options.questions, "teacher.n": options.samples, "teacher.model": options.model}
    config = [str(ROOT / "configs" / "demo.yaml"), "train=null", "evaluation=null"]
    config += ["teacher.replicas=[1,1]", "teacher.max_num_seqs=64"]  # so that a lost engine is all there is
    config += [f"{name}={value}" for name, value in changes.items()]
    command = [sys.executable, "-m", "raydistill", "synth", *config, "--run-dir", str(run_dir), "--quiet"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ended(driver: Driver) -> int:
    """The exit code, however long it takes; the last lines of stderr if it is not 0."""
    _, errors = driver.communicate()
    if driver.returncode:
        print(f"exit {driver.returncode}: {errors.decode()[-300:].strip()}", file=sys.stderr)
    return driver.returncode


def verdicts(run_dir: Path) -> dict[str, tuple[str, str, str]]:
    """Status, reason and value by sample id; AssertionError where an id is stored twice."""
    rows = stored(run_dir, "verdicts", ["sample_id", "status", "reason", "value"])
    doubled = [sample for sample, count in Counter(row["sample_id"] for row in rows).items() if count > 1]
    assert not doubled, f"{len(doubled)} verdicts are stored twice: {doubled[:3]}"
    return {row["sample_id"]: (row["status"], row["reason"], row["value"]) for row in rows}


def reference(options: argparse.Namespace) -> dict[str, tuple[str, str, str]]:
    """The verdicts of an undisturbed run, made once."""
    key = content_hash(options.questions, options.samples, options.model, length=8)
    path = Path(options.out) / "data" / f"faults-reference-{key}.json"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
            assert ended(start(options, Path(scratch))) == 0
            write_atomic(str(path), json.dumps(verdicts(Path(scratch))).encode())
    return {sample: tuple(told) for sample, told in json.loads(path.read_text()).items()}


def spending(run_dir: Path) -> Spending:
    """What the only sampling of a run has cost, by its engines' notes."""
    [purpose] = [folder.name for folder in (run_dir / "completions").iterdir()]
    return read_spending(f"{run_dir}/ledger", purpose)


def play(options: argparse.Namespace, number: int, expected: dict[str, tuple[str, str, str]]) -> dict[str, Any]:
    """One round."""
    fault = options.faults[number % len(options.faults)]
    moment = random.Random(number).randint(len(expected) // 10, len(expected) * 7 // 10)
    started, in_flight = time.monotonic(), None
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch, ExitStack() as disks:
        run_dir = Path(scratch, "run")
        give_room = disks.enter_context(small_disk(Path(scratch), options.disk)) if fault == "disk" else None
        driver = start(options, run_dir)
        if not give_room:
            wait_for_samples(run_dir, "completions", moment, driver, FIRST_SAMPLES_S)
            FAULTS[fault](driver)
            in_flight = spending(run_dir).attempts - len(stored(run_dir, "completions", ["sample_id"]))
        exits = [ended(driver)]
        if give_room and not exits[0]:
            raise UsageError(f"--disk {options.disk}: there was room for the whole run; expected less")
        while exits[-1] and len(exits) < STARTS:
            if give_room:
                give_room()
            exits.append(ended(start(options, run_dir)))
        completions, judged = stored(run_dir, "completions", ["sample_id", "completion_tokens"]), verdicts(run_dir)
        spent = spending(run_dir).tokens
    counts = Counter(row["sample_id"] for row in completions)
    kept = sum(row["completion_tokens"] for row in completions)
    return {
        "round": number,
        "fault": fault,
        "after_samples": None if give_room else moment,
        "in_flight": in_flight,
        "starts": len(exits),
        "completed": not exits[-1],
        "lost": len(set(expected) - set(counts)) + len(set(expected) - set(judged)),
        "doubled": sum(count > 1 for count in counts.values()),
        "verdicts_changed": sum(judged.get(sample, told) != told for sample, told in expected.items()),
        "tokens_of_one_pass": kept,
        "extra_tokens": round((spent - kept) / kept, 4),
        "seconds": round(time.monotonic() - started, 1),
    }


def passed(played: dict[str, Any], limit: float) -> bool:
    bad = ("lost", "doubled", "verdicts_changed")
    return played["completed"] and not any(played[name] for name in bad) and played["extra_tokens"] <= limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--model", default="demo/models/teacher")
    parser.add_argument("--faults", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--disk", default="1m", help="size of the disk that gets full")
    parser.add_argument("--limit", type=float, default=0.02, help="tokens generated twice, as a share of one pass")
    parser.add_argument("--out", default=str(RESULTS))
    options = parser.parse_args()
    expected = reference(options)
    rounds = []
    for number in range(options.first, options.first + options.rounds):
        key = content_hash(number, options.questions, options.samples, options.model, options.faults, length=8)
        path = Path(options.out) / "data" / f"faults-{number:02d}-{key}.json"
        if not path.exists():
            write_atomic(str(path), json.dumps(play(options, number, expected) | provenance()).encode())
            print(path.read_text(), file=sys.stderr)
        rounds.append(json.loads(path.read_text()))
    result = write_page(options, rounds)
    print(json.dumps(result))
    sys.exit(result["passed"] < result["rounds"])


def write_page(options: argparse.Namespace, rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """faults.json and faults.md; returns the former."""
    result = {
        "rounds": len(rounds),
        "completed": sum(played["completed"] for played in rounds),
        "passed": sum(passed(played, options.limit) for played in rounds),
        "lost": sum(played["lost"] for played in rounds),
        "doubled": sum(played["doubled"] for played in rounds),
        "verdicts_changed": sum(played["verdicts_changed"] for played in rounds),
        "extra_tokens_max": max(played["extra_tokens"] for played in rounds),
        "samples": options.questions * options.samples,
        "seconds": round(sum(played["seconds"] for played in rounds), 1),
        "command": f"python -m benchmarks.synthesis.chaos --rounds {options.rounds}",
        **{name: rounds[-1][name] for name in ("date", "versions", "hardware")},
        "commit": ", ".join(dict.fromkeys(played["commit"] for played in rounds)),
    }
    names = ("round", "fault", "after_samples", "starts", "completed", "lost", "doubled", "extra_tokens", "seconds")
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(str(played[name]) for name in names) + " |" for played in rounds]
    head = (
        f"# Faults\n\n{result['passed']} of {result['rounds']} rounds passed: the same command completed, no sample "
        "was lost or doubled, every verdict was that of an undisturbed run, and at most "
        f"{result['extra_tokens_max']:.2%} of one pass's tokens were generated twice.\n\n"
        f"Command: `{result['command']}`, commit {result['commit']}, {result['hardware']}.\n\n"
    )
    if any(played["extra_tokens"] < 0 for played in rounds):
        lines += ["", "Below zero: the ledger of generated tokens had no room on the full disk, either."]
    write_atomic(f"{options.out}/faults.md", (head + "\n".join(lines) + "\n").encode())
    write_atomic(f"{options.out}/faults.json", (json.dumps(result, indent=2) + "\n").encode())
    return result


if __name__ == "__main__":
    run_main(main)
