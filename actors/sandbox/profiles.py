"""What a zygote has loaded before it locks itself in: a lean profile (standard library) and a rich one
(numpy, sympy).

After the lock no file opens, so what is not loaded here cannot be imported: `import requests` is a plain
ModuleNotFoundError. Modules with a legitimate use in short calculations are offered; the ones the zygote
itself needs (ctypes, mmap...) are hidden again. Hiding is tidiness, not protection: the layers hold with
every module in reach.

The warm programs run once before the first fork. They touch the interpreter's hot paths, so that children
inherit these pages instead of faulting them in (the largest single gain in speed), and, for sympy, load what
it imports late.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

STANDARD_MODULES = """
    abc array ast base64 bisect calendar cmath collections collections.abc contextlib copy dataclasses datetime decimal
    difflib dis encodings.ascii encodings.idna encodings.latin_1 enum errno fractions functools gc hashlib heapq hmac
    inspect io itertools json keyword linecache locale math numbers operator os os.path pprint queue random re secrets
    statistics string struct sys textwrap time timeit tokenize traceback types typing unicodedata uuid warnings
    weakref zoneinfo _strptime
"""
RICH_MODULES = """
    numpy numpy.fft numpy.linalg numpy.ma numpy.polynomial numpy.random numpy.testing mpmath sympy sympy.abc
    sympy.solvers.ode sympy.solvers.diophantine sympy.solvers.inequalities sympy.stats sympy.tensor.tensor
    sympy.plotting sympy.printing.latex sympy.printing.pretty sympy.utilities.lambdify sympy.utilities.autowrap
    sympy.matrices.expressions sympy.ntheory sympy.combinatorics sympy.geometry sympy.logic.algorithms.dpll2
    sympy.physics.units sympy.integrals.manualintegrate sympy.integrals.meijerint sympy.integrals.heurisch
    sympy.integrals.risch sympy.series.gruntz sympy.simplify.hyperexpand sympy.polys.numberfields
"""
HIDDEN_MODULES = ("ctypes", "_ctypes", "ctypes._endian", "mmap", "select", "_posixsubprocess")
RICH_WORD = re.compile(r"\b(?:numpy|sympy|mpmath|scipy)\b")

LEAN_WARM_PROGRAMS = (
    "def solution():\n    a = 12\n    b = a * 3.5 / 2\n    names = ['x', 'y']\n    return a + b - len(names)\n",
    "def solution():\n    total = 0\n    for i in range(1, 30):\n        if i % 3 == 0 and i > 2:\n"
    "            total += i ** 2\n        else:\n            total -= i // 2\n    return total\n",
    "import math\ndef solution():\n    return math.sqrt(2) + math.ceil(1.5) + round(3.14159, 2) + math.pi\n",
    "from datetime import datetime, timedelta\ndef solution():\n"
    "    return (datetime(2024, 3, 1) - timedelta(days=1)).strftime('%m/%d/%Y')\n",
    "from fractions import Fraction\ndef solution():\n    return Fraction(1, 3) + Fraction(1, 6)\n",
    "from collections import Counter, defaultdict\nimport itertools\ndef solution():\n    c = Counter('banana')\n"
    "    d = defaultdict(int)\n    for a, b in itertools.combinations([3, 1, 2], 2):\n        d[a] += b\n"
    "    return sorted(c.items(), key=lambda kv: (-kv[1], kv[0]))[0][0] + str(max(d.values()))\n",
    "def solution():\n    text = 'The quick brown fox'\n    words = text.lower().split()\n"
    "    d = {w: len(w) for w in words}\n    print(f'{sum(d.values()) / len(d):.2f}', sorted(words), end='\\n')\n"
    "    return ' '.join(reversed(words)).replace('o', '0').title()\n",
    "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\ndef solution():\n    return f(20) % 1000007\n",
    "def solution():\n    try:\n        return 1 / 0\n    except ZeroDivisionError as e:\n        return str(e)\n",
    "class A:\n    def __init__(self, x):\n        self.x = x\ndef solution():\n    return A(5).x + 1\n",
    "def solution():\n    return totl + 1\n",
    "def solution(:\n    return 1\n",
    "import random\nimport re\nimport string\ndef solution():\n    random.seed(1)\n    s = {random.randint(1, 9)}\n"
    "    return len(re.findall('[a-z]+', string.ascii_letters)) + len(s) + sum(divmod(17, 5))\n",
    "x = 5\nwhile x > 0:\n    x -= 1\nanswer = {'a': [1, 2, (3, 4)]}\nprint(answer['a'][2][1], x)\n",
)
RICH_WARM_PROGRAMS = (
    "from sympy import *\nx, y = symbols('x y')\ndef solution():\n    s = solve(Eq(2 * x + 3, 11), x)\n"
    "    solve([Eq(x + y, 5), Eq(x - y, 1)], (x, y))\n    solve(x ** 2 - 5 * x + 6, x)\n"
    "    solveset(x ** 2 - 1, x)\n    simplify((x ** 2 - 1) / (x - 1))\n    factor(x ** 2 + 2 * x + 1)\n"
    "    expand((x + y) ** 3)\n    diff(sin(x) * x, x)\n    integrate(x ** 2 * exp(x), x)\n    limit(sin(x) / x, x, 0)\n"
    "    series(cos(x), x, 0, 4)\n    summation(x, (x, 1, 10))\n    nsolve(x ** 3 - 2, 1)\n    str(sqrt(2) * pi)\n"
    "    latex(x / 2)\n    Matrix([[1, 2], [3, 4]]).inv()\n    factorint(360)\n    lambdify(x, x ** 2)(3)\n"
    "    N(pi, 20)\n    Rational(1, 3).evalf()\n    Poly(x ** 2 + 1, x).roots\n    return s[0]\n",
    "from sympy import symbols, Function, dsolve, Eq, reduce_inequalities, linsolve, nonlinsolve\n"
    "x, y = symbols('x y', positive=True)\nf = Function('f')\ndef solution():\n    dsolve(f(x).diff(x) - f(x), f(x))\n"
    "    reduce_inequalities([x > 1, x < 3], x)\n    linsolve([x + y - 3, x - y - 1], (x, y))\n"
    "    nonlinsolve([x * y - 2, x - y], [x, y])\n    return float((x / 3).subs(x, 2))\n",
    "import numpy as np\ndef solution():\n    a = np.arange(6.0).reshape(2, 3)\n    np.random.seed(0)\n"
    "    b = np.linalg.solve(np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0]))\n"
    "    return a.mean() + b.sum() + np.random.rand() * 0 + np.sqrt(2) + np.median(a) + np.percentile(a, 50)\n",
)


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    modules: Sequence[str]
    warm_programs: Sequence[str]


LEAN = Profile("lean", STANDARD_MODULES.split(), LEAN_WARM_PROGRAMS)
RICH = Profile("rich", [*STANDARD_MODULES.split(), *RICH_MODULES.split()], (*LEAN_WARM_PROGRAMS, *RICH_WARM_PROGRAMS))
PROFILES = {profile.name: profile for profile in (LEAN, RICH)}


def profile_for(source: str) -> Profile:
    """By the words in the text, not by parsing it: hostile source is parsed only inside the jail."""
    return RICH if RICH_WORD.search(source) else LEAN
