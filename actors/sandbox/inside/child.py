"""Running one program, inside the jail.

Threat model: nothing here protects anything. The program shares this interpreter and can change every object
in it, so whatever this module reports is a *claim*; the layers around the process protect the host, and the
zygote's and the supervisor's checks protect the verdict. This module's duty is to describe honest and clumsy
programs precisely: what they returned, of which kind, what they printed, how they failed.
"""

import ast
import builtins
import io
import operator
import sys
import time
import types
from collections.abc import Iterable
from typing import Any

from .. import values, wire
from ..wire import ProgramMessage

FILE_NAME = "<program>"
MODULE_NAME, SCRIPT_NAME = "program", "__main__"
EXPRESSION_RESULT = "<value>"  # no program can spell this name
CALLED = (wire.SOLUTION, wire.CALLS)  # modes that ask for a function


class OutputLimit(BaseException):
    """More printed than allowed; no `except Exception` of a program swallows it."""


class Deferred(Exception):
    """The screen did not pass this program: it belongs in the isolated lane."""


class NoEntry(Exception):
    """The program lacks the function or the last expression that was asked for."""


class NotCompiled(Exception):
    """The text is not a Python program."""


OUTCOMES: tuple[tuple[type[BaseException], bytes], ...] = (
    (Deferred, wire.DEFER),
    (NoEntry, wire.NO_ENTRY),
    (NotCompiled, wire.SYNTAX),
    (OutputLimit, wire.OUTPUT_LIMIT),
    (values.NotPlain, wire.BAD_TYPE),
    (values.TooLarge, wire.TOO_LARGE),
    (SystemExit, wire.EXIT),
    (MemoryError, wire.MEMORY),
    (RecursionError, wire.RECURSION),
)
OUTCOMES_WITH_MESSAGE = (wire.SYNTAX, wire.MEMORY, wire.RECURSION)


class CappedText:
    """In-memory text output that refuses to grow beyond `cap` characters.

    No subclass of io.TextIOBase: making one for each program costs as much as running a short one.
    """

    __slots__ = ("cap", "parts", "total")
    encoding, errors, newlines, closed, mode, name = "utf-8", "strict", None, False, "w", "<output>"

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.total = 0
        self.parts: list[str] = []

    def write(self, text: str) -> int:
        if type(text) is not str:
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self.total += len(text)
        if self.total > self.cap:
            raise OutputLimit
        self.parts.append(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def reconfigure(self, **options: Any) -> None: ...

    def isatty(self) -> bool:
        return False

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


class ProgramRunner:
    """Runs programs one after the other; the zygote makes one, and every child inherits it warm."""

    def __init__(self, screen: Any = None) -> None:
        self.screen = screen
        self.no_input, self.no_errors = io.StringIO(), CappedText(0)
        self.start_clocks()

    def start_clocks(self) -> None:
        """From here on time counts for the next program; each program ends where the next one starts."""
        self.wall_ns, self.cpu_ns = time.perf_counter_ns(), time.thread_time_ns()

    def run(self, task: ProgramMessage, stdout_cap: int, value_cap: int, screened: bool) -> bytes:
        """Run `task` and return its claim, packed for the shared area."""
        wall, cpu = self.wall_ns, self.cpu_ns
        stdout = sys.stdout = CappedText(stdout_cap)
        if self.no_errors.total or stdout_cap != self.no_errors.cap:
            self.no_errors = CappedText(stdout_cap)
        sys.stderr = self.no_errors
        sys.stdin = io.StringIO(task.stdin) if task.stdin else self.no_input
        name = MODULE_NAME if task.mode in CALLED else SCRIPT_NAME
        namespace = self.screen.namespace(name) if screened else _new_module(name)
        outcome, payload, label, message = wire.VALUE, b"", "", ""
        try:
            code = _compile(task)
            if screened and not self.screen.passes(code):
                raise Deferred
            payload, label, message = _claimed_value(_result(task, code, namespace, stdout), value_cap)
        except BaseException as error:
            error.__traceback__ = None  # lets go of the program's frames, and with them of its memory
            outcome, label, message = _describe(error)
        if stdout.total > stdout_cap:
            outcome = wire.OUTPUT_LIMIT
        if screened:
            namespace.clear()
        self.start_clocks()
        cost = self.cpu_ns - cpu, self.wall_ns - wall
        return _pack_claim(outcome, payload, label, message, stdout, cost)


def _new_module(name: str) -> dict[str, Any]:
    """The namespace of a fresh module, registered so that classes, type hints and test runners find it."""
    module = types.ModuleType(name)
    sys.modules[name] = sys.modules[SCRIPT_NAME] = module
    module.__dict__["__builtins__"] = builtins
    return module.__dict__


def _compile(task: ProgramMessage) -> types.CodeType:
    try:
        if task.mode != wire.EXPRESSION:
            return compile(task.source, FILE_NAME, "exec", dont_inherit=True)
        tree = ast.parse(task.source, FILE_NAME)
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            target = ast.Name(EXPRESSION_RESULT, ast.Store())
            tree.body[-1] = ast.Assign([target], tree.body[-1].value)
        return compile(ast.fix_missing_locations(tree), FILE_NAME, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise NotCompiled(f"{type(error).__name__}: {error.msg} (line {error.lineno})") from None
    except (ValueError, OverflowError) as error:
        raise NotCompiled(_last_line(error)) from None


def _result(task: ProgramMessage, code: types.CodeType, namespace: dict[str, Any], stdout: CappedText) -> Any:
    if task.mode in CALLED:
        return _returned(task, code, namespace)
    exec(code, namespace)
    if task.mode == wire.STDOUT:
        return "".join(stdout.parts) or None
    value = namespace.get(EXPRESSION_RESULT, NoEntry)
    if value is NoEntry:
        raise NoEntry
    return value


def _returned(task: ProgramMessage, code: types.CodeType, namespace: dict[str, Any]) -> Any:
    """What the function asked for returns, called as if another module had imported the program.

    So a demonstration under the main guard does not run, and one without the guard may fail. Only where the function,
    or a name that it wants, is missing does the program run as a script, in case the guard is where it comes from.
    """
    try:
        _load(task, code, namespace)
        return _call(task, namespace)
    except (NoEntry, NameError):
        if SCRIPT_NAME not in task.source:
            raise
    namespace["__name__"] = SCRIPT_NAME
    _load(task, code, namespace)
    return _call(task, namespace)


def _load(task: ProgramMessage, code: types.CodeType, namespace: dict[str, Any]) -> None:
    """Run the text of the program; what fails once the function is there says nothing about the function."""
    try:
        exec(code, namespace)
    except (Exception, SystemExit):
        if task.entry not in namespace:
            raise


def _call(task: ProgramMessage, namespace: dict[str, Any]) -> Any:
    entry = namespace.get(task.entry, NoEntry)
    if entry is NoEntry:
        raise NoEntry
    if task.mode == wire.CALLS:
        return [entry(*arguments) for arguments in task.calls]
    return entry()


def _claimed_value(value: Any, cap: int) -> tuple[bytes, str, str]:
    """(encoded value, name of the type it was coerced from, its exact text)."""
    label = text = ""
    try:
        payload = values.encode(value)
    except values.NotPlain:
        plain = _coerced(value)
        payload, label, text = values.encode(plain), type(value).__name__, str(value)
    if len(payload) > cap:
        raise values.TooLarge
    return payload, label, text


def _coerced(value: Any) -> Any:
    """A plain number or text for the number types of known libraries and for subclasses of the plain types.

    An object that merely has `__float__` or claims equality with everything is not among them.
    """
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, str):
        return str.__str__(value)
    if _is_instance(value, "fractions", "Fraction") or _is_instance(value, "decimal", "Decimal"):
        return float(value)
    if _is_instance(value, "numpy", "ma.MaskedArray") and value.mask.any():
        raise values.NotPlain("masked")  # numpy's word for "no value here"
    if _is_instance(value, "numpy", "generic") or (_is_instance(value, "numpy", "ndarray") and value.ndim == 0):
        return value.item()
    if _is_instance(value, "sympy", "Basic"):
        return _coerced_symbolic(value)
    raise values.NotPlain(type(value).__name__)


def _coerced_symbolic(value: Any) -> Any:
    if value.is_Boolean:
        return bool(value)
    if value.is_Integer:
        return int(value)
    if value.is_number and value.is_extended_real:
        return float(value)
    raise values.NotPlain(type(value).__name__)


def _is_instance(value: Any, module: str, name: str) -> bool:
    return module in sys.modules and isinstance(value, operator.attrgetter(name)(sys.modules[module]))


def _describe(error: BaseException) -> tuple[bytes, str, str]:
    for kind, outcome in OUTCOMES:
        if isinstance(error, kind):
            label = str(error) if outcome == wire.BAD_TYPE else ""
            return outcome, label, _last_line(error) if outcome in OUTCOMES_WITH_MESSAGE else ""
    return wire.EXCEPTION, type(error).__name__, _last_line(error)


def _last_line(error: BaseException) -> str:
    """What the interpreter would print last: `NameError: name 'x' is not defined`."""
    if isinstance(error, NotCompiled):
        return str(error)
    kind = type(error)
    prefix = "" if kind.__module__ in ("builtins", MODULE_NAME, SCRIPT_NAME) else f"{kind.__module__}."
    try:
        text = str(error)
    except BaseException:  # a program's own __str__ may do anything
        text = "<unprintable>"
    return f"{prefix}{kind.__qualname__}: {text}" if text else f"{prefix}{kind.__qualname__}"


def _pack_claim(
    outcome: bytes, payload: bytes, label: str, message: str, stdout: CappedText, cost: tuple[int, int]
) -> bytes:
    if outcome != wire.VALUE:
        payload = b""
    if not (label or message or stdout.parts):  # nearly always
        return wire.CLAIM.pack(outcome, len(payload), 0, 0, 0, 0, *cost) + payload
    printed = _text("".join(stdout.parts)[-wire.STDOUT_TAIL :])[-wire.STDOUT_TAIL :]
    parts = (payload, _text(label[: wire.LABEL_CHARACTERS]), _text(message[: wire.MESSAGE_CHARACTERS]), printed)
    head = wire.CLAIM.pack(outcome, *map(len, parts), min(stdout.total, 0xFFFFFFFF), *cost)
    return head + b"".join(parts)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
