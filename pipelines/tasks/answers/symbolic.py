"""Equality by algebra: 2(x + 1) = 2x + 2, (-∞, 2) = x < 2. math-verify (sympy) in a process that can be killed.

    equal(answer, gold) --JSON lines--> process: parse both, verify in both orders --true | false--> within PATIENCE_S

Some expressions never come back from simplification. So the time limit is the parent's, which kills the process and
starts another; an answer that cannot be decided in time is not equal. SIGALRM, math-verify's own limit, works in a main
thread alone, and not inside C.
"""

from __future__ import annotations

import atexit
import json
import re
import resource
import selectors
import subprocess
import sys
import threading
from functools import lru_cache
from typing import Any

from raydistill.pipelines.tasks.answers.values import is_prose

PATIENCE_S = 5.0
READY = "ready"
START_S = 60.0  # for the first answer of a process, which imports sympy
MEMORY_BYTES = 4 << 30
LONGEST = 10_000  # characters of an answer; a longer one is no answer


class Comparer:
    """Asks one process after the other; thread-safe."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s, self._lock = patience_s, threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._asked = 0

    def ask(self, answer: str, gold: str) -> bool:
        """Whether the process finds both equal in time. An answer to another question ends it, as none does."""
        with self._lock:
            self._asked += 1
            try:
                said = self._exchange(json.dumps([self._asked, answer, gold]), self._patience_s)
            except OSError:  # it died of the last expression, of its memory limit for one
                said = ""
            if said not in (f"[{self._asked}, true]", f"[{self._asked}, false]"):
                self.close()
            return said == f"[{self._asked}, true]"

    def close(self) -> None:
        """End the process; the next question starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _exchange(self, question: str, seconds: float) -> str:
        """The line that follows `question`; "" where none comes in time, or where no process starts."""
        if self._process is None or self._process.poll() is not None:
            self._process = _start()
            if _line_within(self._process, START_S) != READY:
                return ""
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return _line_within(self._process, seconds)


def _start() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "raydistill.pipelines.tasks.answers.symbolic"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def _line_within(process: subprocess.Popen[str], seconds: float) -> str:
    """The next line that it says; "" where none comes in time, or ever."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline().strip() if selector.select(seconds) else ""


_comparer = Comparer()
atexit.register(_comparer.close)


@lru_cache(maxsize=8192)
def equal(answer: str, gold: str) -> bool:
    """Whether the answer that a text states is the gold expression; both in LaTeX or plain."""
    if len(answer) > LONGEST or len(gold) > LONGEST:
        return False
    return _comparer.ask(answer, gold)


def verify(answer: str, gold: str) -> bool:
    """`equal` in this process, without a limit of time."""
    import math_verify

    expected, found = _parse(gold), _parse(answer)
    if not expected or not found:
        return False
    if math_verify.verify(expected, found, timeout_seconds=None):
        return True
    # Simplification may succeed in one order alone. But 11a + c is no answer where 7 = 11a + c is asked for, while
    # x = 5 is one for 5: so the other order counts only between things of one kind.
    return _shape(expected) == _shape(found) and math_verify.verify(found, expected, timeout_seconds=None)


def _parse(text: str) -> list[Any]:
    """What math-verify finds, the boxed expression first; of a bare formula all of it."""
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    text = _as_latex(text)
    configs = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    bare = not any(mark in text for mark in ("$", "\\boxed", "\\(", "\\[")) and not is_prose(text)
    formula = parse(f"${text}$", configs[:1], parsing_timeout=None) if bare else []
    return formula or parse(text, configs, parsing_timeout=None)


_PROGRAMMED = (  # as programs and calculators write
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"(?<![A-Za-z\\])sqrt\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"(?<![A-Za-z\\])(sin|cos|tan|log|ln|exp|pi)(?![A-Za-z])"), r"\\\1 "),
    (re.compile(r"(?<=[\w)}])\s*\*\s*(?=[\w(\\])"), r" \\cdot "),
    (re.compile(r"\^\(([^()]*)\)|\^(-?\d+)"), r"^{\1\2}"),
)


def _as_latex(text: str) -> str:
    for pattern, replacement in _PROGRAMMED:
        text = pattern.sub(replacement, text)
    return text


def _shape(parsed: list[Any]) -> str:
    from sympy import FiniteSet, MatrixBase, Set, Tuple
    from sympy.core.relational import Relational

    kinds = (Relational, Tuple, FiniteSet, Set, MatrixBase)
    return next((kind.__name__ for kind in kinds if isinstance(parsed[0], kind)), "expression")


def main() -> None:
    """Answer questions from standard input, one JSON line each: [number, answer, gold] --> [number, true | false]."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    verify("1", "x")
    print(READY, flush=True)
    for line in sys.stdin:
        number, answer, gold = json.loads(line)
        try:
            same = verify(answer, gold)
        except Exception:  # what the library chokes on is not equal
            same = False
        print(json.dumps([number, same]), flush=True)


if __name__ == "__main__":
    main()
