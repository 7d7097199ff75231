"""Runs the red-team programs and looks at the host after each: what the sandbox tests share.

    python -m tests.actors.sandbox.attack [--without LAYER ...] [--lean] [--slow]

prints one JSON object: the grade, how many programs ran, and every problem. Programs that ask for what one `layer`
alone withholds are left out together with it. A problem is an outcome that is not
among the program's expected ones, or a broken host invariant: a secret in the reply, a hit on a listener, a changed
or new file, a process left behind, a deadline missed, a wrong answer from the honest program that runs next.
"""

import argparse
import contextlib
import json
import os
import select
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raydistill.actors.executor import Executor, Limits, Program
from raydistill.actors.sandbox.host.supervisor import JailOptions
from raydistill.actors.sandbox.host.verdict import Verdict
from tests import ROOT

DATA = ROOT / "tests" / "data"
FILES = ("redteam", "hostile")
"""two teams' programs, the second one's by people who had seen the sandbox and not the first one's"""
SECRET = "raydistill-test-secret-7f3a"
ENVIRONMENT_NAME = "RAYDISTILL_TEST_SECRET"
CANARY = "raydistill-canary"
HONEST = Program("honest", "def solution():\n    return 11 * 11\n")
LIMITS = Limits(cpu_s=1, wall_s=6)
DEADLINE_S = 15.0
"""generous beside LIMITS.wall_s: it is to catch programs that hang, not a machine under load"""
ATTEMPTS = 3
"""at a verdict: infra says that there is none, as on a machine that gives a program no processor"""
DANGEROUS_MODULES = tuple(
    """_posixsubprocess _thread asyncio atexit concurrent.futures ctypes fcntl http.client importlib.util marshal mmap
    multiprocessing multiprocessing.pool pickle posix resource select selectors shutil signal socket subprocess
    tempfile threading urllib.request zlib""".split()  # noqa: SIM905
)
"""loaded beforehand, so that it is the layers that stop a program and not a missing module"""


def load(slow: bool, *names: str) -> list[dict[str, Any]]:
    """The programs of these files, or of all."""
    texts = [(DATA / f"{name}.jsonl").read_text(encoding="utf-8") for name in names or FILES]
    rows = [json.loads(line) for text in texts for line in text.splitlines()]
    return [row for row in rows if slow or not row["slow"]]


class Host:
    """The things on the host that no program may reach, and the questions asked about them afterwards."""

    def __init__(self, folder: Path, sockets: dict[str, socket.socket], inherited: int) -> None:
        self.folder = folder
        self.sockets = sockets
        self.secret = folder / "secret"
        self.inherited = inherited

    def program(self, row: dict[str, Any]) -> Program:
        """The attack, aimed at this host."""
        source = row["program"]
        for mark, value in (
            ("@FOLDER@", self.folder),
            ("@SECRET@", self.secret),
            ("@SOCKET@", self.folder / "socket"),
            ("@ABSTRACT@", self.folder.name),
            ("@TCP@", self.sockets["tcp"].getsockname()[1]),
            ("@UDP@", self.sockets["udp"].getsockname()[1]),
            ("@CPU@", LIMITS.cpu_s),
            ("@WIDE@", "\U0001f600" * 65_000),
        ):
            source = source.replace(mark, str(value))
        return Program(row["name"], source)

    def damage(self) -> Iterator[str]:
        """Every invariant that does not hold."""
        readable, _, _ = select.select(list(self.sockets.values()), [], [], 0)
        if readable:
            yield f"a listener was reached: {[name for name, s in self.sockets.items() if s in readable]}"
        if self.secret.read_text() != SECRET or sorted(os.listdir(self.folder)) != ["secret", "socket"]:
            yield f"files changed: {os.listdir(self.folder)}"
        strays = [*Path("/dev/shm").glob(f"{CANARY}*"), *Path("/tmp").glob(f"{CANARY}*")]
        if strays:
            yield f"files were left: {strays}"


@contextlib.contextmanager
def host() -> Iterator[Host]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="raydistill-attack-")))
        folder.chmod(0o777)
        (folder / "secret").write_text(SECRET)
        (folder / "secret").chmod(0o666)
        kinds = {"tcp": (socket.AF_INET, socket.SOCK_STREAM), "udp": (socket.AF_INET, socket.SOCK_DGRAM)}
        kinds |= dict.fromkeys(("abstract", "file"), (socket.AF_UNIX, socket.SOCK_STREAM))
        sockets = {name: stack.enter_context(socket.socket(*kind)) for name, kind in kinds.items()}
        sockets["tcp"].bind(("127.0.0.1", 0))
        sockets["udp"].bind(("127.0.0.1", 0))
        sockets["abstract"].bind(f"\0{folder.name}")
        sockets["file"].bind(str(folder / "socket"))
        for name in ("tcp", "abstract", "file"):
            sockets[name].listen()
        inherited = os.open(folder / "secret", os.O_RDONLY)
        stack.callback(os.close, inherited)
        os.set_inheritable(inherited, True)
        os.environ[ENVIRONMENT_NAME] = SECRET
        stack.callback(os.environ.pop, ENVIRONMENT_NAME)
        yield Host(folder, sockets, inherited)


def is_expected(verdict: Verdict, expected: list[str]) -> bool:
    """`ok:7` wants that value, `exception` and `signal` any of their kind, everything else the exact reason."""
    family = verdict.reason.partition(":")[0]
    return bool({verdict.reason, family, f"ok:{verdict.value}" if family == "ok" else ""} & set(expected))


def attack(executor: Executor, target: Host, rows: list[dict[str, Any]]) -> list[str]:
    """Run each program by itself, followed by an honest one; returns the problems."""
    problems = []
    for row in rows:
        started = time.monotonic()
        for _ in range(ATTEMPTS):
            [verdict] = executor.run([target.program(row)])
            if verdict.reason != "infra":
                break
        took = time.monotonic() - started
        if not is_expected(verdict, row["expected"]):
            shown = f"{verdict.reason}:{verdict.value}" if verdict.reason == "ok" else verdict.reason
            problems.append(f"{row['name']}: {shown} ({verdict.message}), expected {row['expected']}")
        if SECRET in repr(verdict):
            problems.append(f"{row['name']}: the reply holds the secret")
        if took > DEADLINE_S and not executor.status()["retried"]:
            problems.append(f"{row['name']}: took {took:.1f} s")
        problems += [f"{row['name']}: {what}" for what in target.damage()]
        problems += [f"{row['name']}: {what}" for what in aftermath(executor)]
    return problems


def aftermath(executor: Executor) -> Iterator[str]:
    """Does the next honest program fare well, and is nobody left in the jail?"""
    [verdict] = executor.run([HONEST])
    if (verdict.reason, verdict.value) != ("ok", 121):
        yield f"the next program went wrong: {verdict}"
    left = [pid for zygote in executor.zygote_pids() for pid in children(zygote)]
    if left:
        yield f"processes were left: {left}"


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it ended in the meantime
        return []


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.actors.sandbox.attack")
    parser.add_argument("--without", nargs="*", default=[], help="layers to leave out")
    parser.add_argument("--lean", action="store_true", help="without the dangerous modules loaded beforehand")
    parser.add_argument("--slow", action="store_true", help="also the programs that run into time limits")
    arguments = parser.parse_args()
    modules = () if arguments.lean else DANGEROUS_MODULES
    options = JailOptions(python=sys.executable, extra_modules=modules, without=tuple(arguments.without))
    rows = [row for row in load(arguments.slow) if row.get("layer") not in arguments.without]
    with host() as target:
        executor = Executor(LIMITS, minimum_grade="D", options=options)
        try:
            problems = attack(executor, target, rows)
        finally:
            executor.close()
    report = {"grade": executor.grade, "programs": len(rows), "uid": os.getuid(), "problems": problems}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
