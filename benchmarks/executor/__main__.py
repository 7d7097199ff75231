"""How fast the executor is, side by side with other ways to run a model's programs.

Prints one JSON line: rows for `docs/results/performance.json`, or what a soak has shown.

    python -m benchmarks.executor [--seconds 4] [--rounds 5]  rates, ratios, latency; a few minutes
    python -m benchmarks.executor --soak 100000               memory, descriptors, agreement of the lanes

Every arm runs the same programs on the same core, in turns, so that ratios survive a machine whose speed wanders:

    in_process     compile and exec in one interpreter: no isolation, the physical limit
    process        a Manager and a Process per program, as HumanEval's execution.py does: no isolation either
    subprocess     `python -I -c` per program
    isolated, bare one forked child per program, with all layers and with none
    batch, mixed   screened programs share children; mixed: one program in fifty is deferred
    sympy          symbolic programs in the rich zygote

The programs are real ones where RAYDISTILL_DATA is set (tora_programs), generated ones otherwise.
"""

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.executor.arms import DEFERRED, load_programs, run_in_process, run_processes, run_subprocesses
from benchmarks.paired import paired_row
from benchmarks.replications.cells import provenance
from raydistill.actors.executor import Executor, Program
from raydistill.actors.sandbox.host.supervisor import JailOptions
from raydistill.actors.sandbox.host.verdict import agree
from raydistill.actors.sandbox.inside.layers import NAMES

BATCH = 1024
LATENCY_CALLS = 300
HEAP_BYTES = 500 << 20
# name: (ours, other, the least quotient of their rates)
REACH = {
    "isolated lane, programs/s, beside a process per program": ("isolated", "process", 7.5),
    "screened batch, programs/s, beside a process per program": ("batch", "process", 150.0),
    "screened batch, programs/s, beside plain in-process execution": ("batch", "in_process", 0.55),
    "isolated lane with all layers, programs/s, beside none": ("isolated", "bare", 1 / 1.10),
    "isolated lane, two zygotes on two cores, beside one": ("isolated_two", "isolated", 1.6),
    "batch lane, two zygotes on two cores, beside one": ("batch_two", "batch", 1.4),
    "isolated lane beside a heap of 500 MB, and without": ("isolated_heap", "isolated", 0.95),
}
LATENCY_P50_MS = 2.5


def running(executor: Executor) -> Callable[[list[str]], None]:
    def run(sources: list[str]) -> None:
        executor.run([Program(str(number), source) for number, source in enumerate(sources)])

    return run


def rate(run: Callable[[list[str]], None], sources: Iterator[str], group: int, seconds: float) -> float:
    """Programs per second over at least `seconds`, `group` at a time."""
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        run(list(itertools.islice(sources, group)))
        done += group
    return done / elapsed


def latency_ms(executor: Executor, sources: Iterator[str]) -> dict[str, float]:
    times = []
    for source in itertools.islice(sources, LATENCY_CALLS):
        started = time.perf_counter()
        executor.run([Program("p", source)])
        times.append((time.perf_counter() - started) * 1e3)
    cuts = statistics.quantiles(times, n=100)
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3)}


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    plain, symbolic, origin = load_programs()
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:

        def start(on: list[int], **options: Any) -> Executor:
            os.sched_setaffinity(0, on)
            executor = Executor(minimum_grade="D", **options)
            stack.callback(executor.close)
            return executor

        bare = JailOptions(python=sys.executable, without=NAMES)
        one, two = cores[:1], cores[:2]
        isolated, batch = start(one, batch_lane=False), start(one)
        plain_programs, symbolic_programs = itertools.cycle(plain), itertools.cycle(symbolic)
        mixed = itertools.cycle([*plain[:49], DEFERRED])
        arms: dict[str, tuple[list[int], Callable[[list[str]], None], Iterator[str], int]] = {
            "in_process": (one, run_in_process, plain_programs, 64),
            "process": (one, run_processes, plain_programs, 8),
            "subprocess": (one, run_subprocesses, plain_programs, 8),
            "isolated": (one, running(isolated), plain_programs, 64),
            "bare": (one, running(start(one, batch_lane=False, options=bare)), plain_programs, 64),
            "batch": (one, running(batch), plain_programs, BATCH),
            "mixed": (one, running(batch), mixed, BATCH),
            "sympy": (one, running(isolated), symbolic_programs, 8),
        }
        if len(two) == 2:
            arms["isolated_two"] = (two, running(start(two, zygotes=2, batch_lane=False)), plain_programs, 128)
            arms["batch_two"] = (two, running(start(two, zygotes=2)), plain_programs, 2 * BATCH)
        rates: dict[str, list[float]] = {name: [] for name in (*arms, "isolated_heap")}
        for _ in range(rounds):
            for name, (on, run, sources, group) in arms.items():
                os.sched_setaffinity(0, on)
                rates[name].append(rate(run, sources, group, seconds))
                if name == "isolated":  # at once afterwards: the difference is smaller than the machine's drift
                    heap = bytearray(os.urandom(1 << 20)) * (HEAP_BYTES >> 20)
                    rates["isolated_heap"].append(rate(run, sources, group, seconds))
                    del heap
        latency = latency_ms(isolated, plain_programs)
        grade = isolated.grade
    return {"programs": origin, "grade": grade, "rates": rates, "latency_ms": latency}


def rows(measured: dict[str, Any]) -> list[dict[str, Any]]:
    rates = {name: told for name, told in measured["rates"].items() if told}
    programs = f"({measured['programs']})"
    found = [
        paired_row(f"{name} {programs}", rates[ours], rates[other], reach)
        for name, (ours, other, reach) in REACH.items()
        if ours in rates
    ]
    p50 = measured["latency_ms"]["p50"]
    latency = {"name": f"p50 of one isolated call, ms {programs}", "ours": p50, "other": None, "ratio": None}
    bound = {"reach": LATENCY_P50_MS, "at_most": True, "holds": p50 <= LATENCY_P50_MS}
    return [*found, {**latency, **bound, "n": LATENCY_CALLS, "spread": None, **provenance(), "command": command()}]


def footprint(executor: Executor) -> dict[str, int]:
    """Resident kB, open descriptors and zombies of this process and its zygotes."""
    pids = [os.getpid(), *executor.zygote_pids()]
    kilobytes = descriptors = 0
    for pid in pids:
        kilobytes += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024
        descriptors += len(os.listdir(f"/proc/{pid}/fd"))
    states = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    zombies = sum(state[0] == "Z" and int(state[1]) in pids for state in states)
    return {"kilobytes": kilobytes, "descriptors": descriptors, "zombies": zombies}


def soak(number: int) -> dict[str, Any]:
    """`number` programs through one executor, each verdict compared with the program's isolated one."""
    plain, _, origin = load_programs()
    executor = Executor()
    expected = [executor.run([Program(str(i), source)])[0] for i, source in enumerate(plain)]
    programs = [Program(str(i), source) for i, source in enumerate(plain)]
    differing = done = 0
    before, started = footprint(executor), time.perf_counter()
    while done < number:
        for verdict, isolated in zip(executor.run(programs), expected, strict=True):
            differing += not agree(verdict, isolated)
        done += len(programs)
    seconds = time.perf_counter() - started
    after = footprint(executor)
    status = executor.status()
    executor.close()
    kept = {name: status[name] for name in ("batched", "isolated", "audited", "retried", "zygotes_lost", "alarm")}
    return {
        "programs": origin,
        "runs": done,
        "differing": differing,
        "per_second": round(done / seconds, 1),
        "before": before,
        "after": after,
        **kept,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the executor.")
    parser.add_argument("--seconds", type=float, default=4.0, help="per arm and round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--soak", type=int, metavar="N", help="instead: N programs through one executor")
    arguments = parser.parse_args()
    if arguments.soak:
        print(json.dumps(soak(arguments.soak) | provenance() | {"command": command()}))
    else:
        print(json.dumps(rows(measure(arguments.seconds, arguments.rounds))))


if __name__ == "__main__":
    main()
