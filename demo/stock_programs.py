"""The data of LLM2LLM's demo: a few seed questions on a stock, held-out ones, and programs that a teacher learns from.

    python -m raydistill.demo.stock_programs runs/demo-llm2llm/data

writes ``seeds.jsonl``, ``held_out.jsonl`` (that of ReBase's demo) and ``programs.jsonl``, a recording: no demo model
writes programs for such questions, so one learns it of these (``configs/demo-llm2llm-teacher.yaml``). All questions are
of a format that the rewriting demo model has learned to imitate, and none is in two of the files.
"""

import sys
from pathlib import Path
from random import Random

from raydistill.demo import rebase_data, target_task
from raydistill.demo.prompts import fenced

SEEDS, PROGRAMS = 100, 1200
SEED = 410_000


def program(question: str) -> str:
    """A program that works a question step by step."""
    problem = target_task.parse(question)
    assert problem, question
    first, *changes = problem.quantities
    steps = "".join(f"    count {'+' if change > 0 else '-'}= {abs(change)}\n" for change in changes)
    return fenced(f"def solution():\n    count = {first}\n{steps}    return count")


def files(seeds: int = SEEDS, programs: int = PROGRAMS) -> dict[str, list[dict[str, str]]]:
    """The rows of each file by its name."""
    held_out, rng = rebase_data.held_out(), Random(SEED)
    known, made = {row["question"] for row in held_out}, list[dict[str, str]]()
    while len(made) < seeds + programs:
        example = target_task.random_example(rebase_data.FORM, rng)
        if example["input"] not in known:
            known.add(example["input"])
            made.append({"question": example["input"], "answer": example["output"]})
    worked = [row | {"completion": program(row["question"])} for row in made[seeds:]]
    return {"seeds": made[:seeds], "held_out": held_out, "programs": worked}


def write(folder: Path) -> None:
    """Write all files into `folder`."""
    rebase_data.write_files(folder, files())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m raydistill.demo.stock_programs FOLDER")
    write(Path(sys.argv[1]))
