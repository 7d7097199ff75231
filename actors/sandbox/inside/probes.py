"""Grades by attempt: at start, children placed exactly where programs stand try each forbidden act.

Threat model: configuration lies; kernels, container runtimes and security modules differ in what they
silently ignore. So a grade rests on what children could not do, and on layers whose effect was looked at,
never on calls that returned 0. The supervisor holds real targets (a readable file, listeners), so that a
refusal means something.

    A    every act refused; namespaces, empty root, own identity, Landlock, seccomp
    B    every act refused; no namespaces (a container runtime's default): Landlock and seccomp
    B-   every act refused; seccomp without Landlock (a kernel before 5.13)
    C    some acts open, but the host's files, network and environment stay out of reach
    D    the host is within reach
"""

import _thread
import ctypes
import errno
import mmap
import os
import resource
import select
import signal
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from .kernel import Kernel

NEEDED_FOR_A = ("namespaces", "empty_root", "identity", "landlock")
OPEN = 0  # the exit code of an act that succeeded; others are the errno that stopped it
PROBE_CPU_S, PROBE_MEMORY_MB, PROBE_TIMEOUT_MS = 2, 64, 10_000
AF_UNIX, AF_INET, AF_NETLINK, AF_VSOCK, SOCK_STREAM, SOCK_DGRAM, SOCK_RAW = 1, 2, 16, 40, 1, 2, 3
CLONE_NEWUSER = 0x10000000
DESCRIPTORS = range(3, 256)
ENVIRONMENT_NAMES = b"LANG TZ PYTHONHASHSEED LD_BIND_NOW OPENBLAS_NUM_THREADS OMP_NUM_THREADS MKL_NUM_THREADS".split()

Targets = dict[str, Any]
Fork = Callable[[Callable[[], int], int, int], tuple[int, int]]


class Act(NamedTuple):
    """Something no program may do. `attempt` returns if it succeeded and raises OSError if it was refused."""

    name: str
    attempt: Callable[[Kernel, Targets], object]
    reaches_host: bool = False


def _read_file(kernel: Kernel, targets: Targets) -> object:
    return os.open(targets["file"], os.O_RDONLY)


def _list_root(kernel: Kernel, targets: Targets) -> object:
    return os.listdir("/") or _refused(errno.ENOENT)


def _create_file(kernel: Kernel, targets: Targets) -> object:
    for folder in (targets["folder"], "/tmp", "/dev/shm", "/"):
        path = os.path.join(folder, f"raydistill-probe-{os.getpid()}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except OSError:
            continue
        os.unlink(path)
        return path
    return _refused(errno.EACCES)


def _connect(family: int, kind: int, target: str) -> Callable[[Kernel, Targets], object]:
    def attempt(kernel: Kernel, targets: Targets) -> object:
        if family == AF_INET:
            address = struct.pack("<H", family) + struct.pack(">H", targets[target]) + b"\x7f\0\0\1" + bytes(8)
        else:
            address = struct.pack("<H", family) + targets[target].encode()
        descriptor = kernel.call("socket", family, kind, 0)
        return kernel.call("connect", descriptor, address, len(address))

    return attempt


def _open_socket(family: int, kind: int) -> Callable[[Kernel, Targets], object]:
    return lambda kernel, targets: kernel.call("socket", family, kind, 0)


def _read_environment(kernel: Kernel, targets: Targets) -> object:
    variables = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.PyDLL(None), "environ")
    position = 0
    while variables and variables[position]:
        if variables[position].partition(b"=")[0] not in ENVIRONMENT_NAMES:
            return None
        position += 1
    return _refused(errno.ENOENT)


def _use_inherited_descriptor(kernel: Kernel, targets: Targets) -> object:
    for descriptor in DESCRIPTORS:
        try:
            return os.dup(descriptor)
        except OSError:
            continue
    return _refused(errno.EBADF)


def _fork(kernel: Kernel, targets: Targets) -> object:
    return os.fork() or os._exit(OPEN)


def _clone(kernel: Kernel, targets: Targets) -> object:
    pid, _ = kernel.clone_child()
    return pid or os._exit(OPEN)


def _start_thread(kernel: Kernel, targets: Targets) -> object:
    try:
        return _thread.start_new_thread(int, ())
    except RuntimeError:
        return _refused(errno.EPERM)


def _raise_memory_limit(kernel: Kernel, targets: Targets) -> object:
    try:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        _refused(errno.EPERM)
    return None


def _executable_memory(kernel: Kernel, targets: Targets) -> object:
    return mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def _call(name: str, *arguments: int | bytes | None) -> Callable[[Kernel, Targets], object]:
    return lambda kernel, targets: kernel.call(name, *arguments)


def _refused(code: int) -> object:
    raise OSError(code, os.strerror(code))


ACTS = (
    Act("read a file of the host", _read_file, reaches_host=True),
    Act("list the root folder", _list_root, reaches_host=True),
    Act("create a file", _create_file, reaches_host=True),
    Act("connect to a TCP port of the host", _connect(AF_INET, SOCK_STREAM, "tcp"), reaches_host=True),
    Act("address a UDP port of the host", _connect(AF_INET, SOCK_DGRAM, "udp"), reaches_host=True),
    Act("connect to an abstract socket", _connect(AF_UNIX, SOCK_STREAM, "abstract"), reaches_host=True),
    Act("connect to a socket file", _connect(AF_UNIX, SOCK_STREAM, "socket_file"), reaches_host=True),
    Act("read the host's environment", _read_environment, reaches_host=True),
    Act("use an inherited descriptor", _use_inherited_descriptor, reaches_host=True),
    Act("exceed the memory limit", lambda k, t: mmap.mmap(-1, 2 * PROBE_MEMORY_MB << 20), reaches_host=True),
    Act("raise the memory limit", _raise_memory_limit, reaches_host=True),
    Act("fork", _fork),
    Act("clone as the zygote does", _clone),
    Act("start a thread", _start_thread),
    Act("signal the zygote", lambda k, t: os.kill(os.getppid(), 0)),
    Act("be traced", _call("ptrace", 0)),
    Act("execute a program", lambda k, t: os.execv("/bin/true", ["true"])),
    Act("map executable memory", _executable_memory),
    Act("open a VSOCK socket", _open_socket(AF_VSOCK, SOCK_STREAM)),
    Act("open a netlink socket", _open_socket(AF_NETLINK, SOCK_RAW)),
    Act("enter a new user namespace", _call("unshare", CLONE_NEWUSER)),
    Act("use the kernel keyring", _call("keyctl", 0, -2, 1)),
    Act("set up io_uring", _call("io_uring_setup", 1, bytes(128))),
    Act("handle page faults", _call("userfaultfd", 1)),
    Act("create anonymous files", _call("memfd_create", b"probe", 0)),
)


def probe(fork: Fork, targets: Targets) -> dict[str, str]:
    """In the zygote: try each act in a child of its own; gives "open" or what refused it."""
    kernel = Kernel()
    outcomes = {act.name: _try(fork, act, kernel, targets) for act in ACTS}
    while _reap_one():  # where forking was open, the children's children are ours by now
        continue
    return outcomes


def _reap_one() -> bool:
    try:
        return os.waitpid(-1, 0)[0] > 0
    except ChildProcessError:
        return False


def _try(fork: Fork, act: Act, kernel: Kernel, targets: Targets) -> str:
    def work() -> int:
        try:
            act.attempt(kernel, targets)
        except OSError as error:
            return error.errno or errno.EPERM
        return OPEN

    pid, pidfd = fork(work, PROBE_CPU_S, PROBE_MEMORY_MB)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(PROBE_TIMEOUT_MS):
        kernel.kill(pidfd)
    _, status = os.waitpid(pid, 0)
    os.close(pidfd)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "no answer" if number == signal.SIGKILL else signal.Signals(number).name
    code = os.WEXITSTATUS(status)
    return "open" if code == OPEN else errno.errorcode.get(code, f"exit code {code}")
