"""What a zygote has loaded before it locks itself in: lean, standard, whole (all of Python's library), rich (numpy).

After the lock no file opens, so what is not loaded here cannot be imported: `import requests` is a plain
ModuleNotFoundError. That protects nothing (the layers hold with every module in reach, ctypes included); it is
what keeps a zygote small. Every page and every mapping of a zygote is copied for each child: loading all of the
standard library costs each child half of its time again, for modules that one program in hundreds imports. So the lean
zygote has those that reasoning programs use, and a program that names another one goes to one that has it.

The warm programs run once before the first fork. They touch the interpreter's hot paths, so that children inherit
these pages instead of faulting them in (the largest single gain in speed), and load what sympy imports late.
"""

import os
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

LEAN_MODULES = """
    __future__ abc bisect calendar cmath collections collections.abc copy datetime decimal enum errno fractions
    functools gc heapq io itertools json math numbers operator os os.path random re statistics string struct sys time
    types typing warnings weakref _strptime
"""
STANDARD_MODULES = """
    array ast base64 contextlib dataclasses difflib dis hashlib hmac inspect keyword linecache locale pprint queue
    secrets socket textwrap timeit tokenize traceback unicodedata uuid zoneinfo
    dateutil dateutil.easter dateutil.parser dateutil.relativedelta dateutil.rrule dateutil.tz dateutil.utils
    dateutil.zoneinfo
"""
PACKAGES = "dateutil pytz tzdata"
"""installed ones beside numpy and sympy that have nothing but data and arithmetic to offer, where they are installed"""
WITHHELD = {
    "antigravity": "opens a browser when it is imported",
    "idlelib": "an editor's windows",
    "turtle": "draws in a window",
    "turtledemo": "draws in a window",
    "tkinter": "needs a display",
    "ensurepip": "installs packages",
    "venv": "installs environments",
    "lib2to3": "rewrites programs; left out of Python 3.13",
    "crypt": "brings a library of the system along; left out of Python 3.13",
}
"""what of the standard library is not loaded, and why"""
RICH_MODULES = """
    numpy numpy.fft numpy.linalg numpy.ma numpy.polynomial numpy.random mpmath sympy sympy.abc
    sympy.solvers.ode sympy.solvers.diophantine sympy.solvers.inequalities sympy.stats sympy.tensor.tensor
    sympy.plotting sympy.printing.latex sympy.printing.pretty sympy.utilities.lambdify sympy.utilities.autowrap
    sympy.matrices.expressions sympy.ntheory sympy.combinatorics sympy.geometry sympy.logic.algorithms.dpll2
    sympy.physics.units sympy.integrals.manualintegrate sympy.integrals.meijerint sympy.integrals.heurisch
    sympy.integrals.risch sympy.series.gruntz sympy.simplify.hyperexpand sympy.polys.numberfields
"""
RICH_WORDS = ("numpy", "sympy", "mpmath", "scipy")
LEAN_WARM_PROGRAMS = """\
def solution():
    a = 12
    b = a * 3.5 / 2
    names = ['x', 'y']
    return a + b - len(names)
---
def solution():
    total = 0
    for i in range(1, 30):
        if i % 3 == 0 and i > 2:
            total += i ** 2
        else:
            total -= i // 2
    return total
---
import math
def solution():
    return math.sqrt(2) + math.ceil(1.5) + round(3.14159, 2) + math.pi
---
from datetime import datetime, timedelta
def solution():
    return (datetime(2024, 3, 1) - timedelta(days=1)).strftime('%m/%d/%Y')
---
from fractions import Fraction
def solution():
    return Fraction(1, 3) + Fraction(1, 6)
---
from collections import Counter, defaultdict
import itertools
def solution():
    c = Counter('banana')
    d = defaultdict(int)
    for a, b in itertools.combinations([3, 1, 2], 2):
        d[a] += b
    return sorted(c.items(), key=lambda kv: (-kv[1], kv[0]))[0][0] + str(max(d.values()))
---
def solution():
    text = 'The quick brown fox'
    words = text.lower().split()
    d = {w: len(w) for w in words}
    print(f'{sum(d.values()) / len(d):.2f}', sorted(words))
    return ' '.join(reversed(words)).replace('o', '0').title()
---
def f(n):
    return 1 if n < 2 else n * f(n - 1)
def solution():
    return f(20) % 1000007
---
def solution():
    try:
        return 1 / 0
    except ZeroDivisionError as e:
        return str(e)
---
class A:
    def __init__(self, x):
        self.x = x
def solution():
    return A(5).x + 1
---
def solution():
    return totl + 1
---
def solution(:
    return 1
---
import random
import re
import string
def solution():
    random.seed(1)
    s = {random.randint(1, 9)}
    return len(re.findall('[a-z]+', string.ascii_letters)) + len(s) + sum(divmod(17, 5))
---
x = 5
while x > 0:
    x -= 1
answer = {'a': [1, 2, (3, 4)]}
print(answer['a'][2][1], x)
"""

RICH_WARM_PROGRAMS = """\
from sympy import *
x, y = symbols('x y')
def solution():
    s = solve(Eq(2 * x + 3, 11), x)
    solve([Eq(x + y, 5), Eq(x - y, 1)], (x, y))
    solve(x ** 2 - 5 * x + 6, x)
    solveset(x ** 2 - 1, x)
    simplify((x ** 2 - 1) / (x - 1))
    factor(x ** 2 + 2 * x + 1)
    expand((x + y) ** 3)
    diff(sin(x) * x, x)
    integrate(x ** 2 * exp(x), x)
    limit(sin(x) / x, x, 0)
    series(cos(x), x, 0, 4)
    summation(x, (x, 1, 10))
    nsolve(x ** 3 - 2, 1)
    str(sqrt(2) * pi)
    latex(x / 2)
    Matrix([[1, 2], [3, 4]]).inv()
    factorint(360)
    lambdify(x, x ** 2)(3)
    N(pi, 20)
    Rational(1, 3).evalf()
    roots(x ** 3 - x, x)
    Poly(x ** 2 + 1, x).degree()
    return s[0]
---
from sympy import symbols, Function, dsolve, Eq, reduce_inequalities, linsolve, nonlinsolve
x, y = symbols('x y', positive=True)
f = Function('f')
def solution():
    dsolve(f(x).diff(x) - f(x), f(x))
    reduce_inequalities([x > 1, x < 3], x)
    linsolve([x + y - 3, x - y - 1], (x, y))
    nonlinsolve([x * y - 2, x - y], [x, y])
    return float((x / 3).subs(x, 2))
---
import numpy as np
def solution():
    a = np.arange(6.0).reshape(2, 3)
    np.random.seed(0)
    b = np.linalg.solve(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]))
    return a.mean() + b.sum() + np.random.rand() * 0 + np.sqrt(2) + np.median(a) + np.percentile(a, 50)
"""


class Profile(NamedTuple):
    name: str
    modules: Sequence[str]
    warm_programs: Sequence[str]
    flags: Sequence[str] = ()
    """of the interpreter"""
    is_whole: bool = False
    """whether all of the standard library is loaded, too"""


def codecs() -> Iterator[str]:
    """The modules of the standard library's codecs, each of which Python loads when a text first asks for it."""
    import encodings

    yield from (f"encodings.{module.name}" for module in pkgutil.iter_modules(encodings.__path__))


def whole_library() -> Iterator[str]:
    """All modules of the standard library, with those inside its packages, but what is withheld or a test."""
    for root in sorted(sys.stdlib_module_names - WITHHELD.keys()):
        if not root.startswith("_"):
            yield root
            yield from _submodules(root)


def _submodules(package: str) -> Iterator[str]:
    """Those of a package of the standard library, found in its folder without importing any."""
    folder = os.path.join(os.path.dirname(os.__file__), *package.split("."))
    for module in pkgutil.iter_modules([folder]):
        if not (module.name.startswith("_") or module.name in ("test", "tests", "idle_test")):
            yield f"{package}.{module.name}"
            if module.ispkg:
                yield from _submodules(f"{package}.{module.name}")


# Installed packages may load modules of theirs at every start (.pth files); the lean zygote has no use for any.
LEAN = Profile("lean", LEAN_MODULES.split(), LEAN_WARM_PROGRAMS.split("---\n"), flags=("-S",))
STANDARD = Profile("standard", [*LEAN.modules, *STANDARD_MODULES.split()], LEAN.warm_programs)
WHOLE = Profile("whole", [*STANDARD.modules, *PACKAGES.split()], LEAN.warm_programs, is_whole=True)
RICH = Profile(
    "rich",
    [*WHOLE.modules, *RICH_MODULES.split()],
    [*LEAN.warm_programs, *RICH_WARM_PROGRAMS.split("---\n")],
    is_whole=True,
)
PROFILES = {profile.name: profile for profile in (LEAN, STANDARD, WHOLE, RICH)}

_IMPORT = re.compile(r"^[ \t]*(?:.*[;:][ \t]*)?(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.M)
_ROOTS = {profile.name: frozenset(name.partition(".")[0] for name in profile.modules) for profile in (LEAN, STANDARD)}
_WHOLE_ROOTS = (sys.stdlib_module_names | {*PACKAGES.split()}) - WITHHELD.keys()


def profile_for(source: str) -> Profile:
    """By the words in the text, not by parsing it: hostile source is parsed only inside the jail."""
    if "import" not in source:
        return LEAN
    if any(word in source for word in RICH_WORDS):
        return RICH
    found = {name.partition(".")[0] for name in _imported(source)} & _WHOLE_ROOTS
    if found <= _ROOTS[LEAN.name]:
        return LEAN
    return STANDARD if found <= _ROOTS[STANDARD.name] else WHOLE


def _imported(source: str) -> Iterator[str]:
    """The modules that lines of the text name behind `import` and `from`."""
    for origin, names in _IMPORT.findall(source):
        yield from [origin] if origin else (name.split()[0] for name in names.split(",") if name.strip())


def table() -> str:
    """What can be imported where, in Markdown, for `docs/sandbox.md`."""
    rest = sorted(name for name in _WHOLE_ROOTS if name[0] != "_")
    rows: list[tuple[str, Set[str]]] = [
        ("lean", _ROOTS["lean"]),
        ("standard, also", _ROOTS["standard"] - _ROOTS["lean"]),
    ]
    rows += [
        ("whole, also", set(rest) - _ROOTS["standard"]),
        ("rich, also", {n.split(".")[0] for n in RICH_MODULES.split()}),
    ]
    lines = [f"| {name} | {' '.join(f'`{m}`' for m in sorted(found) if m[0] != '_')} |" for name, found in rows]
    lines += [f"| not at all | {', '.join(f'`{name}` ({why})' for name, why in sorted(WITHHELD.items()))} |"]
    return "\n".join(["| zygote | modules, with those inside them |", "|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    print(table(), end="")
