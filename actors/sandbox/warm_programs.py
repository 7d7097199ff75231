"""Programs that each zygote runs before its first fork.

They touch the interpreter's hot paths, so that children inherit these pages instead of faulting them in (the largest
single gain in speed), and load what sympy imports late.
"""

_LEAN = """\
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
_RICH = """\
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

LEAN_PROGRAMS = _LEAN.split("---\n")
RICH_PROGRAMS = [*LEAN_PROGRAMS, *_RICH.split("---\n")]
