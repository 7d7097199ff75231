"""What a zygote has loaded before it locks itself in, from a few modules to all of Python's library and sympy.

After the lock no file opens, so what is not loaded here cannot be imported: `import requests` is a plain
ModuleNotFoundError. That protects nothing (the layers hold with every module in reach, ctypes included); it is
what keeps a zygote small. Every page and every mapping of a zygote is copied for each child: loading all of the
standard library costs each child half of its time again, for modules that one program in hundreds imports. So the lean
zygote has those that reasoning programs use, and a program that names another one goes to one that has it.
"""

import encodings
import encodings.aliases
import os
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

from .warm_programs import LEAN_PROGRAMS, RICH_PROGRAMS

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
COMMON_CODECS = frozenset(
    ["utf_8", "utf_8_sig", "utf_16", "utf_16_be", "utf_16_le", "ascii", "latin_1", "unicode_escape"]
)
"""those that every zygote has"""
RICH_WORDS = ("numpy", "sympy", "mpmath", "scipy")


class Profile(NamedTuple):
    name: str
    modules: Sequence[str]
    warm_programs: Sequence[str]
    flags: Sequence[str] = ()
    """of the interpreter"""
    is_whole: bool = False
    """whether all of the standard library is loaded, too"""
    is_rich: bool = False
    """whether numpy and sympy are, which want more memory"""
    wider: str | None = None
    """where a program is tried again that wants a module or a codec of which its text told nothing"""


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
_CODEC_MODULES = [f"encodings.{name}" for name in sorted(COMMON_CODECS)]
LEAN = Profile("lean", [*LEAN_MODULES.split(), *_CODEC_MODULES], LEAN_PROGRAMS, flags=("-S",), wider="whole")
STANDARD = Profile("standard", [*LEAN.modules, *STANDARD_MODULES.split()], LEAN_PROGRAMS, wider="whole")
WHOLE = Profile("whole", [*STANDARD.modules, *PACKAGES.split()], LEAN_PROGRAMS, is_whole=True)
RICH = Profile("rich", [*STANDARD.modules, *RICH_MODULES.split()], RICH_PROGRAMS, is_rich=True, wider="full")
FULL = Profile("full", [*WHOLE.modules, *RICH_MODULES.split()], RICH_PROGRAMS, is_whole=True, is_rich=True)
PROFILES = {profile.name: profile for profile in (LEAN, STANDARD, WHOLE, RICH, FULL)}

_IMPORT = re.compile(r"^[ \t]*(?:.*[;:][ \t]*)?(?:from[ \t]+([\w.]+)[ \t]+import\b|import[ \t]+([\w., \t]+))", re.M)
_ROOTS = {
    profile.name: frozenset(name.partition(".")[0] for name in profile.modules) - {"encodings"}
    for profile in (LEAN, STANDARD)
}
_QUOTED = re.compile(r"""["']([\w.-]{2,20})["']""")
_CODECS = {module.name for module in pkgutil.iter_modules(encodings.__path__)} - {"aliases", "undefined"}
_CODECS |= {alias for alias, codec in encodings.aliases.aliases.items() if codec in _CODECS}
_CODECS -= {alias for alias, codec in encodings.aliases.aliases.items() if codec in COMMON_CODECS} | COMMON_CODECS
_WHOLE_ROOTS = (sys.stdlib_module_names | {*PACKAGES.split()}) - WITHHELD.keys()


def profile_for(source: str) -> Profile:
    """By the words in the text, not by parsing it: hostile source is parsed only inside the jail."""
    names_a_codec = "code" in source and _names_a_codec(source)
    if "import" not in source:
        return WHOLE if names_a_codec else LEAN
    found = {name.partition(".")[0] for name in _imported(source)} & _WHOLE_ROOTS
    is_whole = not found <= _ROOTS[STANDARD.name] or names_a_codec
    if any(word in source for word in RICH_WORDS):
        return FULL if is_whole else RICH
    if is_whole:
        return WHOLE
    return LEAN if found <= _ROOTS[LEAN.name] else STANDARD


def _names_a_codec(source: str) -> bool:
    """Whether it has, in quotes, the name of one that Python loads when a text first asks for it."""
    return any(encodings.normalize_encoding(name).lower() in _CODECS for name in _QUOTED.findall(source))


def _imported(source: str) -> Iterator[str]:
    """The modules that lines of the text name behind `import` and `from`."""
    for origin, names in _IMPORT.findall(source):
        yield from [origin] if origin else (name.split()[0] for name in names.split(",") if name.strip())


def table() -> str:
    """What can be imported where, in Markdown, for `docs/sandbox.md`."""
    rest = sorted(name for name in _WHOLE_ROOTS if name[0] != "_")
    rows: list[tuple[str, Set[str]]] = [
        ("lean", _ROOTS["lean"]),
        ("standard, lean and", _ROOTS["standard"] - _ROOTS["lean"]),
        ("whole, standard and", set(rest) - _ROOTS["standard"]),
        ("rich, standard and", {name.split(".")[0] for name in RICH_MODULES.split()}),
    ]
    lines = [f"| {name} | {' '.join(f'`{m}`' for m in sorted(found) if m[0] != '_')} |" for name, found in rows]
    lines += ["| full | whole and rich |"]
    lines += [f"| not at all | {', '.join(f'`{name}` ({why})' for name, why in sorted(WITHHELD.items()))} |"]
    return "\n".join(["| zygote | modules, with those inside them |", "|---|---|", *lines]) + "\n"


if __name__ == "__main__":
    print(table(), end="")
