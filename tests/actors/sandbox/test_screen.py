"""The screen: ordinary programs share a process, anything that could reach shared state does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raydistill.actors.executor import Executor, Program
from raydistill.actors.sandbox.inside.screen import Screen
from tests import ROOT

pytestmark = pytest.mark.skipif(not Screen.known(), reason="the screen's tables are for other Python versions")

ORDINARY = {
    "arithmetic": "def solution():\n    total_cost = 3 * 4.5\n    return round(total_cost, 2)",
    "loops and text": "def solution():\n    return ' '.join(str(i) for i in range(9) if i % 2).upper()",
    "collections": "from collections import Counter\ndef solution():\n    return Counter('noon').most_common(1)[0][1]",
    "dates": "from datetime import date, timedelta\ndef solution():\n    return str(date(2024, 1, 1) - timedelta(3))",
    "print style": "answer = 42\nprint(f'The answer is {answer}')",
    "sorting": "def solution():\n    return sorted([3, 1], key=lambda x: -x)[0]",
    "random": "import random\ndef solution():\n    return random.randint(1, 6)",
    "closures": "def solution():\n    n = 0\n    def f():\n        nonlocal n\n        n += 1\n    f()\n    return n",
}
REACHING = {
    "clock": "from datetime import datetime\ndef solution():\n    return datetime.now().year",
    "module": "import os\ndef solution():\n    return 1",
    "submodule": "import collections.abc\ndef solution():\n    return 1",
    "dunder": "def solution():\n    return ().__class__",
    "attribute": "import math\nmath.pi = 3\ndef solution():\n    return 1",
    "global": "def solution():\n    global x\n    x = 1\n    return x",
    "class": "class A:\n    pass\ndef solution():\n    return 1",
    "star import": "from math import *\ndef solution():\n    return 1",
    "class pattern": "def solution():\n    match 1:\n        case int(real=x):\n            return x",
    "frame": "def solution():\n    g = (i for i in ())\n    return g.gi_frame",
    "builtin": "def solution():\n    return eval('1')",
    "input": "def solution():\n    return input()",
    "type": "def solution():\n    return type(1)",
    "exception context": "def solution():\n    try:\n        1 / 0\n    except Exception as e:\n        return e.args",
    "lambda hidden": "f = lambda: (lambda: globals())\ndef solution():\n    return 1",
    "normalised name": "def solution():\n    return ｅval('1')",
    "exit": "def solution():\n    exit()",
}


@pytest.fixture(scope="module")
def lanes() -> dict[str, str]:
    """Where each program ran, by its source: the tables depend on what is loaded, so only a zygote's own count."""
    sources = [*ORDINARY.values(), *REACHING.values()]
    executor = Executor()
    verdicts = executor.run([Program(source, source) for source in sources])
    executor.close()
    return {verdict.id: verdict.lane for verdict in verdicts}


@pytest.mark.parametrize("source", ORDINARY.values(), ids=ORDINARY)
def test_ordinary_programs_share_a_process(lanes: dict[str, str], source: str) -> None:
    assert lanes[source] == "batch"


@pytest.mark.parametrize("source", REACHING.values(), ids=REACHING)
def test_programs_that_reach_further_are_isolated(lanes: dict[str, str], source: str) -> None:
    assert lanes[source] == "isolated"


SEEDING = """
import random
from raydistill.actors.sandbox.inside.screen import Screen
screen, code, draws = Screen(), compile({source!r}, "p", "exec"), []
for _ in range(2):
    assert screen.passes(code)
    draws.append(random.random())
    random.random()
assert draws[0] == draws[1]
"""


def test_random_numbers_start_from_the_same_seed() -> None:
    """In an interpreter of its own: what the screen refuses depends on the modules that are loaded."""
    subprocess.run([sys.executable, "-c", SEEDING.format(source=ORDINARY["random"])], cwd=ROOT, check=True)


def test_a_screened_namespace_is_a_copy() -> None:
    screen = Screen()
    first = screen.namespace()
    first["__builtins__"]["print"] = None
    assert screen.namespace()["__builtins__"]["print"] is print
    with pytest.raises(ImportError):
        exec("import os", screen.namespace())
