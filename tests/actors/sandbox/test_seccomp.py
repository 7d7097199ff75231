"""The system-call filters, run by a small interpreter of the kernel's BPF language: both architectures, any machine."""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence

import pytest

from raydistill.actors.sandbox.inside import seccomp
from raydistill.actors.sandbox.inside.kernel import CHILD_CLONE_FLAGS
from raydistill.actors.sandbox.inside.seccomp import ALLOW_CALL, AUDIT_ARCH, KILL_PROCESS, refuse
from raydistill.actors.sandbox.inside.syscalls import TABLES

MACHINES = sorted(TABLES)
NOT_ON_AARCH64 = {"open", "stat", "fork", "vfork", "creat", "unlink", "mkdir"}


def answer(program: bytes, arch: int, number: int, arguments: Sequence[int] = ()) -> int:
    """What the kernel would decide: run `program` on the record it gives to filters."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, arch, 0, *words)
    code = list(struct.iter_unpack("HBBI", program))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, operand = code[at]
        at += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, operand)[0]
            continue
        test = {0x15: accumulator == operand, 0x35: accumulator >= operand, 0x45: bool(accumulator & operand)}
        at += if_true if test[operation] else if_false


class Filter:
    def __init__(self, machine: str) -> None:
        self.arch, self.numbers = AUDIT_ARCH[machine], TABLES[machine]
        self.program = seccomp.zygote_filter(machine, self.numbers)
        self.second = seccomp.child_filter(self.numbers)

    def __call__(self, name: str, *arguments: int) -> int:
        return answer(self.program, self.arch, self.numbers[name], arguments)


@pytest.fixture(params=MACHINES)
def judged(request: pytest.FixtureRequest) -> Filter:
    return Filter(request.param)


def test_every_listed_call_gets_its_answer(judged: Filter) -> None:
    for names, expected in (
        (seccomp.ALLOW, ALLOW_CALL),
        (seccomp.REFUSE_READING, refuse(errno.EACCES)),
        (seccomp.REFUSE, refuse(errno.EPERM)),
        (seccomp.KILL, KILL_PROCESS),
    ):
        for name in names.split():
            if name in judged.numbers:
                assert judged(name) == expected, name


def test_no_call_is_listed_twice() -> None:
    lists = (seccomp.ALLOW, seccomp.REFUSE_READING, seccomp.REFUSE, seccomp.KILL)
    names = [name for names in lists for name in names.split()] + [rule.call for rule in seccomp.ARGUMENT_RULES]
    assert len(names) == len(set(names))


def test_unknown_numbers_and_foreign_architectures(judged: Filter) -> None:
    assert answer(judged.program, judged.arch, 9999) == refuse(errno.ENOSYS)
    assert answer(judged.program, 0x40000003, judged.numbers["read"]) == KILL_PROCESS
    assert answer(judged.program, judged.arch, 0x40000000 + judged.numbers["read"]) == KILL_PROCESS


def test_memory_is_never_executable(judged: Filter) -> None:
    for call in ("mmap", "mprotect"):
        assert judged(call, 0, 4096, 3) == ALLOW_CALL
        assert judged(call, 0, 4096, 5) == judged(call, 0, 4096, 7) == refuse(errno.EPERM)


def test_opening_for_reading_is_refused_and_for_writing_kills(judged: Filter) -> None:
    assert judged("openat", 0, 0, 0) == judged("openat", 0, 0, 0o2000000) == refuse(errno.EACCES)
    for flags in (0o1, 0o2, 0o100, 0o1001, 0o20200002):
        assert judged("openat", 0, 0, flags) == KILL_PROCESS


def test_clone_only_in_the_zygotes_shape_and_never_in_a_child(judged: Filter) -> None:
    assert judged("clone", CHILD_CLONE_FLAGS) == ALLOW_CALL
    for flags in (17, 0x11, 0x01200011, CHILD_CLONE_FLAGS | 0x10000000):
        assert judged("clone", flags) == refuse(errno.EPERM)
    clone = judged.numbers["clone"]
    assert answer(judged.second, judged.arch, clone, (CHILD_CLONE_FLAGS,)) == refuse(errno.EPERM)


def test_the_second_filter_denies_only_what_the_zygote_alone_needs(judged: Filter) -> None:
    denied = {name for name, number in judged.numbers.items() if answer(judged.second, 0, number) != ALLOW_CALL}
    assert denied == set(seccomp.DENIED_IN_CHILD)


def test_calls_with_checked_arguments(judged: Filter) -> None:
    assert judged("prlimit64", 0) == ALLOW_CALL and judged("prlimit64", 1) == refuse(errno.EPERM)
    assert judged("prctl", 1, 9) == ALLOW_CALL
    assert judged("prctl", 1, 0) == judged("prctl", 4, 1) == judged("prctl", 22, 2) == refuse(errno.EPERM)
    assert judged("fcntl", 0, 1) == ALLOW_CALL and judged("fcntl", 0, 8) == refuse(errno.EPERM)
    assert judged("seccomp", 1) == ALLOW_CALL and judged("seccomp", 0) == refuse(errno.EPERM)


def test_tables_are_those_of_the_kernel() -> None:
    """Spot checks against the kernel's own tables, and no number used twice."""
    spots = {"x86_64": {"read": 0, "clone": 56, "openat": 257, "close_range": 436}}
    spots["aarch64"] = {"read": 63, "clone": 220, "openat": 56, "close_range": 436, "execve": 221, "ptrace": 117}
    for machine, known in spots.items():
        table = TABLES[machine]
        assert len(set(table.values())) == len(table)
        assert {name: table[name] for name in known} == known
    assert not NOT_ON_AARCH64 & TABLES["aarch64"].keys()
