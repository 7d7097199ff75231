"""Which programs count as the same."""

import pytest

from raydistill.pipelines.sampling.program_dedup import MAX_SOURCE, canonical_program

PROGRAM = "def solution():\n    eggs = 16\n    price = 2\n    return eggs * price\n"


@pytest.mark.parametrize(
    "same",
    [
        "def solution():\n    a = 16\n    b = 2\n    return a * b\n",
        'def solution():\n    """How many eggs?"""\n    eggs = 16  # a day\n\n    price = (2)\n    return eggs*price',
        "def solution():\n  price = 16\n  eggs = 2\n  'sold'\n  return price * eggs\n",
    ],
)
def test_names_comments_docstrings_and_formatting_do_not_matter(same: str):
    assert canonical_program(same) == canonical_program(PROGRAM) is not None


@pytest.mark.parametrize(
    "different",
    [
        "def solution():\n    price = 2\n    eggs = 16\n    return eggs * price\n",
        "def solution():\n    eggs = 16\n    price = 2\n    return price * eggs\n",
        "def solution():\n    eggs = 16\n    price = 3\n    return eggs * price\n",
        "def solution():\n    eggs = 16\n    price = 2\n    return eggs * cost\n",
        "def answer():\n    eggs = 16\n    price = 2\n    return eggs * price\n",
        "def solution():\n    return 16 * 2\n",
    ],
)
def test_order_constants_and_structure_matter(different: str):
    assert canonical_program(different) != canonical_program(PROGRAM)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # parameters, loop and comprehension variables are variables too
        ("def f(a, b=1):\n return [x + a for x in b]", "def f(p, q=1):\n return [y + p for y in q]"),
        ("for i in range(3):\n s = i", "for number in range(3):\n total = number"),
        ("def f(a: int):\n return lambda x: x + a", "def f(b: int):\n return lambda y: y + b"),
        ("def f():\n 'text'", "def f():\n pass"),
    ],
)
def test_renaming_reaches_every_variable(one: str, other: str):
    assert canonical_program(one) == canonical_program(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("import math\nx = math.pi", "import cmath\nx = cmath.pi"),
        ("x = 1\ny = sum", "x = 1\ny = max"),
        ("x.a = 1", "x.b = 1"),
        ("def h(a, b):\n return a - b\nr = h(a=1, b=2)", "def h(b, a):\n return b - a\nr = h(a=1, b=2)"),
        ("x = 1\nr = v0", "v0 = 1\nr = v0"),
        ("def f():\n global n\n n = 1", "def f():\n global m\n n = 1"),
    ],
)
def test_renaming_never_makes_different_programs_equal(one: str, other: str):
    assert canonical_program(one) != canonical_program(other)


@pytest.mark.parametrize(
    "source",
    [
        "def solution(:",
        "x = '\0'",
        "x = '\ud800'",
        "(" * 10_000 + ")" * 10_000,
        "a" + "+a" * 20_000,
        "f" + "()" * 30_000,
        "9" * 5_000,
        "x = 1\n" * MAX_SOURCE,
    ],
    ids=["syntax", "null byte", "surrogate", "parentheses", "sum", "calls", "digits", "long"],
)
def test_what_cannot_be_parsed_has_no_canonical_form(source: str):
    assert canonical_program(source) is None
