"""The few system calls that Python's standard library does not wrap, with names and types.

Threat model: trusted code, used by the zygote only. `ctypes.PyDLL` keeps the interpreter lock during a call,
which makes a raw `clone` safe in this single-threaded process; there is no other reason for it.
"""

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Callable

from .syscalls import TABLES

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
SIGKILL = 9
SIGCHLD = 17
CLONE_PIDFD = 0x1000
CHILD_CLONE_FLAGS = CLONE_PIDFD | SIGCHLD
SECCOMP_SET_MODE_FILTER = 1
LAST_CAPABILITY = 63
CAPABILITY_VERSION_3 = 0x20080522
ALL_DESCRIPTORS = 0xFFFFFFFF


class Kernel:
    """System calls by name; every failure is an OSError."""

    def __init__(self) -> None:
        self.machine = os.uname().machine
        self.numbers = TABLES.get(self.machine, {})
        self._libc = ctypes.PyDLL(None, use_errno=True)
        self._syscall = self._libc.syscall
        self._syscall.restype = ctypes.c_long
        self._syscall.argtypes = [ctypes.c_long] * 7
        self._pidfd = ctypes.c_int(-1)
        self._pidfd_address = ctypes.addressof(self._pidfd)

    def call(self, name: str, *arguments: int | bytes | None) -> int:
        """Make the call `name`; bytes are passed as a pointer to them, None as a null pointer."""
        kept = [ctypes.create_string_buffer(a, len(a) + 1) if isinstance(a, bytes) else a for a in arguments]
        result = self.prepared(name, *(ctypes.addressof(a) if isinstance(a, ctypes.Array) else a or 0 for a in kept))()
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{name}: {os.strerror(code)}")
        return result

    def prepared(self, name: str, *arguments: int) -> Callable[[], int]:
        """The call, ready to be made: in a fresh child every Python object touched costs a page fault."""
        number = self.numbers.get(name)
        if number is None:
            raise OSError(errno.ENOSYS, f"no number known for {name} on {self.machine}")
        return functools.partial(self._syscall, number, *arguments, *[0] * (6 - len(arguments)))

    def prctl(self, option: int, argument: int = 0) -> int:
        return self.call("prctl", option, argument)

    def drop_bounding_set(self) -> None:
        """No later exec could regain a capability; needs CAP_SETPCAP, so it comes before the uid changes."""
        for capability in range(LAST_CAPABILITY + 1):
            try:
                self.prctl(PR_CAPBSET_DROP, capability)
            except OSError:  # beyond the last capability of this kernel, or no right to drop it
                return

    def drop_capabilities(self) -> None:
        """Empty the effective, permitted and inheritable sets."""
        self.call("capset", struct.pack("<Ii", CAPABILITY_VERSION_3, 0), bytes(24))

    def install_filter(self, program: "SeccompProgram") -> None:
        self.call("seccomp", SECCOMP_SET_MODE_FILTER, 0, program.address)

    def clone_child(self) -> tuple[int, int]:
        """Fork; returns (pid, pidfd) in the parent and (0, -1) in the child.

        The raw call skips Python's at-fork hooks, which saves sixty page faults per child.
        """
        pid = self._syscall(self.numbers["clone"], CHILD_CLONE_FLAGS, 0, self._pidfd_address, 0, 0, 0)
        if pid < 0:
            raise OSError(ctypes.get_errno(), "clone")
        return (pid, self._pidfd.value) if pid else (0, -1)

    def trim_heap(self) -> None:
        """Give freed memory back: a child's fresh page is cheaper than a copy of a page that holds nothing."""
        if hasattr(self._libc, "malloc_trim"):  # a GNU extension
            self._libc.malloc_trim(0)

    def kill(self, pidfd: int) -> None:
        """Send SIGKILL through a pidfd; a child that is already dead is no error."""
        try:
            self.call("pidfd_send_signal", pidfd, SIGKILL, None, 0)
        except ProcessLookupError:
            return


class SeccompProgram:
    """A BPF program in the memory layout that the kernel reads, kept alive with this object."""

    def __init__(self, code: bytes) -> None:
        self._code = ctypes.create_string_buffer(code, len(code))
        header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(self._code))
        self._header = ctypes.create_string_buffer(header, len(header))
        self.address = ctypes.addressof(self._header)
