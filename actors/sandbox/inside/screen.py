"""Which programs may share a child process with others: a bytecode screen of a few microseconds.

Threat model: this is NOT a boundary towards the host; the layers are, in both lanes. The screen protects the
answers of batch-mates: it passes only programs that can provably not reach state which outlives them. A
program that it does not pass is deferred to the isolated lane, where it has a process of its own.

A code object passes if none of its names is an attribute of anything loaded, save a hand-kept list of
harmless ones (`print`, `append`, `sqrt`), none begins with an underscore, it defines no class, sets no
attribute or global, matches no class pattern (attribute names hide in constants there), and imports only
modules without mutable state in reach. Two names pass only where the code shows what they do: `format`, whose fields
reach attributes, on a constant without such fields, and `seed` with a constant, as without one it is chance. It then
runs with a copy of a few builtins and an `__import__` of its
own. Not covered: opcodes and attribute names of Python versions that nobody has looked at; `known()` is false
there, and every program is isolated.
"""

import builtins
import collections
import datetime
import fractions
import importlib
import opcode
import random
import string
import sys
from collections.abc import Callable, Iterator
from dis import findlabels
from types import CodeType, ModuleType
from typing import Any, NamedTuple

KNOWN_VERSIONS = ((3, 11),)  # the versions whose opcodes and type attributes were reviewed and attacked
RANDOM_SEED = 0

# What a screened program may name, and itself catch or raise; nothing is caught here.
SAFE_BUILTINS = """
    abs all any ascii bin bool bytes callable chr complex dict divmod enumerate filter float format frozenset hash hex
    int isinstance issubclass iter len list map max min next oct ord pow print range repr reversed round set slice
    sorted str sum tuple zip True False None NotImplemented Ellipsis ArithmeticError AssertionError AttributeError
    BaseException Exception FloatingPointError IndexError KeyError LookupError NameError NotImplementedError
    OverflowError RecursionError RuntimeError StopIteration TypeError UnicodeError ValueError ZeroDivisionError
"""

SAFE_MODULE_NAMES = {  # None: every public name of the module
    "math": None,
    "cmath": None,
    "itertools": None,
    "datetime": "date time datetime timedelta timezone tzinfo MINYEAR MAXYEAR UTC",
    "functools": "reduce lru_cache cache cmp_to_key",
    "collections": "Counter deque defaultdict OrderedDict namedtuple",
    "statistics": "mean median mode stdev pstdev variance pvariance fmean harmonic_mean geometric_mean multimode "
    "median_low median_high",
    "fractions": "Fraction",
    "heapq": "heappush heappop heapify nlargest nsmallest heapreplace heappushpop merge",
    "bisect": "bisect bisect_left bisect_right insort insort_left insort_right",
    "string": "ascii_letters ascii_lowercase ascii_uppercase digits punctuation",
    "re": "findall search match fullmatch sub split finditer group groups start end span",
    "random": "random randint choice shuffle uniform sample seed randrange",
}
SAFE_TYPES: tuple[type, ...] = (
    *(int, float, bool, complex, str, bytes, list, tuple, dict, set, frozenset, range, slice),
    *(type(iter([])), type({}.items()), datetime.date, datetime.datetime, datetime.timedelta, datetime.time),
    *(fractions.Fraction, collections.Counter, collections.deque),
)
IMPLICIT_IMPORTS = ("time", "_strptime")  # by the C code behind strftime and strptime; programs may not name them
UNSAFE_METHODS = {"format_map", "now", "today", "utcnow"}  # the last three read the clock: flagged by deferring

FORBIDDEN_OPERATIONS = """
    STORE_ATTR DELETE_ATTR STORE_GLOBAL DELETE_GLOBAL LOAD_BUILD_CLASS IMPORT_STAR MATCH_CLASS DELETE_NAME
    GET_AWAITABLE LOAD_CLASSDEREF SETUP_ANNOTATIONS
"""

_FORBIDDEN_CODES = frozenset(opcode.opmap[name] for name in FORBIDDEN_OPERATIONS.split() if name in opcode.opmap)
_ALLOWED_CODES = bytes(code for code in range(256) if code not in _FORBIDDEN_CODES)
_SEPARATOR = "."  # stands in no name
_UNDERSCORED = _SEPARATOR + "_"
_IMPORT_NAME, _EXTENDED_ARG = opcode.opmap["IMPORT_NAME"], opcode.opmap["EXTENDED_ARG"]
_CACHE = opcode.opmap["CACHE"]
_ALLOWED_UNDERSCORED = frozenset(("_", "__name__"))


class Screen:
    """Built once in the zygote, after preloading, when every type that programs can meet exists."""

    def __init__(self) -> None:
        self._builtins = {name: vars(builtins)[name] for name in SAFE_BUILTINS.split()}
        self._builtins["__import__"] = _import_safe_module
        self._unsafe = _names_of_everything_loaded() - _safe_names()
        self._noted = self._unsafe | _WATCHED | {"random"}

    @staticmethod
    def known() -> bool:
        return sys.version_info[:2] in KNOWN_VERSIONS and sys.implementation.name == "cpython"

    def namespace(self, name: str = "__main__") -> dict[str, Any]:
        """Globals for one screened program, whose module has this name."""
        return {"__name__": name, "__builtins__": self._builtins.copy()}

    def passes(self, code: CodeType) -> bool:
        """Whether `code` may share a process; if it draws random numbers, they start from the same seed as ever."""
        uses_random = False
        waiting = [code]
        while waiting:
            part = waiting.pop()
            names = part.co_names
            if not self._noted.isdisjoint(names):
                if not self._unsafe.isdisjoint(names) or not _uses_are_safe(part):
                    return False
                uses_random = uses_random or "random" in names
            if _UNDERSCORED in _SEPARATOR + _SEPARATOR.join(names) and any(map(_is_private, names)):
                return False
            operations = part.co_code[::2]
            if operations.translate(None, _ALLOWED_CODES):
                return False
            if _IMPORT_NAME in operations and not _imports_are_safe(part):
                return False
            waiting += [constant for constant in part.co_consts if type(constant) is CodeType]
        if uses_random:
            random.seed(RANDOM_SEED)
        return True


def _is_private(name: str) -> bool:
    return name[0] == "_" and name not in _ALLOWED_UNDERSCORED


class _Instruction(NamedTuple):
    at: int
    name: str
    argument: int


def _instructions(code: CodeType) -> Iterator[_Instruction]:
    """Without caches, and with the whole argument of those that have an extended one."""
    operations = code.co_code
    argument = 0
    for at in range(0, len(operations), 2):
        argument |= operations[at + 1]
        if operations[at] == _EXTENDED_ARG:
            argument <<= 8
            continue
        if operations[at] != _CACHE:
            yield _Instruction(at, opcode.opname[operations[at]], argument)
        argument = 0


def _imports_are_safe(code: CodeType) -> bool:
    names = code.co_names
    return all(names[i.argument] in SAFE_MODULE_NAMES for i in _instructions(code) if i.name == "IMPORT_NAME")


def _uses_are_safe(code: CodeType) -> bool:
    """Whether each watched name stands in a call that shows what it does."""
    listing = list(_instructions(code))
    targets = set(findlabels(code.co_code))  # type: ignore[arg-type]
    return all(
        instruction.name not in _READ_ATTRIBUTE
        or not (is_safe := _WATCHED_CALLS.get(code.co_names[instruction.argument]))
        or is_safe(code, listing, place, targets)
        for place, instruction in enumerate(listing)
    )


def _formats_plainly(code: CodeType, listing: list[_Instruction], place: int, targets: set[int]) -> bool:
    """Whether `format` is called on nothing but the constant in front of it, and that reaches into no argument."""
    before, call = listing[place - 1], listing[place]
    if before.name != "LOAD_CONST" or call.at in targets:  # who jumps here brings another text along
        return False
    text = code.co_consts[before.argument]
    return type(text) is str and _has_plain_fields(text)


def _has_plain_fields(text: str) -> bool:
    """Whether no field of this format, or of a field's own format, has a dot or a bracket in its name."""
    try:
        return all(
            name is None or (not {".", "["} & set(name) and _has_plain_fields(form or ""))
            for _, name, form, _ in string.Formatter().parse(text)
        )
    except ValueError:  # no format: the call raises the same
        return True


def _seeds_with_constant(code: CodeType, listing: list[_Instruction], place: int, targets: set[int]) -> bool:
    """Whether `seed` is called with exactly one constant, which is not None; what is imported is not called here."""
    argument, *rest = listing[place + 1 : place + 4]
    called = [(i.name, i.argument) for i in rest] == [("PRECALL", 1), ("CALL", 1)]
    return called and argument.name == "LOAD_CONST" and code.co_consts[argument.argument] is not None


_WATCHED_CALLS: dict[str, Callable[[CodeType, list[_Instruction], int, set[int]], bool]] = {
    "format": _formats_plainly,
    "seed": _seeds_with_constant,
}
_WATCHED = _WATCHED_CALLS.keys()
_READ_ATTRIBUTE = ("LOAD_METHOD", "LOAD_ATTR", "IMPORT_FROM")  # a plain name is the program's own, or a builtin


def _import_safe_module(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> ModuleType:
    if level == 0 and (name in SAFE_MODULE_NAMES or name in IMPLICIT_IMPORTS):
        return builtins.__import__(name, None, None, fromlist, 0)
    raise ImportError(f"not available in a shared process: {str(name)[:60]}")


def _names_of_everything_loaded() -> set[str]:
    names = set(dir(builtins)) | set(dir(type))
    seen: set[type] = set()
    waiting: list[type] = [object]
    while waiting:
        kind = waiting.pop()
        if kind not in seen:
            seen.add(kind)
            names.update(dir(kind))
            waiting += type.__subclasses__(kind)
    for name, module in list(sys.modules.items()):
        if not name.startswith("encodings."):  # nothing leads to them, and they define `main`, as programs do
            names.update(getattr(module, "__dict__", ()))
    return names


def _safe_names() -> set[str]:
    names = set(SAFE_BUILTINS.split()) | set(SAFE_MODULE_NAMES) | {"__name__"}
    for module, offered in SAFE_MODULE_NAMES.items():
        names.update(offered.split() if offered else vars(importlib.import_module(module)))
    for kind in SAFE_TYPES:
        names.update(dir(kind))
    return {name for name in names if name[0] != "_" or name in _ALLOWED_UNDERSCORED} - UNSAFE_METHODS
