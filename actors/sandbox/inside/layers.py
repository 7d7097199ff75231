"""The layers of confinement, applied once by the zygote to itself; every child inherits all of them free.

Threat model: a program that takes over its process completely must still find no file, no network, no other
process, no privilege to regain and no secret. Each layer stands alone, so that a kernel that lacks one loses
only that one:

    namespaces   no host network, processes, mounts, IPC: nothing to address
    empty_root   a read-only root without a single file
    identity     a uid of its own and no capability: nothing to own, NPROC counts
    rlimits      no core dump, file growth, locked memory; few descriptors
    landlock     no file and no TCP port, whatever the mount table says
    seccomp      no system call outside the policy (`seccomp.py`)
    child_filter the second, per-child filter: no fork, no limits, no signals even with the zygote's rights

A layer is reported "on" only after looking at its effect (a changed namespace link, a refused open), not
because a call returned 0. What the layers achieve together is tried separately, act by act (`probes.py`).
"""

import ctypes
import os
import random
import resource
import signal
import struct
from collections.abc import Callable

from .kernel import (
    ALL_DESCRIPTORS,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_DUMPABLE,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    SECCOMP_SET_MODE_FILTER,
    SIGKILL,
    Kernel,
    SeccompProgram,
)
from .seccomp import AUDIT_ARCH, child_filter, zygote_filter

EXIT_NOT_STARTED = 112  # of a child that could not confine itself
NAMES = ("namespaces", "empty_root", "identity", "rlimits", "landlock", "seccomp", "child_filter")
NAMESPACE_FLAGS = {  # name under /proc/self/ns -> CLONE_NEW* flag
    "user": 0x10000000,
    "net": 0x40000000,
    "pid": 0x20000000,
    "mnt": 0x00020000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
}
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}  # by ABI; later ones add IOCTL_DEV
LANDLOCK_FILE_RIGHTS_LATEST = 0xFFFF
LANDLOCK_TCP_RIGHTS, LANDLOCK_ALL_SCOPES = 3, 3
FIXED_LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_NOFILE: 32,
    resource.RLIMIT_MEMLOCK: 0,
    resource.RLIMIT_MSGQUEUE: 0,
    resource.RLIMIT_STACK: 8 << 20,
}
FIRST_PRIVATE_UID, LAST_PRIVATE_UID, NOBODY = 0x70000000, 0x7FFFFFF0, 65534


class Layers:
    """Applies the layers in order and keeps, for each, "on" or why it is off."""

    def __init__(self, kernel: Kernel, without: frozenset[str]) -> None:
        self.kernel = kernel
        self.without = without
        self.state: dict[str, str] = {}
        self.child_program: SeccompProgram | None = None
        self._memory_map: int | None = None
        self._private_mounts = False

    def confine(self, before_seccomp: Callable[[], None]) -> None:
        """Apply every layer. `before_seccomp` runs last of all that still needs the wider set of calls."""
        self._apply("namespaces", self._namespaces)
        self._memory_map = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._apply("empty_root", self._empty_root)
        self._apply("identity", self._identity)
        self._die_with_parent()
        self._apply("rlimits", self._rlimits)
        self.kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)
        self._apply("landlock", self._landlock)
        before_seccomp()
        self.address_space = self._address_space()
        self._apply("child_filter", self._prepare_child_filter)
        self._apply("seccomp", self._seccomp)

    def _apply(self, name: str, layer: Callable[[], None]) -> None:
        if name in self.without:
            self.state[name] = "off: left out by configuration"
            return
        try:
            layer()
        except OSError as error:
            self.state[name] = f"off: {error.strerror or error}"
        else:
            self.state[name] = "on"

    def _namespaces(self) -> None:
        """New user (unless root), net, pid, mnt, ipc and uts namespaces; the caller becomes process 1 of its own."""
        uid, gid = os.getuid(), os.getgid()
        before = _namespace_links()
        wanted = dict(NAMESPACE_FLAGS)
        if os.geteuid() == 0:
            del wanted["user"]
        else:
            self.kernel.call("unshare", wanted.pop("user"))
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{uid} {uid} 1")
            _write("/proc/self/gid_map", f"{gid} {gid} 1")
        for flag in wanted.values():
            self.kernel.call("unshare", flag)
        _continue_as_first_process()
        unchanged = [name for name in wanted if before[name] == os.readlink(f"/proc/self/ns/{name}")]
        if unchanged or os.getpid() != 1:
            raise OSError(0, f"namespaces did not change: {', '.join(unchanged) or 'pid'}")
        self._private_mounts = True

    def _empty_root(self) -> None:
        """Make an empty, read-only tmpfs the root; nothing else stays mounted."""
        if not self._private_mounts:
            raise OSError(0, "needs the mount namespace")
        restricted = MS_NOSUID | MS_NODEV | MS_NOEXEC
        call = self.kernel.call
        call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
        call("mount", b"tmpfs", b"/tmp", b"tmpfs", restricted, b"size=4k,nr_inodes=2,mode=0555")
        os.chdir("/tmp")
        call("pivot_root", b".", b".")
        call("umount2", b".", MNT_DETACH)
        os.chdir("/")
        call("mount", None, b"/", None, MS_REMOUNT | MS_RDONLY | restricted, None)
        if os.listdir("/"):
            raise OSError(0, "the new root is not empty")

    def _identity(self) -> None:
        """Give up root for a uid nobody else has, and every capability."""
        was_root = os.getuid() == 0
        if was_root:
            _drop_uid(self.kernel)
        self.kernel.drop_capabilities()
        self.kernel.prctl(PR_SET_DUMPABLE, 0)
        if was_root and os.getuid() == 0:
            raise OSError(0, "still uid 0")

    def _die_with_parent(self) -> None:
        """After the identity: a change of credentials clears the parent-death signal."""
        if os.getpid() == 1:
            self.kernel.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        else:
            self.kernel.prctl(PR_SET_CHILD_SUBREAPER, 1)

    def _rlimits(self) -> None:
        for limit, most in FIXED_LIMITS.items():
            resource.setrlimit(limit, (most, most))

    def _landlock(self) -> None:
        """A ruleset that handles everything and allows nothing."""
        call = self.kernel.call
        abi = call("landlock_create_ruleset", None, 0, LANDLOCK_CREATE_RULESET_VERSION)
        files = LANDLOCK_FILE_RIGHTS.get(abi, LANDLOCK_FILE_RIGHTS_LATEST)
        rights = struct.pack("<QQQ", files, LANDLOCK_TCP_RIGHTS, LANDLOCK_ALL_SCOPES)
        known = rights[: 8 if abi < 4 else 16 if abi < 6 else 24]
        ruleset = call("landlock_create_ruleset", known, len(known), 0)
        call("landlock_restrict_self", ruleset, 0)
        os.close(ruleset)
        try:
            os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
        except PermissionError:
            return
        raise OSError(0, "a directory still opens")

    def _prepare_child_filter(self) -> None:
        self.child_program = SeccompProgram(child_filter(self.kernel.numbers))

    def _seccomp(self) -> None:
        if self.kernel.machine not in AUDIT_ARCH:
            raise OSError(0, f"no system-call table for {self.kernel.machine}")
        self.kernel.install_filter(SeccompProgram(zygote_filter(self.kernel.machine, self.kernel.numbers)))

    def _address_space(self) -> int:
        assert self._memory_map is not None
        pages = int(os.pread(self._memory_map, 64, 0).split()[0])
        os.close(self._memory_map)
        return pages * resource.getpagesize()


class ChildConfinement:
    """What each child does to itself first, prepared as a row of system calls."""

    def __init__(self, layers: Layers, cpu_s: int, memory_mb: int) -> None:
        prepared = layers.kernel.prepared
        memory = layers.address_space + (memory_mb << 20)
        rows = (
            (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
            (resource.RLIMIT_AS, memory, memory),
            (resource.RLIMIT_NPROC, 0, 0),
        )
        self._limits = [(limit, (ctypes.c_uint64 * 2)(soft, hard)) for limit, soft, hard in rows]
        self._steps = [prepared("prctl", PR_SET_PDEATHSIG, SIGKILL), prepared("close_range", 3, ALL_DESCRIPTORS)]
        self._steps += [prepared("prlimit64", 0, limit, ctypes.addressof(pair)) for limit, pair in self._limits]
        if layers.child_program:
            self._steps.append(prepared("seccomp", SECCOMP_SET_MODE_FILTER, 0, layers.child_program.address))
        self._zygote_pid = os.getpid()

    def __call__(self) -> None:
        for step in self._steps:
            if step() < 0:
                os._exit(EXIT_NOT_STARTED)
        if os.getppid() != self._zygote_pid:  # it died between the fork and the first step: nobody would stop us
            os._exit(EXIT_NOT_STARTED)


def _namespace_links() -> dict[str, str]:
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACE_FLAGS}


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _continue_as_first_process() -> None:
    """Fork: the caller stays outside and only waits, so that its end and the inner process's end are one."""
    pid = os.fork()
    if pid:
        try:
            signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGKILL))
            os.closerange(3, 64)
            os.waitpid(pid, 0)
        finally:
            os._exit(0)  # whatever happens here, the outer process never goes on to serve
    os.setsid()


def _drop_uid(kernel: Kernel) -> None:
    kernel.drop_bounding_set()
    os.setgroups([])
    for uid in (random.SystemRandom().randint(FIRST_PRIVATE_UID, LAST_PRIVATE_UID), NOBODY):
        try:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            return
        except OSError:  # this user namespace maps no such uid: try the next
            continue
    raise OSError(0, "no uid to drop to")
