"""How fast answers are judged, beside an earlier checkout and math-verify; and where math-verify judges otherwise.

    python -m benchmarks.grader --before ../old            rates of plain numbers, in turns; about a minute
    python -m benchmarks.grader --agreement                5,000 real answers and 2,000 generated expressions

Rates: numbers in the forms that completions end with, judged in one process, the arms in turns. Agreement: rationales
of GSM8K, SVAMP, MAWPS and ASDiv (RAYDISTILL_DATA) against their gold answers, and expressions that sympy has drawn,
written in several forms, equal and unequal by construction. Each disagreement is printed; docs/answers.md says of every
kind who is right.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.paired import paired_row

RATE = """
import itertools, sys, time
from raydistill.pipelines.tasks.base import grade_answer
FORMS = ["{n}", "${n}", "{n} eggs", "The answer is {n}.", "She has 3.\\nSo there are {n} eggs.", "#### {n}", "A: {n}"]
CASES = [(form.format(n=n), str(n)) for n in range(1, 4001) for form in FORMS]
"""
OURS = (
    RATE
    + """
def judge(answer, gold): return grade_answer(answer, gold, "numeric").status == "passed"
"""
)
THEIRS = (
    RATE
    + """
from math_verify import parse, verify
def judge(answer, gold):
    return verify(*(parse(text, parsing_timeout=None) for text in (gold, answer)), timeout_seconds=None)
CASES = CASES[::40]
"""
)
MEASURE = """
def fresh(offset):  # so that no arm's memory of earlier texts counts
    return [(answer.replace(gold, str(int(gold) + offset)), str(int(gold) + offset)) for answer, gold in CASES]
judge("18", "18")
done, start, offset = 0, time.perf_counter(), 0
while time.perf_counter() - start < float(sys.argv[1]):
    offset += 5000
    cases = fresh(offset)
    begun = time.perf_counter()
    right = sum(judge(answer, gold) for answer, gold in cases)
    print(len(cases) / (time.perf_counter() - begun), right / len(cases))
"""


def rate(code: str, folder: Path, seconds: float) -> float:
    """Answers per second of the arm, the median of its passes; all of them must be judged right."""
    env = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", code + MEASURE, str(seconds)]
    lines = subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True, text=True).stdout.split("\n")
    rates, rights = zip(*(map(float, line.split()) for line in lines if line), strict=True)
    assert min(rights) > 0.99, f"the arm judged {min(rights):.1%} of right answers as right"
    return statistics.median(rates)


def rates(before: Path | None, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """The rows."""
    here = Path(__file__).resolve().parents[1]
    arms = {"ours": (OURS, here), "math_verify": (THEIRS, here)} | ({"before": (OURS, before)} if before else {})
    measured: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, (code, folder) in arms.items():
            measured[name].append(rate(code, folder, seconds))
    beside = {"math_verify": ("math-verify", 10.0), "before": ("the earlier grader", 0.9)}
    return [
        paired_row(f"grader, plain numbers, answers/s, beside {title}", measured["ours"], measured[name], reach)
        for name, (title, reach) in beside.items()
        if name in measured
    ]


def real_answers(folder: Path, limit: int = 5_000) -> Iterator[tuple[str, str]]:
    """Rationales with their gold answers."""
    rows = [json.loads(line) for line in (folder / "gsm8k_model_solutions/part.jsonl").read_text("utf-8").splitlines()]
    models = [name for name in rows[0] if name not in ("question", "ground_truth")]
    texts = [(row[model]["solution"], row["ground_truth"].rpartition("A: ")[2]) for row in rows for model in models]
    lines = (folder / "teachers/reft_svamp/rationales.jsonl").read_text("utf-8").splitlines()
    texts += [(row["rationale"], str(row["answer"])) for row in map(json.loads, lines)]
    random.Random(0).shuffle(texts)
    yield from texts[:limit]


def expressions(count: int = 2_000) -> Iterator[tuple[str, str, bool]]:
    """(answer, gold, equal): expressions in LaTeX and plain, expanded, factored or as drawn; half are unequal."""
    import sympy

    rng, symbols = random.Random(0), sympy.symbols("x y n")
    while count:
        x, y = rng.sample(symbols, 2)
        a, b, c = (rng.randint(2, 12) for _ in range(3))
        drawn = rng.choice([
            a * x + b, (x + a) * (x - b), a * x**2 + b * y, sympy.sqrt(a) * x + c, sympy.Rational(a, b) * x + y,
            (x + a) ** 3, sympy.pi * a * x, a * sympy.sqrt(b), x / (y + a),
            sympy.Rational(a, b + 12) * sympy.pi, x**a + b, 2 ** (a * x),
        ])  # fmt: skip
        equal = count % 2 == 0
        other = drawn if equal else drawn + rng.choice([1, -1, x, sympy.Rational(1, 2)])
        other = rng.choice([sympy.expand, sympy.factor, sympy.together, lambda e: e])(other)
        answer, gold = (rng.choice([sympy.latex, str])(e) for e in (other, drawn))
        frame = rng.choice(["{}", "${}$", "The answer is ${}$.", "\\boxed{{{}}}", "So we get\n$$\\boxed{{{}}}$$"])
        yield frame.format(answer), gold, equal
        count -= 1


def agreement(folder: Path, console: Console) -> dict[str, Any]:
    import math_verify

    from raydistill.pipelines.tasks.base import grade_answer

    def published(answer: str, gold: str) -> bool:
        parsed = [math_verify.parse(text, parsing_timeout=None) for text in (gold, answer)]
        return math_verify.verify(*parsed, timeout_seconds=None)

    told: dict[str, Any] = {"real": 0, "real_disagree": 0, "expressions": 0, "ours_wrong": 0, "math_verify_wrong": 0}
    for text, gold in real_answers(folder):
        ours = grade_answer(text, gold, "numeric").status == "passed"
        theirs = published(text, gold)
        told["real"] += 1
        if ours != theirs:
            told["real_disagree"] += 1
            seen = {"ours": ours, "math_verify": theirs, "gold": gold, "ends": text[-160:]}
            console.print_json(data=seen, indent=None)
    for text, gold, equal in expressions():
        ours = grade_answer(text, gold, "symbolic").status == "passed"
        theirs = published(text, f"${gold}$")
        told["expressions"] += 1
        told["ours_wrong"] += ours != equal
        told["math_verify_wrong"] += theirs != equal
        if ours != equal:
            console.print_json(data={"ours": ours, "math_verify": theirs, "gold": gold, "answer": text}, indent=None)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout to compare rates with")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each arm in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--agreement", action="store_true", help="compare verdicts instead of rates")
    options = parser.parse_args()
    if not options.agreement:
        print(json.dumps(rates(options.before and options.before.resolve(), options.seconds, options.rounds)))
        return
    if not (folder := os.environ.get("RAYDISTILL_DATA")):
        parser.error("--agreement: RAYDISTILL_DATA is not set; expected the folder with the real answers")
    print(json.dumps(agreement(Path(folder), Console(stderr=True, width=400))))


if __name__ == "__main__":
    main()
