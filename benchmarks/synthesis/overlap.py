"""Do the stages of a synthesis overlap? The engine on one core, executors on another: both at once against each alone.

    python -m benchmarks.synthesis.overlap                  six minutes a turn on a quiet machine (Linux, two cores)
    python -m benchmarks.synthesis.overlap --questions 100 --turns 1  a look

The demo's teacher (vLLM, one thread) has core 0 for itself; one executor, the driver, the stages and Ray share core 1.
The teacher's programs are too cheap to compete, so a loop stands in front of each, as long as makes verification cost
a little less than generation: by half of --balance, since its core also has the stages' own work to do.
A turn takes the wall time of three passes over the same questions: generation, whose completions are judged as text;
verification of what was stored by that; and both. Prints one line of JSON, a row for `docs/results/performance.json`;
exits 1 where the two costs differ by more than --balance.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from dataclasses import replace
from typing import Any

import psutil

from benchmarks.paired import paired_row
from benchmarks.replications.cells import ROOT
from benchmarks.synthesis.faults import below
from raydistill.pipelines.context import RunContext
from raydistill.pipelines.recipes.pad.config import PaD
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.run_config import load_config
from raydistill.pipelines.sampling.prompter import Format, Prompter
from raydistill.pipelines.tasks import LoadedQuestions, load_questions

ENGINE_CORE, OTHER_CORE = 0, 1
FIRST_ROUNDS, TRIES = 700_000, 4  # of the loop, to see what it costs


def with_loop(config: PaD, rounds: int | None) -> Prompter:
    """PaD's teacher, whose programs turn in a loop first; `rounds` None: they are not run at all.

    What is run is told by the completion's format, which is stored with it; so the loop of programs that are not to
    be run is in their reading: nothing is read.
    """
    asked = ProgramAidedDistillation(config).teacher

    def read(text: str, form: Format) -> str | None:
        output = asked.read(text, form) if rounds is not None else None
        return output and f"for _ in range({rounds}):\n    pass\n{output}"

    return replace(asked, read=read, reader=f"loop/{rounds}")


class Passes:
    """Passes over the same questions, with pools that are up and pinned."""

    def __init__(self, questions: int, run_dir: str) -> None:
        changes: dict[str, Any] = {"questions.size": questions, "teacher.n": 5, "teacher.replicas": [1, 1]}
        changes |= {"teacher.cpus": 1, "execution.cpus": 1}
        config = load_config(ROOT / "configs" / "demo.yaml", [f"{name}={value}" for name, value in changes.items()])
        self._config = config.model_copy(update={"run_dir": run_dir})
        self._ctx = RunContext(self._config, None)
        assert config.questions
        self._loaded = load_questions(config.questions)

    def __enter__(self) -> Passes:
        self.run("start", 0, LoadedQuestions(self._loaded.task, self._loaded.questions[:1]))
        self._pin(psutil.Process(), OTHER_CORE)  # what they start later inherits it
        self._pin(below(os.getpid(), "ServeReplica", "-engines"), ENGINE_CORE)
        return self

    def _pin(self, process: psutil.Process, core: int) -> None:
        """All threads of a process and of those below it."""
        for one in (process, *process.children(recursive=True)):
            for thread in one.threads():
                os.sched_setaffinity(thread.id, {core})

    def __exit__(self, *_: object) -> None:
        self._ctx.close()

    def run(self, name: str, rounds: int | None, loaded: LoadedQuestions | None = None) -> float:
        """Seconds of a pass over completions that are stored under `name`, or else made; `rounds` as in `with_loop`."""
        assert isinstance(self._config.recipe, PaD)
        teacher, asked, loaded = self._config.teacher, with_loop(self._config.recipe, rounds), loaded or self._loaded
        job = self._ctx.job(teacher, loaded, teacher, prompter=asked, extra_key=name)
        shutil.rmtree(job.verdicts, ignore_errors=True)
        result = self._ctx.run(name, job, loaded.questions, teacher)
        assert result.verified == len(loaded.questions) * teacher.n and not result.statuses["unknown"]
        return result.wall_s


def verify_as_long(passes: Passes, name: str, rounds: int, wanted: float, within: float) -> tuple[int, float]:
    """Verification of what is stored under `name`, with as many rounds as make it cost `wanted` seconds or nearly so.

    Returns these rounds and the seconds; the search starts from `rounds`.
    """
    for left in reversed(range(TRIES)):
        verification = passes.run(name, rounds)
        if not left or abs(verification - wanted) <= within:
            break
        rounds = round(rounds * wanted / verification)
    return rounds, verification


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=400, help="of five samples each")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--balance", type=float, default=0.2, help="share that the two costs may differ by")
    parser.add_argument("--reach", type=float, default=1.10)
    options = parser.parse_args()
    turns: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as run_dir, Passes(options.questions, run_dir) as passes:
        passes.run("first", None)  # the engine has seen all prompts now, as it will have in every turn
        rounds = FIRST_ROUNDS
        for turn in range(options.turns):
            generation = passes.run(f"alone {turn}", None)
            wanted, within = (1 - options.balance / 2) * generation, options.balance / 4 * generation
            rounds, verification = verify_as_long(passes, f"alone {turn}", rounds, wanted, within)
            both, slower = passes.run(f"both {turn}", rounds), max(generation, verification)
            times = {"generation_s": generation, "verification_s": verification, "both_s": both}
            balance = min(generation, verification) / slower
            turns.append(times | {"loop_rounds": rounds, "balance": balance, "ratio": both / slower})
            print(f"turn {turn + 1}: {turns[-1]}", file=sys.stderr)
    balance = statistics.median(turn["balance"] for turn in turns)
    if balance < 1 - options.balance:
        sys.exit(f"the two costs differ by {1 - balance:.0%}, more than --balance: run it again on a quiet machine")
    slower_s = [max(turn["generation_s"], turn["verification_s"]) for turn in turns]
    name = f"synthesis of {5 * options.questions:,} samples, seconds, beside the slower stage alone on the same core"
    print(json.dumps([paired_row(name, [turn["both_s"] for turn in turns], slower_s, options.reach, at_most=True)]))


if __name__ == "__main__":
    main()
