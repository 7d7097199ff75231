"""What the executor is measured on and against: real or generated programs, and three other ways to run them."""

import contextlib
import faulthandler
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DEFERRED = "class Price:\n    amount = 3\ndef solution():\n    return Price().amount * 14\n"
SYMBOLIC = """
from sympy import symbols, Eq, solve
def solution():
    x = symbols('x')
    return solve(Eq({a} * x + {b}, {c}), x)[0]
"""
GENERATED = """
def solution():
    price = {a}
    number = {b}
    total = price * number
    return total - total * 0.1 + {c}
---
def solution():
    total = 0
    for day in range({b}):
        total += {a} if day % 7 else {c}
    return total
---
import math
def solution():
    return math.ceil({a} / {b}) * {c}
---
def solution():
    ages = [{a}, {b}, {c}]
    print(sorted(ages))
    return sum(ages) / len(ages)
"""


def load_programs() -> tuple[list[str], list[str], str]:
    """(plain programs, symbolic programs, where they come from)."""
    generator = random.Random(0)
    numbers = [{name: generator.randint(2, 90) for name in "abc"} for _ in range(400)]
    symbolic = [SYMBOLIC.format(**each) for each in numbers[:20]]
    if "RAYDISTILL_DATA" not in os.environ:
        return (
            [template.format(**each) for each in numbers for template in GENERATED.split("---")],
            symbolic,
            "generated",
        )
    path = Path(os.environ["RAYDISTILL_DATA"]) / "tora_programs" / "part.jsonl"
    sources = [json.loads(line)["code"] for line in path.open()]
    plain = [source for source in sources if "sympy" not in source and "numpy" not in source]
    return plain, [source for source in sources if "sympy" in source] or symbolic, "tora_programs"


def run_in_process(sources: list[str]) -> None:
    for source in sources:
        namespace: dict[str, Any] = {}
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            exec(compile(source, "<program>", "exec"), namespace)
            namespace["solution"]()


def _give_up(*_: Any) -> None:
    raise TimeoutError


def _process_target(source: str, result: Any) -> None:
    """What HumanEval's child does: a temporary folder, a guard that blunts os and friends, a timer, no output."""
    with tempfile.TemporaryDirectory() as folder:
        keep = {name: getattr(os, name) for name in ("rmdir", "chdir", "unlink", "scandir", "lstat", "open", "close")}
        os.chdir(folder)
        faulthandler.disable()
        for name in ("kill", "system", "putenv", "remove", "fork", "rename", "truncate", "chmod", "chown", *keep):
            setattr(os, name, None)
        shutil.move = shutil.chown = None  # type: ignore[assignment]
        try:
            signal.signal(signal.SIGALRM, _give_up)
            signal.setitimer(signal.ITIMER_REAL, 3.0)
            namespace: dict[str, Any] = {}
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                exec(source, namespace)
                namespace["solution"]()
            result.append("passed")
        except BaseException as error:
            result.append(f"failed: {error}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for name, function in keep.items():
                setattr(os, name, function)
            os.chdir("/")


def run_processes(sources: list[str]) -> None:
    for source in sources:
        with multiprocessing.Manager() as manager:
            result = manager.list()
            process = multiprocessing.Process(target=_process_target, args=(source, result))
            process.start()
            process.join(timeout=4)
            if process.is_alive():
                process.kill()


def run_subprocesses(sources: list[str]) -> None:
    for source in sources:
        subprocess.run([sys.executable, "-I", "-c", f"{source}\nsolution()"], capture_output=True, timeout=30)
