"""What sampling until verified saves: rounds that stop at m distinct verified programs against a fixed n for all.

    python -m benchmarks.synthesis.rounds --wanted 3 --shots 1 --samples 18 --temperature 1 \\
        --contexts inline,givens,helper,steps,steps-small,reordered
    python -m benchmarks.synthesis.rounds --wanted 1 --questions 100 --samples 8

Draws `--samples` of every question once. Since a sample has the same id and seed in any round, both policies are then
counted on the same samples: rounds of `--step` until m distinct programs are verified, and every fixed n. Prints one
JSON line: `saved` is the share of teacher tokens that the rounds spare against the smallest n that serves at least as
many questions. Exits 1 below `--reach`, or where no question has m distinct programs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.replications.cells import ROOT
from raydistill.actors.segments import read_segments
from raydistill.pipelines.recipes.pad.recipe import ProgramAidedDistillation
from raydistill.pipelines.run import Runner
from raydistill.pipelines.run_config import Run
from raydistill.pipelines.sampling.program_dedup import canonical_program


class Drawn(NamedTuple):
    """A sample: its tokens, and its program's canonical form if it was verified."""

    tokens: int
    form: str | None


class Policy(NamedTuple):
    """What a policy comes to: questions with m distinct verified programs, tokens of all questions."""

    served: int
    tokens: int


def configuration(options: argparse.Namespace, run_dir: str) -> Run:
    contexts = [name for name in options.contexts.split(",") if name]
    teacher = {"model": options.model, "dtype": "float32", "max_model_len": 1024, "kv_cache_gb": 1, "max_tokens": 200}
    drawn = {"temperature": options.temperature, "n": -(-options.samples // max(1, len(contexts)))}
    return Run.model_validate(
        {
            "run_dir": run_dir,
            "questions": {"task": "reasoning_gym:gsm_symbolic", "size": options.questions, "seed": options.seed},
            "teacher": teacher | drawn,
            "recipe": {"max_programs": options.samples, "contexts": contexts, "shots": options.shots},
        }
    )


def draw(config: Run, limit: int) -> list[list[Drawn]]:
    """The first `limit` samples of each question, in the order in which rounds draw them: contexts in turn."""
    runner = Runner(config)
    try:
        runner.start().synthesize()
        assert isinstance(runner.recipe, ProgramAidedDistillation)
        order = [p.context for p in runner.recipe.teacher.prompts(runner.ctx.questions.questions[0])]
    finally:
        runner.close()
    verified = {row["sample_id"]: row for row in rows(config, "verdicts", ["sample_id", "status", "output"])}
    questions: dict[str, dict[tuple[int, int], Drawn]] = defaultdict(dict)
    for row in rows(config, "completions", ["sample_id", "question_id", "context", "index", "completion_tokens"]):
        verdict = verified[row["sample_id"]]
        form = canonical_program(verdict["output"]) if verdict["status"] == "passed" else None
        turn = (row["index"], order.index(row["context"]))
        questions[row["question_id"]][turn] = Drawn(row["completion_tokens"], form)
    return [[samples[turn] for turn in sorted(samples)][:limit] for samples in questions.values()]


def rows(config: Run, folder: str, columns: list[str]) -> list[dict[str, Any]]:
    keys = Path(config.run_dir, folder).iterdir()
    return [row for key in keys for table in read_segments(str(key), columns) for row in table.to_pylist()]


def distinct(samples: list[Drawn]) -> int:
    return len({sample.form for sample in samples} - {None})


def fixed(questions: list[list[Drawn]], n: int, wanted: int) -> Policy:
    served = sum(distinct(samples[:n]) >= wanted for samples in questions)
    return Policy(served, sum(sample.tokens for samples in questions for sample in samples[:n]))


def in_rounds(questions: list[list[Drawn]], step: int, wanted: int) -> Policy:
    served = tokens = 0
    for samples in questions:
        ends = range(step, len(samples) + step, step)
        end = next((end for end in ends if distinct(samples[:end]) >= wanted), len(samples))
        served += distinct(samples[:end]) >= wanted
        tokens += sum(sample.tokens for sample in samples[:end])
    return Policy(served, tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / "demo" / "models" / "teacher"))
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--samples", type=int, default=16, help="of a question at most: the budget of both policies")
    parser.add_argument("--wanted", type=int, default=3, help="distinct verified programs (m)")
    parser.add_argument("--step", type=int, default=1, help="samples of a round")
    parser.add_argument("--contexts", default="", help="names of few-shot contexts, asked in turn; default: none")
    parser.add_argument("--shots", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=1.4)
    parser.add_argument("--seed", type=int, default=20000, help="of the questions")
    parser.add_argument("--run-dir", help="keeps what is drawn, for other values of --wanted and --step")
    parser.add_argument("--reach", type=float, default=0.25)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        questions = draw(configuration(options, options.run_dir or scratch), options.samples)
    rounds = in_rounds(questions, options.step, options.wanted)
    policies = {n: fixed(questions, n, options.wanted) for n in range(1, options.samples + 1)}
    smallest = next(n for n, policy in policies.items() if policy.served >= rounds.served)
    saved = 1 - rounds.tokens / policies[smallest].tokens
    result = {
        "benchmark": "rounds",
        "questions": len(questions),
        "wanted": options.wanted,
        "contexts": options.contexts,
        "rounds": rounds._asdict(),
        "smallest_fixed_n": smallest,
        "fixed": policies[smallest]._asdict(),
        "saved": round(saved, 4),
        "seconds": round(time.monotonic() - started, 1),
    }
    print(json.dumps(result))
    sys.exit(not rounds.served or saved < options.reach)


if __name__ == "__main__":
    main()
